import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isStatus, StatusError } from '#common/errors.ts';
import { fileTrouble } from '../file-trouble.ts';

/** What `npm run build` makes: a folder, or the same served by HTTP. */
export interface Release {
  readonly version: string;
  /** SHA-256 of the packed executable, by architecture in Kubernetes' words. */
  readonly executables: ReadonlyMap<string, { readonly sha256: string; readonly file: string }>;
  /** The file, checked. */
  read(file: string): Promise<Buffer>;
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const maxFileBytes = 200 << 20;

/** Rejects with `BadRequest` when the release would come over a network on which anybody may change it: its sums come the same way. */
export async function openRelease(from: string): Promise<Release> {
  const sums = new Map([...(await fetchFile(from, 'SHA256SUMS')).toString().matchAll(/^([0-9a-f]{64}) {2}(\S+)$/gm)].map(([, sum = '', name = '']) => [name, sum]));
  const read = async (file: string): Promise<Buffer> => {
    const bytes = await fetchFile(from, file);
    const sum = createHash('sha256').update(bytes).digest('hex');
    if (sum !== sums.get(file)) throw new StatusError('Invalid', `${file} of ${from} is not what its SHA256SUMS says: it was cut off or changed on its way`);
    return bytes;
  };
  if (!sums.has('VERSION')) throw new StatusError('NotFound', `${from} holds no release: its SHA256SUMS names no VERSION; 'npm run build' makes one`);
  const executables = new Map(Object.entries(architectures).flatMap(([ours, theirs]) => {
    const file = `cleat-linux-${ours}.gz`;
    const sha256 = sums.get(file);
    return sha256 === undefined ? [] : [[theirs, { sha256, file }] as const];
  }));
  if (executables.size === 0) throw new StatusError('NotFound', `${from} holds no executable; 'npm run build' makes one`);
  return { version: (await read('VERSION')).toString().trim(), executables, read };
}

async function fetchFile(from: string, name: string): Promise<Buffer> {
  try {
    if (!/^https?:\/\//i.test(from)) return await readFile(join(from, name));
    requireSafe(from);
    const answer = await fetch(`${from.replace(/\/$/, '')}/${name}`);
    // It may have led elsewhere.
    requireSafe(answer.url);
    if (!answer.ok) throw new Error(`the server answered ${String(answer.status)}`);
    if (Number(answer.headers.get('content-length') ?? 0) > maxFileBytes) throw new Error('it is too large');
    return Buffer.from(await answer.arrayBuffer());
  } catch (error) {
    if (isStatus(error)) throw error;
    throw new StatusError('NotFound', `${name} of ${from} cannot be read: ${fileTrouble(error)}; --to takes a folder that 'npm run build' made, or the URL of one`, { cause: error });
  }
}

function requireSafe(url: string): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' || hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname)) return;
  throw new StatusError('BadRequest', `${url} is not encrypted, so whoever is in between could have every host run what they like; use https://, or download the release, check it, and give its folder: --to DIR`);
}
