import { systemClock } from '#common/clock.ts';
import { helloImage } from '#install/images.ts';
import { runtimeDriverContract } from '../contract.ts';
import { FakeDriver } from './driver.ts';

runtimeDriverContract('fake', () => {
  const driver = new FakeDriver(systemClock);
  driver.images.set(helloImage, 'sha256:1234');
  return Promise.resolve({ driver, real: false, end: (id: string, code: number) => { driver.exit(id, code); }, close: () => Promise.resolve() });
});
