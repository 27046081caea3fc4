import { runtimeDriverContract } from '../contract.ts';
import { restartContract } from '../test-restarts.ts';
import { openCtrLab } from './test-lab.ts';

runtimeDriverContract('ctr', async () => {
  const lab = await openCtrLab();
  return { driver: lab.driver, real: true, close: () => lab.close() };
});

restartContract('ctr', openCtrLab);
