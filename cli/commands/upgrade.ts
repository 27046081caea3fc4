import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, StatusError, toStatus } from '#common/errors.ts';
import { isUpgradedBy, upgradedByAnnotation } from '#common/upgraded-by.ts';
import type { RestClient } from '../client.ts';
import { connect } from '../cluster-command.ts';
import { clusterFlags, helpText, parseFlags, refuse, refuseMore, type Flag, type ParsedFlags } from '../flags.ts';
import { columns } from '../printing/table.ts';
import type { Command, Io } from '../types.ts';
import { planUpgrade, versionOf, type Host, type Plan } from '../upgrade/plan.ts';
import { openRelease, type Release } from '../upgrade/release.ts';

const flags: readonly Flag[] = [
  ...clusterFlags,
  { name: 'to', type: 'string', description: "the release: a folder that 'npm run build' made, or the URL of one" },
  { name: 'plan', type: 'bool', description: 'show what would be done, and do nothing' },
  { name: 'canary', type: 'int', optional: '1', description: 'only this many hosts beside the control plane\'s; run it again without to go on' },
  { name: 'nodes', type: 'list', description: 'only these hosts' },
  { name: 'timeout', type: 'duration', default: '3m', description: 'how long a host may take to be well with the new version, before it goes back to the one before' },
  { name: 'soak', type: 'duration', default: '5s', description: 'how long the hosts of a wave have to stay well before the next one' },
  { name: 'output', short: 'o', type: 'string', description: 'json; with --plan' },
  { name: 'no-backup', type: 'bool', description: 'make no backup first' },
];
const chunkBytes = 2 << 20;
const lookMs = 500;
/** An agent that lost its control plane asks again within half a minute. */
const reconnectMs = 60_000;

interface Failure { readonly code?: string; readonly message: string }

interface Node {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo?: { readonly architecture: string; readonly kubeletVersion: string };
  };
}
interface Pod { readonly metadata: { readonly uid: string; readonly namespace: string; readonly name: string }; readonly spec?: { readonly nodeName?: string }; readonly status?: { readonly phase?: string; readonly containerStatuses?: readonly { readonly restartCount: number }[] } }

export const command: Command = {
  help: () => helpText(
    'upgrade --to DIR|URL [--plan | --canary[=N]] [flags]',
    'Upgrade Cleat on every host: the control plane\'s first, then in waves, each of which begins when the one before is well. Pods are not touched. A host that is not well with the new version goes back to the one before by itself, and nothing goes on from there. Run again it goes on where it was.',
    flags, ['cleat upgrade --to dist --plan', 'cleat upgrade --to dist --canary', 'cleat upgrade --to dist'],
  ),
  async run(argv, io) {
    const parsed = parseFlags('upgrade', flags, argv);
    const from = parsed.string('to');
    refuseMore('upgrade', parsed.args);
    if (parsed.has('output') && (parsed.string('output') !== 'json' || !parsed.bool('plan'))) throw refuse('upgrade', "--output must be 'json', and goes with --plan");
    if (from === undefined || from === '') throw refuse('upgrade', 'say what to: --to DIR or URL');
    const client = await connect(parsed, io);
    try {
      return await upgrade(new Upgrade(client, io, await openRelease(from)), parsed, io);
    } finally {
      client.close();
    }
  },
};

async function upgrade(work: Upgrade, parsed: ParsedFlags, io: Io): Promise<number> {
  const plan = await work.plan(parsed.has('canary') ? Math.max(1, parsed.int('canary') ?? 1) : undefined, parsed.list('nodes'));
  if (parsed.has('output')) {
    io.out(`${JSON.stringify({ version: work.release.version, ...plan }, null, 4)}\n`);
    return 0;
  }
  show(plan, work.release.version, io);
  if (parsed.bool('plan') || plan.waves.length === 0) return 0;
  if (!parsed.bool('no-backup')) await work.backup();
  const [timeoutMs, soakMs] = [parsed.durationMs('timeout') ?? 0, parsed.durationMs('soak') ?? 0];
  for (const [i, wave] of plan.waves.entries()) {
    io.out(`Wave ${String(i + 1)} of ${String(plan.waves.length)}: ${wave.map(({ name }) => name).join(', ')}\n`);
    await work.wave(wave, timeoutMs, soakMs);
  }
  io.out(`${String(plan.waves.flat().length)} ${plan.waves.flat().length === 1 ? 'host has' : 'hosts have'} ${work.release.version}${plan.skipped.some(({ why }) => why.includes('canary')) ? '; the others follow with: cleat upgrade --to ...' : ''}\n`);
  return 0;
}

function show({ waves, skipped }: Plan, version: string, io: Io): void {
  const rows = waves.flatMap((wave, i) => wave.map(({ name, architecture, version: old }) => [String(i + 1), name, architecture, old, version]));
  if (rows.length === 0) io.out(`Nothing to do for ${version}\n`);
  else io.out(columns([['WAVE', 'NODE', 'ARCH', 'FROM', 'TO'], ...rows]));
  for (const { host, why } of skipped) io.out(`${host.name} stays at ${host.version}: ${why}\n`);
}

class Upgrade {
  readonly release: Release;
  readonly #client: RestClient;
  readonly #io: Io;
  readonly #sent = new Set<string>();

  constructor(client: RestClient, io: Io, release: Release) {
    this.#client = client;
    this.#io = io;
    this.release = release;
  }

  async plan(canary: number | undefined, only: readonly string[]): Promise<Plan> {
    const slice = await this.#client.find<{ endpoints?: { addresses: string[] }[] }>('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
    const hosts = await this.#hosts();
    const unknown = only.filter((name) => !hosts.some((host) => host.name === name));
    if (unknown.length > 0) throw new StatusError('NotFound', `there is no node ${unknown.join(', ')}; see cleat nodes`);
    return planUpgrade(hosts, { version: this.release.version, architectures: new Set(this.release.executables.keys()), controlPlane: slice?.endpoints?.[0]?.addresses[0] ?? '', canary, only });
  }

  async backup(): Promise<void> {
    const { path } = await this.#client.json<{ path: string }>('POST', `/cleat/v1/backups?prefix=before-${encodeURIComponent(this.release.version)}`);
    this.#io.out(`Backup on the control plane's host: ${path}\n`);
  }

  /** Resolves when all of them are well with the new version, and have been for a while, with the pods that they had. */
  async wave(hosts: readonly Host[], timeoutMs: number, soakMs: number): Promise<void> {
    for (const architecture of new Set(hosts.map((host) => host.architecture))) await this.#upload(architecture);
    const names = new Set(hosts.map(({ name }) => name));
    const before = await this.#running(names);
    for (const host of hosts) await this.#push(host);
    for (const host of hosts) await this.#install(host, timeoutMs);
    await this.#until(names, timeoutMs + 60_000);
    if (soakMs > 0) await sleep(soakMs, undefined, { signal: this.#io.interrupted });
    const late = (await this.#hosts()).filter(({ name, ready, version }) => names.has(name) && !(ready && version === this.release.version));
    if (late.length > 0) throw stopped(`${late.map(({ name }) => name).join(', ')} did not stay well with ${this.release.version}`);
    const after = await this.#running(names);
    const disturbed = [...before].filter(([uid, { restarts }]) => (after.get(uid)?.restarts ?? restarts) > restarts).map(([, { name }]) => name);
    if (disturbed.length > 0) throw stopped(`containers were started again meanwhile: ${disturbed.slice(0, 5).join(', ')}`);
  }

  async #hosts(): Promise<Host[]> {
    const { items } = await this.#client.json<{ items: Node[] }>('GET', '/api/v1/nodes');
    return items.map(({ metadata: { name, annotations }, status }) => ({
      name, address: status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '', architecture: status?.nodeInfo?.architecture ?? '',
      version: versionOf(status?.nodeInfo?.kubeletVersion ?? ''), ready: status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true,
      ...upgradedByOf(annotations),
    }));
  }

  async #running(names: ReadonlySet<string>): Promise<Map<string, { name: string; restarts: number }>> {
    const { items } = await this.#client.json<{ items: Pod[] }>('GET', '/api/v1/pods');
    return new Map(items.filter(({ spec, status }) => names.has(spec?.nodeName ?? '') && status?.phase === 'Running')
      .map(({ metadata: { uid, namespace, name }, status }) => [uid, { name: `${namespace}/${name}`, restarts: (status?.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0) }]));
  }

  /** To the control plane, once for all hosts; goes on where it was cut off. */
  async #upload(architecture: string): Promise<void> {
    const executable = this.release.executables.get(architecture);
    if (!executable || this.#sent.has(executable.sha256)) return;
    const path = `/cleat/v1/executables/${executable.sha256}`;
    const found = await this.#client.json<{ bytes: number; whole: boolean }>('GET', path);
    if (!found.whole) {
      const bytes = await this.release.read(executable.file);
      // Once even when all of it is there: only the last piece has it checked and taken.
      for (let at = Math.min(found.bytes, bytes.length), first = true; first || at < bytes.length; at += chunkBytes, first = false) {
        const chunk = bytes.subarray(at, at + chunkBytes);
        await this.#client.request('PUT', `${path}?offset=${String(at)}&last=${String(at + chunk.length === bytes.length)}`, { body: chunk, contentType: 'application/octet-stream' });
        this.#progress(`${executable.file} to the control plane`, at + chunk.length, bytes.length);
      }
    }
    this.#sent.add(executable.sha256);
  }

  /** A host that is well may not have come back yet to a control plane that began anew just now, or may go there meanwhile: that is waited for. */
  async #push(host: Host): Promise<void> {
    for (const startedMs = performance.now(); ;) {
      const failure = await this.#pushOnce(host);
      if (!failure) return;
      if (failure.code !== 'ServiceUnavailable' || performance.now() - startedMs > reconnectMs) throw stopped(failure.message);
      await sleep(lookMs, undefined, { signal: this.#io.interrupted });
    }
  }

  async #pushOnce({ name, architecture }: Host): Promise<Failure | undefined> {
    const { sha256 = '' } = this.release.executables.get(architecture) ?? {};
    const answer = await this.#client.open('POST', `/cleat/v1/nodes/${encodeURIComponent(name)}/executable?sha256=${sha256}`, { signal: this.#io.interrupted });
    let text = '';
    let done = false;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      text += chunk.toString();
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = JSON.parse(text.slice(0, end)) as { sent?: number; of?: number; done?: boolean; error?: Failure };
        text = text.slice(end + 1);
        if (line.error) return line.error;
        if (line.sent !== undefined) this.#progress(`the executable to ${name}`, line.sent, line.of ?? 0);
        done ||= line.done === true;
      }
    }
    return done ? undefined : { message: `the control plane broke off while it sent the executable to ${name}` };
  }

  /** The answer may be lost with the connection that the upgrade ends; what counts is what the node says then. */
  async #install({ name, architecture }: Host, confirmMs: number): Promise<void> {
    const { sha256 = '' } = this.release.executables.get(architecture) ?? {};
    try {
      await this.#client.json('POST', `/cleat/v1/nodes/${encodeURIComponent(name)}/upgrade?sha256=${sha256}&version=${encodeURIComponent(this.release.version)}&confirmMs=${String(confirmMs)}`);
    } catch (error) {
      if (toStatus(error).code !== 'ServiceUnavailable') throw stopped(messageOf(error));
    }
  }

  async #until(names: ReadonlySet<string>, timeoutMs: number): Promise<void> {
    const startedMs = performance.now();
    const began = Date.now();
    let waiting = [...names];
    while (waiting.length > 0) {
      // The control plane itself may be on its way.
      const hosts = await this.#hosts().catch(() => undefined);
      if (hosts) waiting = hosts.filter(({ name, version, ready }) => names.has(name) && !(ready && version === this.release.version)).map(({ name }) => name);
      if (waiting.length === 0) return;
      const back = await this.#takenBack(names, began).catch(() => undefined);
      if (back !== undefined) throw stopped(back);
      if (performance.now() - startedMs > timeoutMs) throw stopped(`${waiting.join(', ')} ${waiting.length === 1 ? 'is' : 'are'} not well with ${this.release.version}, and ${waiting.length === 1 ? 'goes' : 'go'} back to the version before (cleat events --for node/${waiting[0] ?? ''})`);
      await sleep(lookMs, undefined, { signal: this.#io.interrupted });
    }
  }

  /** What a host says that has gone back to the version before since then. */
  async #takenBack(names: ReadonlySet<string>, sinceMs: number): Promise<string | undefined> {
    interface Event { readonly involvedObject: { readonly name: string }; readonly message: string; readonly lastTimestamp?: string | null; readonly metadata: { readonly creationTimestamp: string } }
    const { items } = await this.#client.json<{ items: Event[] }>('GET', `/api/v1/namespaces/default/events?fieldSelector=${encodeURIComponent('involvedObject.kind=Node,reason=UpgradeTakenBack')}`);
    // Whole seconds, and by the control plane's clock.
    const event = items.find(({ involvedObject, lastTimestamp, metadata }) => names.has(involvedObject.name) && Date.parse(lastTimestamp ?? metadata.creationTimestamp) >= sinceMs - 2000);
    return event && `${event.involvedObject.name}: ${event.message}`;
  }

  #progress(what: string, bytes: number, of: number): void {
    if (this.#io.terminal) this.#io.err(`\r${what}: ${String(Math.floor(bytes * 100 / Math.max(1, of)))} %${bytes === of ? '\n' : ''}`);
  }
}

function upgradedByOf(annotations: Readonly<Record<string, string>> = {}): Pick<Host, 'upgradedBy'> {
  const by = annotations[upgradedByAnnotation];
  return isUpgradedBy(by) ? { upgradedBy: by } : {};
}

function stopped(why: string): StatusError {
  return new StatusError('Conflict', `the upgrade stops here: ${why}. Hosts that have the new version keep it, the others have the old one, and both work together; mend it, then run this again`);
}
