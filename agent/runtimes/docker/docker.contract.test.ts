import { runtimeDriverContract } from '../contract.ts';
import { restartContract } from '../test-restarts.ts';
import { openDockerLab } from './test-lab.ts';

runtimeDriverContract('docker', async () => {
  const lab = await openDockerLab();
  return { driver: lab.driver, real: true, close: () => lab.close() };
});

restartContract('docker', openDockerLab);
