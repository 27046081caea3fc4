import { stat } from 'node:fs/promises';
import { StatusError } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';

/** How another firewall on this host can be asked to let pods through, by the way that its own documentation names for that. */
export interface FirewallHook {
  /** Who that is. */
  readonly name: 'Docker' | 'ufw' | 'firewalld';
  /** What is changed there, in words. */
  readonly what: string;
  /** `NAME RANGE`, by which `closeHook` undoes it. */
  readonly target: string;
  /** False where the firewall is not in use. */
  isThere(signal: AbortSignal): Promise<boolean>;
  isOpen(signal: AbortSignal): Promise<boolean>;
  open(signal: AbortSignal): Promise<void>;
}

/** Of our own; the only line of ours in a chain of Docker's leads here. Not one of the chains that route Services. */
const dockerChain = 'CLEATHOOK';
const dockerUser = 'DOCKER-USER';
const lockSeconds = '30';

export function firewallHooks(exec: Exec, podCidrs: readonly string[]): FirewallHook[] {
  return podCidrs.flatMap((cidr) => [new DockerHook(exec, cidr), new UfwHook(exec, cidr), new FirewalldHook(exec, cidr)]);
}

/** Takes back what a hook's `open` did; false when there was nothing left of it. */
export async function closeHook(exec: Exec, target: string): Promise<boolean> {
  const [name = '', cidr = ''] = target.split(' ');
  if (name === 'Docker') return new DockerHook(exec, cidr).close();
  return name === 'ufw' ? new UfwHook(exec, cidr).close() : new FirewalldHook(exec, cidr).close();
}

function iptablesOf(cidr: string): 'iptables' | 'ip6tables' {
  return cidr.includes(':') ? 'ip6tables' : 'iptables';
}

/** Rules of a chain, in the order and words of `iptables -S`; undefined when there is none. Asking must not make the table. */
async function rulesOf(exec: Exec, cidr: string, chain: string, signal?: AbortSignal): Promise<string[] | undefined> {
  const { exitCode, stdout } = await exec(iptablesOf(cidr), ['-w', lockSeconds, '-S', chain], signal ? { signal } : {});
  return exitCode === 0 ? stdout.split('\n').filter((line) => line.startsWith('-A ')) : undefined;
}

async function run(exec: Exec, command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const { exitCode, stderr, stdout } = await exec(command, args, { signal, timeoutMs: 60_000 });
  if (exitCode !== 0) throw new StatusError('InternalError', `${command} ${args.join(' ')} failed: ${(stderr || stdout).trim().slice(0, 500)}`);
}

/** Docker forbids forwarding but for what it wants, and leaves DOCKER-USER to others. Source: https://docs.docker.com/engine/network/packet-filtering-firewalls/ */
class DockerHook implements FirewallHook {
  readonly name = 'Docker';
  readonly what = `a jump from ${dockerUser} to ${dockerChain}`;
  readonly target: string;
  readonly #exec: Exec;
  readonly #cidr: string;

  constructor(exec: Exec, cidr: string) {
    this.#exec = exec;
    this.#cidr = cidr;
    this.target = `Docker ${cidr}`;
  }

  async isThere(signal: AbortSignal): Promise<boolean> { return await rulesOf(this.#exec, this.#cidr, dockerUser, signal) !== undefined; }

  /** What goes to Docker's own networks is left to Docker. */
  get #rules(): string[] {
    return ['-o docker0 -j RETURN', '-o br-+ -j RETURN', `-s ${this.#cidr} -j ACCEPT`, `-d ${this.#cidr} -j ACCEPT`].map((rule) => `-A ${dockerChain} ${rule}`);
  }

  async isOpen(signal: AbortSignal): Promise<boolean> {
    const own = await rulesOf(this.#exec, this.#cidr, dockerChain, signal);
    return own?.join('\n') === this.#rules.join('\n') && await this.#leads(signal);
  }

  async #leads(signal?: AbortSignal): Promise<boolean> {
    return (await rulesOf(this.#exec, this.#cidr, dockerUser, signal))?.includes(`-A ${dockerUser} -j ${dockerChain}`) === true;
  }

  async open(signal: AbortSignal): Promise<void> {
    const jump = await this.#leads(signal) ? [] : [`-I ${dockerUser} 1 -j ${dockerChain}`];
    await this.#restore([...this.#rules, ...jump], signal);
  }

  async close(): Promise<boolean> {
    const leads = await this.#leads();
    if (!leads && await rulesOf(this.#exec, this.#cidr, dockerChain) === undefined) return false;
    await this.#restore([...(leads ? [`-D ${dockerUser} -j ${dockerChain}`] : []), `-X ${dockerChain}`]);
    return true;
  }

  async #restore(lines: readonly string[], signal?: AbortSignal): Promise<void> {
    const { exitCode, stderr } = await this.#exec(`${iptablesOf(this.#cidr)}-restore`, ['--noflush', '-w', lockSeconds], { input: `*filter\n:${dockerChain} - [0:0]\n${lines.join('\n')}\nCOMMIT\n`, ...(signal && { signal }) });
    if (exitCode !== 0) throw new StatusError('InternalError', `${iptablesOf(this.#cidr)}-restore refused rules for ${dockerUser}: ${stderr.trim().slice(0, 500)}`);
  }
}

/** ufw keeps what it is told, through its own command alone. Source: ufw(8) */
class UfwHook implements FirewallHook {
  readonly name = 'ufw';
  readonly what: string;
  readonly target: string;
  readonly #exec: Exec;
  readonly #cidr: string;

  constructor(exec: Exec, cidr: string) {
    this.#exec = exec;
    this.#cidr = cidr;
    this.target = `ufw ${cidr}`;
    this.what = `rules that allow from and to ${cidr}`;
  }

  get #chain(): string { return this.#cidr.includes(':') ? 'ufw6-user' : 'ufw-user'; }

  /** Pods to wherever they want and from there, and pods to their own host, for DNS. */
  get #rules(): readonly (readonly [string, string, readonly string[]])[] {
    return [['forward', '-s', ['route', 'allow', 'from', this.#cidr]], ['forward', '-d', ['route', 'allow', 'to', this.#cidr]], ['input', '-s', ['allow', 'from', this.#cidr]]];
  }

  async isThere(signal: AbortSignal): Promise<boolean> { return await rulesOf(this.#exec, this.#cidr, `${this.#chain}-forward`, signal) !== undefined; }

  async isOpen(signal: AbortSignal): Promise<boolean> { return (await this.#missing(signal)).length === 0; }

  async #missing(signal: AbortSignal): Promise<(readonly string[])[]> {
    const found = { forward: await rulesOf(this.#exec, this.#cidr, `${this.#chain}-forward`, signal), input: await rulesOf(this.#exec, this.#cidr, `${this.#chain}-input`, signal) };
    return this.#rules.filter(([chain, side]) => found[chain as 'forward' | 'input']?.includes(`-A ${this.#chain}-${chain} ${side} ${this.#cidr} -j ACCEPT`) !== true).map(([, , args]) => args);
  }

  async open(signal: AbortSignal): Promise<void> {
    for (const args of await this.#missing(signal)) await run(this.#exec, 'ufw', args, signal);
  }

  async close(): Promise<boolean> {
    const ends = [];
    for (const [, , args] of this.#rules) ends.push(await this.#exec('ufw', args[0] === 'route' ? ['route', 'delete', ...args.slice(1)] : ['delete', ...args], { timeoutMs: 60_000 }).catch(() => undefined));
    return ends.some((end) => end?.exitCode === 0);
  }
}

/** firewalld trusts what comes from some addresses. Source: https://firewalld.org/documentation/zone/ */
class FirewalldHook implements FirewallHook {
  readonly name = 'firewalld';
  readonly what: string;
  readonly target: string;
  readonly #exec: Exec;
  readonly #cidr: string;

  constructor(exec: Exec, cidr: string) {
    this.#exec = exec;
    this.#cidr = cidr;
    this.target = `firewalld ${cidr}`;
    this.what = `the source ${cidr} of zone trusted`;
  }

  async isThere(signal: AbortSignal): Promise<boolean> {
    if (await stat('/run/firewalld.pid').catch(() => undefined) === undefined) return false;
    return (await this.#exec('firewall-cmd', ['--state'], { signal })).exitCode === 0;
  }

  /** In what runs and in what is kept. */
  async isOpen(signal: AbortSignal): Promise<boolean> {
    for (const kept of [[], ['--permanent']]) if ((await this.#exec('firewall-cmd', [...kept, '--zone=trusted', `--query-source=${this.#cidr}`], { signal })).exitCode !== 0) return false;
    return true;
  }

  async open(signal: AbortSignal): Promise<void> {
    for (const kept of [[], ['--permanent']]) await run(this.#exec, 'firewall-cmd', [...kept, '--zone=trusted', `--add-source=${this.#cidr}`], signal);
  }

  async close(): Promise<boolean> {
    let done = false;
    for (const kept of [[], ['--permanent']]) {
      const end = await this.#exec('firewall-cmd', [...kept, '--zone=trusted', `--remove-source=${this.#cidr}`], { timeoutMs: 60_000 }).catch(() => undefined);
      done ||= end?.exitCode === 0;
    }
    return done;
  }
}
