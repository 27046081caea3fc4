import { openContainerdLab } from '../containerd/test-lab.ts';
import { runtimeDriverContract } from '../contract.ts';

runtimeDriverContract('cri on containerd', async () => {
  const lab = await openContainerdLab();
  return { driver: lab.driver, real: true, close: () => lab.close() };
});
