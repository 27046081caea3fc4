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
/** Of family inet. */
export const firewalldTable = 'firewalld';
/** Of firewalld's; at most 17 letters. */
const policy = 'cleat-pods';

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

/**
 * firewalld trusts what comes from some addresses; what goes there from elsewhere takes a policy, which it takes up only
 * when it reads all of its settings again. Source: https://firewalld.org/documentation/concepts.html
 */
class FirewalldHook implements FirewallHook {
  readonly name = 'firewalld';
  readonly what: string;
  readonly target: string;
  readonly #exec: Exec;
  readonly #cidr: string;
  /** Its rules when it was looked at last, and when there was nothing more to do. */
  #rules: string | undefined;
  #settledRules: string | undefined;

  constructor(exec: Exec, cidr: string) {
    this.#exec = exec;
    this.#cidr = cidr;
    this.target = `firewalld ${cidr}`;
    this.what = `the source ${cidr} of zone trusted, and its policy ${policy}`;
  }

  async isThere(signal: AbortSignal): Promise<boolean> {
    this.#rules = await this.#listed(signal);
    return this.#rules !== undefined;
  }

  /** Its rules as they are; undefined where it has none. It makes a table of its own or, told to use iptables, chains. */
  async #listed(signal: AbortSignal): Promise<string | undefined> {
    const { exitCode, stdout } = await this.#exec('nft', ['-s', 'list', 'table', 'inet', firewalldTable], { signal });
    if (exitCode === 0) return stdout;
    const chains = await this.#exec(iptablesOf(this.#cidr), ['-w', lockSeconds, '-S'], { signal });
    return chains.exitCode === 0 && /^-N INPUT_ZONES$/m.test(chains.stdout) ? chains.stdout : undefined;
  }

  /** In what runs and in what is kept. Its command takes long, so it is asked only when its rules have changed. */
  async isOpen(signal: AbortSignal): Promise<boolean> {
    if (this.#rules !== undefined && this.#rules === this.#settledRules) return true;
    for (const kept of [[], ['--permanent']]) {
      if (!await this.#succeeds([...kept, '--zone=trusted', `--query-source=${this.#cidr}`], signal)) return false;
      if (!await this.#succeeds([...kept, `--policy=${policy}`, `--query-rich-rule=${this.#richRule}`], signal)) return false;
    }
    this.#settledRules = this.#rules;
    return true;
  }

  async open(signal: AbortSignal): Promise<void> {
    const isKept = await this.#isKept(signal);
    for (const kept of [[], ['--permanent']]) await this.#run([...kept, '--zone=trusted', `--add-source=${this.#cidr}`], signal);
    if (!await this.#succeeds(['--permanent', `--policy=${policy}`, '--get-target'], signal)) {
      await this.#run(['--permanent', `--new-policy=${policy}`], signal);
      for (const zone of ['--add-ingress-zone=ANY', '--add-egress-zone=trusted']) await this.#run(['--permanent', `--policy=${policy}`, zone], signal);
    }
    await this.#run(['--permanent', `--policy=${policy}`, `--add-rich-rule=${this.#richRule}`], signal);
    if (await this.#succeeds([`--policy=${policy}`, `--add-rich-rule=${this.#richRule}`], signal)) return;
    if (isKept) {
      await this.#run(['--reload'], signal);
      return;
    }
    this.#settledRules = await this.#listed(signal);
    throw new StatusError('Conflict', 'it has settings that are not kept, which would be lost when it takes up the policy for pods; keep them (firewall-cmd --runtime-to-permanent) or not, and run: firewall-cmd --reload');
  }

  async close(): Promise<boolean> {
    const isKept = await this.#isKept();
    const steps = [[`--policy=${policy}`, `--remove-rich-rule=${this.#richRule}`], ['--zone=trusted', `--remove-source=${this.#cidr}`]];
    let done = false;
    for (const step of steps) {
      done = await this.#succeeds(step) || done;
      // One that does not run keeps what it was told all the same.
      done = await this.#succeeds(['--permanent', ...step]) || await this.#succeeds(step, undefined, 'firewall-offline-cmd') || done;
    }
    await this.#deletePolicy(isKept);
    return done;
  }

  /** Unless another range needs it. */
  async #deletePolicy(isKept: boolean): Promise<void> {
    const list = ['--permanent', `--policy=${policy}`, '--list-rich-rules'];
    const { exitCode, stdout } = await this.#exec('firewall-cmd', list).catch(() => ({ exitCode: 1, stdout: '' }));
    if (exitCode !== 0) await this.#succeeds([`--delete-policy=${policy}`], undefined, 'firewall-offline-cmd');
    else if (stdout.trim() === '' && await this.#succeeds(['--permanent', `--delete-policy=${policy}`]) && isKept) await this.#succeeds(['--reload']);
  }

  /** Into pods from wherever; what comes from them is trusted. */
  get #richRule(): string { return `rule family="${this.#cidr.includes(':') ? 'ipv6' : 'ipv4'}" destination address="${this.#cidr}" accept`; }

  /** Whether what runs is what is kept, but for links, which somebody names anew after a reload. */
  async #isKept(signal?: AbortSignal): Promise<boolean> {
    const said = async (...args: string[]): Promise<string> => (await this.#exec('firewall-cmd', args, signal ? { signal } : {}).catch(() => undefined))?.stdout.replaceAll(/^ {2}interfaces:.*$| \((active|default|, )+\)$/gm, '') ?? '';
    for (const what of ['--list-all-zones', '--list-all-policies']) if (await said(what) !== await said('--permanent', what)) return false;
    return true;
  }

  async #run(args: readonly string[], signal: AbortSignal): Promise<void> {
    await run(this.#exec, 'firewall-cmd', args, signal);
  }

  async #succeeds(args: readonly string[], signal?: AbortSignal, command = 'firewall-cmd'): Promise<boolean> {
    return (await this.#exec(command, args, { timeoutMs: 60_000, ...(signal && { signal }) }).catch(() => undefined))?.exitCode === 0;
  }
}
