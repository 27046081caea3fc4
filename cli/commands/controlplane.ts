import { systemClock } from '#common/clock.ts';
import { controlPlaneSettings } from '#controlplane/config.ts';
import type { Readiness } from '#controlplane/main.ts';
import { isReady, prepare, serveHelp, untilEnded } from '../serve.ts';
import type { Command } from '../types.ts';

export const command: Command = {
  help: () => serveHelp('controlplane', 'Run the control plane: the API, the scheduler and the controllers.', controlPlaneSettings),
  async run(argv, io) {
    const prepared = await prepare({ name: 'cleat controlplane', settings: controlPlaneSettings, needsRoot: false, optimizes: true }, argv, io);
    if (!prepared) return 0;
    const { config, configFile, log, supervision } = prepared;
    const { ControlPlane } = await import('#controlplane/main.ts');
    let does: Readiness = 'stands by';
    const status = (): string => `${does} at ${controlPlane.url}`;
    const turned = (readiness: Readiness): void => {
      does = readiness;
      io.err(readiness === 'serves'
        ? `The control plane is ready at ${controlPlane.url}; the admin's kubeconfig is ${config.kubeconfig}\n`
        : `This control plane stands by: another one leads, and is reached at ${controlPlane.url}, too\n`);
      void supervision.status(status());
    };
    const controlPlane = new ControlPlane({ log, clock: systemClock, configFile, turned }, config);
    const ended = controlPlane.start(io.interrupted);
    if (await isReady([controlPlane.ready], ended, io.interrupted)) await supervision.ready(status(), io.interrupted);
    return untilEnded(ended, io);
  },
};
