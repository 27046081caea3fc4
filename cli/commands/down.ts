import { existsSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemClock } from '#common/clock.ts';
import { bool, list, loadConfig } from '#common/config.ts';
import { StatusError } from '#common/errors.ts';
import { createLog, type LogLevel } from '#common/log.ts';
import { hasState } from '#common/state-directory.ts';
import { agentSettings } from '#agent/config.ts';
import { controlPlaneSettings } from '#controlplane/config.ts';
import { configFile, serveHelp } from '../serve.ts';
import type { Command } from '../types.ts';

const purge = bool('purge', { default: false, description: 'remove the state directory and the kubeconfig as well: the cluster, its objects and its keys are gone for good' });
const { stateDir, runtimeEndpoint } = agentSettings;
const { kubeconfig } = controlPlaneSettings;
/** All settings are known, so that the configuration file of a host serves here too. */
const settings = { ...controlPlaneSettings, ...agentSettings, apply: list('apply', { default: [], description: '' }), purge } as const;

export const command: Command = {
  help: () => serveHelp('down', "Stop this host's pods and the containerd that Cleat runs, and take back what Cleat changed on the host. Stop Cleat itself first.", { stateDir, kubeconfig, runtimeEndpoint, purge }),
  async run(argv, io) {
    const { values: config, mode } = loadConfig('cleat down', settings, argv, io.env, configFile);
    if (mode !== 'run') throw new StatusError('Invalid', "cleat down has no --print-config. See 'cleat down --help'.");
    if (process.getuid?.() !== 0) throw new StatusError('Forbidden', 'cleat down needs root: it stops containers and programs the network. Start it with sudo');
    if (!await hasState(config.stateDir)) {
      io.out(`Nothing to do: there is no state of Cleat in ${config.stateDir}\n`);
      return 0;
    }
    const { Agent } = await import('#agent/main.ts');
    const agent = new Agent({ log: createLog(config.logLevel as LogLevel), clock: systemClock, joinToken: () => Promise.resolve('') }, config);
    for (const what of await agent.down({ purge: config.purge }, io.interrupted)) io.out(`${what}\n`);
    if (config.purge) {
      if (existsSync(config.kubeconfig)) io.out(`${config.kubeconfig} removed\n`);
      await rm(config.kubeconfig, { force: true });
      await rmdir(dirname(config.kubeconfig)).catch(() => undefined);
    } else {
      const start = existsSync(join(config.stateDir, 'server')) ? 'cleat up' : 'cleat agent';
      io.out(`The state is kept in ${config.stateDir}: '${start}' starts everything again, 'cleat down --purge' removes it.\n`);
    }
    return 0;
  },
};
