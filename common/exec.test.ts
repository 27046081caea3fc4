import { describe, expect, it } from 'vitest';
import { exec, execOk } from './exec.ts';

const sh = (script: string, options = {}): ReturnType<typeof exec> => exec('sh', ['-c', script], options);

describe('exec', () => {
  it('gives input and environment, and returns both outputs and the exit code', async () => {
    expect(await sh('cat; echo "$WORD" >&2; exit 3', { input: 'given', env: { WORD: 'told' } })).toEqual({ exitCode: 3, stdout: 'given', stderr: 'told\n' });
    expect(await sh('pwd; cat', { cwd: '/' })).toEqual({ exitCode: 0, stdout: '/\n', stderr: '' });
    expect((await sh('exec 0<&-; sleep 0.05', { input: 'x'.repeat(1 << 20) })).exitCode).toBe(0);
  });

  it('quotes what a command said when its failure is an error', async () => {
    await expect(execOk('sh', ['-c', 'echo no such thing >&2; exit 1'])).rejects.toThrow('exited with 1: no such thing');
  });

  it('rejects a command that is not there, is ended by a signal, says too much, or takes too long', async () => {
    await expect(exec('no-such-command', [])).rejects.toMatchObject({ code: 'InternalError', message: expect.stringContaining('ENOENT') as string });
    await expect(sh('kill -9 $$')).rejects.toMatchObject({ code: 'InternalError', message: 'cannot run sh: it was ended by SIGKILL' });
    await expect(sh('yes', { maxBytes: 1000 })).rejects.toMatchObject({ code: 'InternalError', message: expect.stringContaining('said more than 1000 bytes') as string });
    await expect(sh("trap '' TERM; while :; do :; done", { timeoutMs: 50 })).rejects.toMatchObject({ code: 'Timeout' });
  });

  it('ends the command when aborted', async () => {
    const stop = new AbortController();
    const run = sh('echo $$; exec sleep 60', { signal: stop.signal });
    stop.abort();
    await expect(run).rejects.toMatchObject({ code: 'InternalError' });
  });
});
