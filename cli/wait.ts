import { isStatus, StatusError } from '#common/errors.ts';
import { lines, type RestClient } from './client.ts';

interface Watched { readonly metadata?: { readonly uid?: string; readonly resourceVersion?: string } }

/** Watches one object until `done` holds; `undefined` stands for an object that is not there. */
export async function waitFor<T extends Watched>(client: RestClient, listPath: string, name: string, done: (object: T | undefined) => boolean, signal: AbortSignal): Promise<void> {
  const selector = `fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
  for (;;) {
    const list = await client.json<{ metadata: { resourceVersion: string }; items: T[] }>('GET', `${listPath}?${selector}`, undefined, { signal });
    if (done(list.items[0])) return;
    try {
      const stream = await client.open('GET', `${listPath}?watch=true&resourceVersion=${list.metadata.resourceVersion}&${selector}`, { signal });
      for await (const line of lines(stream)) {
        const event = JSON.parse(line) as { type: string; object: T };
        if (event.type === 'ERROR') break;
        if (event.type !== 'BOOKMARK' && done(event.type === 'DELETED' ? undefined : event.object)) { stream.destroy(); return; }
      }
    } catch (error) {
      if (!isStatus(error, 'Expired', 'Gone')) throw error;
    }
  }
}

/** Resolves when the object, or at least the one with this uid, is gone. 0 waits without end. */
export async function waitUntilGone(client: RestClient, listPath: string, name: string, uid: string | undefined, timeoutMs: number, interrupted: AbortSignal): Promise<void> {
  const deadline = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  try {
    await waitFor(client, listPath, name, (object) => object === undefined || (uid !== undefined && object.metadata?.uid !== uid), deadline ? AbortSignal.any([deadline, interrupted]) : interrupted);
  } catch (error) {
    if (deadline?.aborted === true) throw new StatusError('Timeout', `timed out waiting for the deletion of "${name}"; it goes on. See what holds it: cleat describe`);
    throw error;
  }
}
