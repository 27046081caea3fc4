import { request } from 'node:http';
import { resolve } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { applyManifest, type Applied } from './apply.ts';
import { RestClient } from './client.ts';
import { clusterFlags, parseFlags } from './flags.ts';
import { defaultKubeconfig, readConnection } from './kubeconfig.ts';
import { readManifests } from './manifests.ts';
import { pathOf } from './resources.ts';
import type { Io } from './types.ts';
import { waitFor } from './wait.ts';

interface Deployment {
  readonly metadata?: { readonly name?: string; readonly generation?: number; readonly uid?: string };
  readonly spec?: { readonly replicas?: number; readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } };
  readonly status?: { readonly observedGeneration?: number; readonly replicas?: number; readonly availableReplicas?: number; readonly updatedReplicas?: number };
}
interface Reason { readonly reason?: string; readonly message?: string }
interface Pod {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly conditions?: readonly (Reason & { readonly type: string; readonly status: string })[]; readonly containerStatuses?: readonly { readonly state?: { readonly waiting?: Reason } }[] };
}
interface PodEvent extends Reason { readonly involvedObject: { readonly name?: string }; readonly lastTimestamp?: string }
interface Service { readonly spec: { readonly clusterIP?: string; readonly ports?: readonly { readonly port: number }[] } }

interface Node {
  readonly metadata?: { readonly uid?: string };
  readonly spec?: { readonly taints?: readonly { readonly key: string }[] };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const troubleMs = 10_000;
/** A node that takes longer has a trouble of its own, which the pods will tell. */
const nodeReadyMs = 20_000;

/** Applies what is new in the files (a scaled Deployment stays as it is when Cleat starts again), shows their Deployments becoming available, asks their Services, and says what to try next. `nodeName` is this host's, which is to run them. */
export async function showcase(files: readonly string[], kubeconfig: string, nodeName: string, io: Io): Promise<void> {
  const client = new RestClient(await readConnection(parseFlags('up', clusterFlags, ['--kubeconfig', kubeconfig]), {}), io);
  try {
    const read = await readManifests(files, false, io.stdin);
    const applied: Applied[] = [];
    await nodeTakesPods(client, nodeName, io);
    for (const { manifest, source } of read) {
      const one = await applyManifest(client, manifest, { source, namespace: 'default', enforceNamespace: false, dryRun: 'none', onlyNew: true });
      io.out(`${one.display} ${one.outcome}\n`);
      applied.push(one);
    }
    for (const one of applied.filter(({ type }) => type.kind === 'Deployment')) await showRollout(client, one, io);
    for (const one of applied.filter(({ type }) => type.kind === 'Service')) await showAnswer(client, one, io);
    const shown = read.find(({ manifest }) => manifest.kind === 'Deployment')?.manifest as Deployment | undefined;
    if (shown) sayWhatNext(shown, kubeconfig, io);
  } catch (error) {
    // The cluster is up and stays up; only the example failed.
    if (!io.interrupted.aborted) io.err(`error: ${files.join(', ')}: ${messageOf(error)}\n`);
  } finally {
    client.close();
  }
}

/** Pods made before are told first that they fit nowhere. */
async function nodeTakesPods(client: RestClient, nodeName: string, io: Io): Promise<void> {
  const limit = AbortSignal.timeout(nodeReadyMs);
  try {
    await waitFor<Node>(client, '/api/v1/nodes', nodeName, (node) => node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
      && !node.spec?.taints?.some(({ key }) => key === 'node.kubernetes.io/not-ready'), AbortSignal.any([limit, io.interrupted]));
  } catch (error) {
    if (!limit.aborted) throw error;
  }
}

function sayWhatNext({ metadata, spec }: Deployment, kubeconfig: string, io: Io): void {
  const name = metadata?.name ?? 'NAME';
  const labels = Object.entries(spec?.selector?.matchLabels ?? { app: name }).map(([key, value]) => `${key}=${value}`).join(',');
  const cleat = kubeconfig === defaultKubeconfig ? 'sudo ./cleat' : `sudo KUBECONFIG=${resolve(kubeconfig)} ./cleat`;
  const commands = ['get pods -o wide', `scale deployment/${name} --replicas=5`, `logs -l ${labels} --prefix`];
  io.out(`\nTry next, in another terminal:\n${commands.map((command) => `  ${cleat} ${command}\n`).join('')}`);
}

async function showRollout(client: RestClient, applied: Applied, io: Io): Promise<void> {
  const { type, name, namespace } = applied;
  let shown = '';
  const timer = setInterval(() => { void showTrouble(client, applied, io); }, troubleMs);
  await waitFor<Deployment>(client, pathOf(type, namespace), name, (deployment) => {
    if (!deployment) return true;
    const { replicas = 1 } = deployment.spec ?? {};
    const { availableReplicas = 0, updatedReplicas = 0, replicas: total = 0, observedGeneration = 0 } = deployment.status ?? {};
    const text = `${name}: ${String(availableReplicas)} of ${String(replicas)} ready`;
    if (text !== shown) io.out(`${text}\n`);
    shown = text;
    return observedGeneration >= (deployment.metadata?.generation ?? 0) && availableReplicas === replicas && updatedReplicas === replicas && total === replicas;
  }, io.interrupted).finally(() => { clearInterval(timer); });
}

/** Why pods do not start, once it takes long. */
async function showTrouble(client: RestClient, { name, namespace = 'default' }: Applied, io: Io): Promise<void> {
  const { items } = await client.json<{ items: Pod[] }>('GET', `/api/v1/namespaces/${namespace}/pods`).catch(() => ({ items: [] as Pod[] }));
  const own = items.filter(({ metadata }) => metadata.name.startsWith(`${name}-`));
  const names = new Set(own.map(({ metadata }) => metadata.name));
  const { items: warnings } = await client.json<{ items: PodEvent[] }>('GET', `/api/v1/namespaces/${namespace}/events?fieldSelector=${encodeURIComponent('type=Warning,involvedObject.kind=Pod')}`).catch(() => ({ items: [] as PodEvent[] }));
  // What keeps a pod's containers from being created is told in Events alone.
  const latest = warnings.filter(({ involvedObject }) => names.has(involvedObject.name ?? '')).sort((a, b) => (a.lastTimestamp ?? '').localeCompare(b.lastTimestamp ?? '')).slice(-1);
  const reasons = [...latest, ...own.flatMap(({ status }) => [
    ...(status?.conditions ?? []).filter((condition) => condition.type === 'PodScheduled' && condition.status === 'False'),
    ...(status?.containerStatuses ?? []).flatMap(({ state }) => state?.waiting ?? []),
  ])].filter(({ reason }) => reason !== undefined && reason !== 'ContainerCreating');
  for (const text of new Set(reasons.map(({ reason = '', message = '' }) => `${reason}: ${message}`))) io.out(`${name}: still waiting: ${text}\n`);
}

async function showAnswer(client: RestClient, { type, name, namespace }: Applied, io: Io): Promise<void> {
  const service = await client.json<Service>('GET', pathOf(type, namespace, name));
  const { clusterIP, ports = [] } = service.spec;
  const [port] = ports;
  if (clusterIP === undefined || clusterIP === 'None' || !port) return;
  const url = `http://${clusterIP}${port.port === 80 ? '' : `:${String(port.port)}`}/`;
  io.out(`\n$ curl ${url}\n${(await answerOf(url, io.interrupted)).trimEnd()}\n`);
}

/** The body of a page; tries for ten seconds, because rules reach the kernel a moment after the pod is ready. */
async function answerOf(url: string, signal: AbortSignal): Promise<string> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    try {
      return await fetchText(url, signal);
    } catch (error) {
      if (signal.aborted || performance.now() > deadline) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }
}

function fetchText(url: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { signal, timeout: 2000, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => { text = (text + chunk).slice(0, 10_000); }).on('end', () => {
        if (answer.statusCode === 200 && text !== '') resolve(text);
        else reject(new Error(`${url} answered ${String(answer.statusCode)}${text === '' ? ' with nothing' : `: ${text.trimEnd()}`}`));
      }).on('error', reject);
    });
    sent.on('timeout', () => { sent.destroy(new Error(`${url} did not answer within 2 s`)); });
    sent.on('error', reject).end();
  });
}
