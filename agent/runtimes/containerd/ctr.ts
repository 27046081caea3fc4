import type { Clock } from '#common/clock.ts';
import { isStatus, StatusError, type StatusCode } from '#common/errors.ts';
import { exec, openCommand, type OpenCommand } from '#common/exec.ts';

const quickMs = 30_000;

export interface CtrResult { readonly exitCode: number; readonly stdout: string; readonly stderr: string }

/** Runs `ctr`, containerd's own command line, in the containerd namespace that is Cleat's. */
export class Ctr {
  readonly endpoint: string;
  readonly namespace: string;
  readonly #clock: Clock;

  /** `endpoint` is the socket's absolute path, with or without `unix://`. */
  constructor({ clock }: { readonly clock: Clock }, endpoint: string, namespace: string) {
    this.#clock = clock;
    this.endpoint = endpoint.replace(/^unix:(\/\/)?/, '');
    this.namespace = namespace;
  }

  /** Standard output; rejects with what `ctr` said when it failed. */
  async run(args: readonly string[], signal: AbortSignal, timeoutMs = quickMs): Promise<string> {
    const result = await this.attempt(args, signal, timeoutMs);
    if (result.exitCode !== 0) throw fromCtr(this.endpoint, result.stderr || result.stdout);
    return result.stdout;
  }

  /** Whatever its exit code, which may be another program's. */
  async attempt(args: readonly string[], signal: AbortSignal, timeoutMs = quickMs): Promise<CtrResult> {
    signal.throwIfAborted();
    try {
      return await exec('ctr', this.arguments(args), { signal, timeoutMs, clock: this.#clock, maxBytes: 32 << 20 });
    } catch (error) {
      signal.throwIfAborted();
      if (isStatus(error, 'InternalError') && error.message.includes('ENOENT')) {
        throw new StatusError('ServiceUnavailable', 'ctr, containerd\'s command line, is not installed; install containerd (Debian and Ubuntu: apt-get install containerd), or choose another --runtime', { cause: error });
      }
      if (!isStatus(error, 'Timeout')) throw error;
      const asked = ['ctr', ...args.slice(0, 2).filter((word) => !word.startsWith('-'))].join(' ');
      throw new StatusError('Timeout', `containerd has not done within ${String(timeoutMs / 1000)} s what ${asked} asks of it; check that it is not stuck (systemctl status containerd)`, { cause: error });
    }
  }

  /** With its streams connected to the caller. */
  open(args: readonly string[]): OpenCommand {
    return openCommand('ctr', this.arguments(args));
  }

  arguments(args: readonly string[]): string[] {
    return ['--address', this.endpoint, '--connect-timeout', '5s', '--namespace', this.namespace, ...args];
  }
}

const codes: readonly (readonly [RegExp, StatusCode])[] = [
  // What the program that makes containers says is not about containerd's own things.
  [/OCI runtime|runc/, 'InternalError'],
  // Nor is what a registry says.
  [/failed to resolve reference.*: not found/, 'NotFound'],
  [/failed to resolve reference|failed to do request|failed to copy|unexpected status code/, 'InternalError'],
  [/failed to dial|connection refused|connection error|transport is closing|Unavailable/, 'ServiceUnavailable'],
  [/already exists/, 'AlreadyExists'],
  [/not found|no running task|process already finished|does not exist/, 'NotFound'],
  [/invalid|Unimplemented/, 'Invalid'],
];

/** The StatusError for what `ctr` wrote before it failed. It tells kinds of errors apart by words alone. */
export function fromCtr(endpoint: string, output: string): StatusError {
  const words = output.trim().replace(/^(?:[^]*\n)?ctr: /, '').slice(-2000);
  const code = codes.find(([pattern]) => pattern.test(words))?.[1] ?? 'InternalError';
  if (code === 'ServiceUnavailable') return new StatusError(code, `containerd did not answer on ${endpoint}: ${words}; check that it is running (systemctl status containerd)`);
  return new StatusError(code, words || 'ctr failed without a word');
}
