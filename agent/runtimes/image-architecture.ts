import { existsSync } from 'node:fs';
import { StatusError } from '#common/errors.ts';

const architectures: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386' };
/** What processors of a kind run besides their own. */
const alsoRuns: Readonly<Record<string, readonly string[]>> = { amd64: ['386'], arm64: ['arm'] };
/** Where the kernel says for which programs it calls an emulator. */
const emulators = '/proc/sys/fs/binfmt_misc';
const qemuNames: Readonly<Record<string, string>> = { amd64: 'x86_64', arm64: 'aarch64', '386': 'i386', mips64le: 'mips64el', mipsle: 'mipsel' };

/** This host's architecture as images name it. */
export function imageArchitecture(): string {
  return architectures[process.arch] ?? process.arch;
}

/** Programs for it run here: on the processor itself, or because somebody has set up an emulator. */
export function runsHere(architecture: string): boolean {
  const host = imageArchitecture();
  return architecture === host || alsoRuns[host]?.includes(architecture) === true || existsSync(`${emulators}/qemu-${qemuNames[architecture] ?? architecture}`);
}

/** What to say of an image that this host cannot run, by the architectures that it has; undefined when it can. */
export function wrongArchitecture(image: string, has: readonly string[]): StatusError | undefined {
  if (has.length === 0 || has.some(runsHere)) return undefined;
  return new StatusError('Invalid', `wrong architecture: image ${image} is for ${[...new Set(has)].map((one) => `linux/${one}`).join(', ')}, and this host is linux/${imageArchitecture()}; build or choose an image for it`);
}

interface Index { readonly manifests?: readonly { readonly platform?: { readonly architecture?: string; readonly os?: string; readonly variant?: string } }[] }

/** The architectures that an image index names. Builders put things beside the images that are for no platform: `unknown`. */
export function architecturesOf(index: unknown): string[] {
  const { manifests } = index as Index;
  return Array.isArray(manifests) ? (manifests as NonNullable<Index['manifests']>).flatMap(({ platform }) => (platform?.os === 'linux' && platform.architecture !== undefined ? [platform.architecture] : [])) : [];
}

/** As a pulled image tells: what its description names, an index or the one image that there is, and this host, which can run it. */
export function madeFor(index: unknown, own: readonly string[]): { readonly architectures?: readonly string[] } {
  const named = architecturesOf(index);
  const all = named.length > 0 ? named : own;
  return all.length === 0 ? {} : { architectures: [...new Set([...all, imageArchitecture()])].sort() };
}

/** In place of an engine's words that it found nothing for this host; `has` where it could still be found out. */
export function nothingForThisHost(image: string, has: readonly string[], cause: StatusError): StatusError {
  const known = wrongArchitecture(image, has);
  return new StatusError('Invalid', known?.message ?? `wrong architecture: image ${image} has nothing for this host, which is linux/${imageArchitecture()}; build or choose an image for it (${cause.message})`, { cause });
}

/** How containerd, Docker and CRI-O say it. */
export const saysNothingMatches = /no match for platform|no matching manifest|no image found in (?:image index|manifest list) for architecture/;
