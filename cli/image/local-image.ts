import { StatusError } from '#common/errors.ts';
import { exec, pipeCommand } from '#common/exec.ts';

/** Tools that keep images on a person's own machine, and know `image inspect` and `save` as Docker does. */
const tools = ['docker', 'podman', 'nerdctl'];

/** An image of this machine, as the first tool that has it saves it. */
export async function localImage(image: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const reasons: string[] = [];
  for (const tool of tools) {
    const found = await exec(tool, ['image', 'inspect', image], { signal }).catch(() => undefined);
    if (found?.exitCode === 0) return saved(tool, image, signal);
    if (found) reasons.push(`${tool}: ${found.stderr.trim().split('\n').at(-1) ?? ''}`);
  }
  throw new StatusError('NotFound', reasons.length > 0
    ? `no image ${image} on this machine (${reasons.join('; ')}); build it first, or take it from a node with --from NODE`
    : `this machine has none of ${tools.join(', ')}; take the image from a node with --from NODE, or a file with cleat image load`);
}

async function* saved(tool: string, image: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const command = pipeCommand(tool, ['save', image]);
  command.stdin.end();
  const stop = (): void => { command.kill(); };
  signal.addEventListener('abort', stop, { once: true });
  try {
    yield* command.stdout as AsyncIterable<Uint8Array>;
    await command.ended;
  } finally {
    signal.removeEventListener('abort', stop);
    command.kill();
  }
}
