import { writeHostsFiles } from '#agent/images/hosts-files.ts';
import { openContainerdLab } from '../containerd/test-lab.ts';
import { runtimeDriverContract } from '../contract.ts';
import { tellOom } from '../test-oom.ts';
import { collectGarbage, imageContract } from '../image-contract.ts';

runtimeDriverContract('cri on containerd', async () => {
  const lab = await openContainerdLab();
  return { driver: lab.driver, real: true, tellOom: (id) => tellOom(lab.containerd.endpoint, 'k8s.io', id), close: () => lab.close() };
});

imageContract('cri on containerd', async () => {
  const lab = await openContainerdLab('10.77.1.0/24');
  return { driver: lab.driver, host: lab, useRegistries: (registries) => writeHostsFiles(lab.containerd.paths.registryHosts, registries), collectGarbage: () => collectGarbage(lab.containerd.endpoint), close: () => lab.close() };
});
