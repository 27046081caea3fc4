import { systemClock } from '#common/clock.ts';
import { list } from '#common/config.ts';
import { agentSettings } from '#agent/config.ts';
import { controlPlaneSettings } from '#controlplane/config.ts';
import { isReady, prepare, serveHelp, untilEnded } from '../serve.ts';
import type { Command } from '../types.ts';

const { server: _server, token: _token, ...hostAgentSettings } = agentSettings;
// Its agent needs this host's own control plane to lead: who has several runs `cleat controlplane` and `cleat agent`.
const { etcdServers, etcdCafile, etcdCertfile, etcdKeyfile, etcdPrefix, ...ownControlPlaneSettings } = controlPlaneSettings;
const noEtcd = { etcdServers: etcdServers.default, etcdCafile: etcdCafile.default, etcdCertfile: etcdCertfile.default, etcdKeyfile: etcdKeyfile.default, etcdPrefix: etcdPrefix.default };
const settings = {
  ...ownControlPlaneSettings, ...hostAgentSettings,
  apply: list('apply', { default: [], placeholder: 'FILES', description: 'apply these files when the cluster is up, and show how it goes' }),
} as const;

export const command: Command = {
  help: () => serveHelp('up', 'Run a whole cluster on this host: control plane and agent in one process.', settings),
  async run(argv, io) {
    const startedMs = performance.now();
    const prepared = await prepare({ name: 'cleat up', settings, needsRoot: true, optimizes: true }, argv, io);
    if (!prepared) return 0;
    const { config, configFile, log, supervision } = prepared;
    io.out(`Starting Cleat; its state is in ${config.stateDir}\n`);
    const [{ ControlPlane }, { Agent }] = await Promise.all([import('#controlplane/main.ts'), import('#agent/main.ts')]);

    // The agent goes first when both stop: what it reports last should still be heard.
    const stopControlPlane = new AbortController();
    const stopAgent = new AbortController();
    io.interrupted.addEventListener('abort', () => { stopAgent.abort(io.interrupted.reason); }, { once: true });

    const controlPlane = new ControlPlane({ log, clock: systemClock, configFile }, { ...config, ...noEtcd });
    const agent = new Agent(
      { log, clock: systemClock, joinToken: async () => { await controlPlane.ready; return controlPlane.createJoinToken(); } },
      { ...config, server: controlPlane.localUrl, token: '' },
    );
    const agentEnded = agent.start(stopAgent.signal).finally(() => { stopControlPlane.abort(new Error('the agent has ended')); });
    const controlPlaneEnded = controlPlane.start(stopControlPlane.signal).finally(() => { stopAgent.abort(new Error('the control plane has ended')); });
    const ended = Promise.all([agentEnded, controlPlaneEnded]);
    // Handled below by awaiting it; until then a failure must not count as unhandled.
    ended.catch(() => undefined);

    if (await isReady([controlPlane.ready, agent.ready], ended, stopAgent.signal)) {
      await supervision.ready(`node ${agent.nodeName} of ${controlPlane.url}`, stopAgent.signal);
      io.out(`Cleat is up in ${((performance.now() - startedMs) / 1000).toFixed(1)} s: node ${agent.nodeName} of ${controlPlane.url}\n`);
      if (config.apply.length > 0) {
        const { showcase } = await import('../showcase.ts');
        await showcase(config.apply, config.kubeconfig, agent.nodeName, { ...io, interrupted: stopAgent.signal });
      }
      if (!stopAgent.signal.aborted) io.out('\nCtrl-C stops Cleat and leaves the containers running.\n');
    }
    return untilEnded(ended, io);
  },
};
