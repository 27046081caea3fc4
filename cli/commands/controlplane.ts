import { systemClock } from '#common/clock.ts';
import { controlPlaneSettings } from '#controlplane/config.ts';
import { isReady, prepare, serveHelp, untilEnded } from '../serve.ts';
import type { Command } from '../types.ts';

export const command: Command = {
  help: () => serveHelp('controlplane', 'Run the control plane: the API, the scheduler and the controllers.', controlPlaneSettings),
  async run(argv, io) {
    const prepared = await prepare({ name: 'cleat controlplane', settings: controlPlaneSettings, needsRoot: false, optimizes: true }, argv, io);
    if (!prepared) return 0;
    const { ControlPlane } = await import('#controlplane/main.ts');
    const controlPlane = new ControlPlane({ log: prepared.log, clock: systemClock, configFile: prepared.configFile }, prepared.config);
    const ended = controlPlane.start(io.interrupted);
    if (await isReady([controlPlane.ready], ended, io.interrupted)) {
      const readiness = await controlPlane.ready;
      io.err(readiness === 'serves'
        ? `The control plane is ready at ${controlPlane.url}; the admin's kubeconfig is ${prepared.config.kubeconfig}\n`
        : `This control plane stands by: another one leads, and is reached at ${controlPlane.url}, too\n`);
      await prepared.supervision.ready(`${readiness} at ${controlPlane.url}`, io.interrupted);
    }
    return untilEnded(ended, io);
  },
};
