import { join } from 'node:path';
import { writeHostsFiles } from '#agent/images/hosts-files.ts';
import { runtimeDriverContract } from '../contract.ts';
import { collectGarbage, imageContract } from '../image-contract.ts';
import { restartContract } from '../test-restarts.ts';
import { openCtrLab } from './test-lab.ts';

runtimeDriverContract('ctr', async () => {
  const lab = await openCtrLab();
  return { driver: lab.driver, real: true, close: () => lab.close() };
});

restartContract('ctr', openCtrLab);

imageContract('ctr', async () => {
  const lab = await openCtrLab();
  return { driver: lab.driver, host: lab.host, useRegistries: (registries) => writeHostsFiles(join(lab.host.stateDir, 'certs.d'), registries), collectGarbage: () => collectGarbage(lab.host.containerd), close: () => lab.close() };
});
