import { systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { agentSettings, type AgentConfig } from '#agent/config.ts';
import { isReady, prepare, serveHelp, untilEnded } from '../serve.ts';
import type { Command } from '../types.ts';

export const command: Command = {
  help: () => serveHelp('agent --server https://HOST:6443 --token TOKEN', 'Join this host to a cluster and run its pods. The token is needed once.', agentSettings),
  async run(argv, io) {
    const prepared = await prepare({ name: 'cleat agent', settings: agentSettings, needsRoot: true, optimizes: false, check: checkServer }, argv, io);
    if (!prepared) return 0;
    const { config, log, supervision } = prepared;
    const { Agent } = await import('#agent/main.ts');
    let connected = false;
    const status = (): string => `node ${agent.nodeName}, ${connected ? 'connected' : 'not connected'} to ${config.server}`;
    const reached = (is: boolean): void => {
      connected = is;
      void supervision.status(status());
    };
    const agent = new Agent({ log, clock: systemClock, joinToken: () => Promise.resolve(config.token), reached }, config);
    const ended = agent.start(io.interrupted);
    if (await isReady([agent.ready], ended, io.interrupted)) {
      io.err(`This host is node ${agent.nodeName} of ${config.server}\n`);
      await supervision.ready(status(), io.interrupted);
    }
    return untilEnded(ended, io);
  },
};

function checkServer({ server }: AgentConfig): void {
  if (server === '') throw new StatusError('Invalid', "--server is missing: the line that 'cleat token create' prints on the control plane has it");
}
