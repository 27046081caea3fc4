import { createHash, randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { partsOf, wholeArchive, type PartsOfFile } from '#common/archive-parts.ts';
import { execOk } from '#common/exec.ts';
import { spool } from '#common/spool.ts';
import { parseRegistries, type Registries } from '#agent/images/registries.ts';
import { helloImage, hostArchitecture, imageArchive } from '#install/images.ts';
import { tar, type TarEntry } from '#install/images-tar.ts';
import { imageArchitecture } from './image-architecture.ts';
import { dockerArchive } from './test-docker-archive.ts';
import { openTestRegistry, type RegistryHost, type TestRegistry } from './test-registry.ts';
import type { ListedImage, PullProgress, RuntimeDriver } from './types.ts';

/** What an engine brings to the tests of its images: a lab with `helloImage`. */
export interface ImageHarness {
  readonly driver: RuntimeDriver;
  readonly host: RegistryHost;
  /** Tells the engine how registries are reached; absent where that is the engine's own matter. */
  readonly useRegistries?: (registries: Registries) => Promise<void>;
  /** The engine goes on with a broken download by itself, within the pull. */
  readonly resumesItself?: boolean;
  /** Has the engine throw away now what it would in a while. */
  readonly collectGarbage?: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const credentials = { username: 'tester', password: 'secret' };
const layerBytes = 4 << 20;

/** Every driver passes this against the real engine and a real registry. */
export function imageContract(name: string, open: () => Promise<ImageHarness>): void {
  describe(`images: ${name}`, () => {
    let harness: ImageHarness | undefined;
    let driver: RuntimeDriver;
    let registry: TestRegistry;
    let closeRegistry = (): void => undefined;
    let signal: AbortSignal;
    const host = imageArchitecture();

    beforeAll(async () => {
      harness = await open();
      ({ driver } = harness);
      registry = await openTestRegistry(harness.host);
      closeRegistry = () => { registry.close(); };
      await harness.useRegistries?.(parseRegistries({
        mirrors: { 'elsewhere.example': { endpoint: [`http://${registry.plain}`] } },
        configs: { [registry.secured]: { tls: { ca_file: registry.caPath } } },
      }));
    });
    beforeEach(() => { signal = AbortSignal.timeout(100_000); });
    afterAll(async () => {
      closeRegistry();
      await harness?.close();
    });

    /** With something in it that no other image has. */
    async function publish(image: string, architectures: readonly string[] = [host], bytes = 1000): Promise<string> {
      return registry.put({ name: image, architectures, files: [{ path: 'x', type: 'file', mode: 0o644, data: randomBytes(bytes) }] });
    }
    async function listed(image: string): Promise<ListedImage | undefined> {
      return (await driver.listImages(signal)).find(({ names }) => names.includes(image));
    }

    it('come by tag and by digest, are listed, and go', async () => {
      const digest = await publish('team/app:1', ['s390x', host]);
      const [tagged, exact] = [`${registry.plain}/team/app:1`, `${registry.plain}/team/app@${digest}`];
      const { id, sizeBytes, architectures } = await driver.pullImage(tagged, {}, signal);
      // Docker keeps of an index what is for its host.
      expect(architectures).toEqual(driver.name === 'docker' ? undefined : [host, 's390x']);
      expect([await driver.imageId(tagged, signal), sizeBytes > 0]).toEqual([id, true]);
      expect((await driver.pullImage(exact, {}, signal)).id).toBe(id);
      expect((await listed(tagged))?.names).toContain(exact);
      const image = await listed(tagged);
      expect(image?.sizeBytes).toBeGreaterThan(0);
      const inUse = await driver.imagesInUse(signal);
      expect([image?.id ?? '', ...image?.names ?? []].some((one) => inUse.has(one))).toBe(false);
      if (image) await driver.removeImage(image, signal);
      expect([await driver.imageId(tagged, signal), await driver.imageId(exact, signal), await listed(tagged)]).toEqual([undefined, undefined, undefined]);
      if (image) await driver.removeImage(image, signal);
      // Each lab's engine keeps everything in its own folder.
      expect((await driver.imageFolder(signal)).startsWith(`${harness?.host.stateDir ?? ''}/`)).toBe(true);
    });

    it('are there by their digest, or not at all, when their name has come to stand for another, and go then, too', async () => {
      const image = `${registry.plain}/team/moving:1`;
      const ids: string[] = [];
      for (let version = 0; version < 2; version++) {
        await publish('team/moving:1');
        ids.push((await driver.pullImage(image, {}, signal)).id);
      }
      const found = async (): Promise<(ListedImage | undefined)[]> => { const all = await driver.listImages(signal); return ids.map((id) => all.find((one) => one.id === id)); };
      const [former, current] = await found();
      // That of ctr has but one name for what it pulls.
      expect([former === undefined, former?.names.filter((name) => !name.includes('@')) ?? [], (await driver.imageId(image, signal)) === ids[1]]).toEqual([driver.name === 'ctr', [], true]);
      for (const one of [former, current]) if (one) await driver.removeImage(one, signal);
      expect(await found()).toEqual([undefined, undefined]);
    });

    it('that are not there are refused with NotFound', async () => {
      await expect(driver.pullImage(`${registry.plain}/team/absent:1`, {}, signal)).rejects.toMatchObject({ code: 'NotFound' });
    });

    it.each([[['s390x']], [['s390x', 'riscv64']]])('for other kinds of hosts are refused in words, and do not stay: %s', async (architectures) => {
      await publish('team/other:1', architectures);
      const image = `${registry.plain}/team/other:1`;
      const message = `wrong architecture: image ${image} is for ${architectures.map((one) => `linux/${one}`).join(', ')}, and this host is linux/${host}; build or choose an image for it`;
      await expect(driver.pullImage(image, {}, signal)).rejects.toMatchObject({ code: 'Invalid', message });
      expect([await driver.imageId(image, signal), await listed(image)]).toEqual([undefined, undefined]);
    });

    it('come over TLS for those who know the password', async () => {
      // Docker tries plain HTTP in the end where it need not check certificates.
      const refused = /no basic auth credentials|401|authorization failed|unauthorized|HTTP request to an HTTPS server/i;
      await publish('team/secret:1');
      const image = `${registry.secured}/team/secret:1`;
      await expect(driver.pullImage(image, {}, signal)).rejects.toThrow(refused);
      await expect(driver.pullImage(image, { auth: { ...credentials, password: 'wrong' } }, signal)).rejects.toThrow(refused);
      expect((await driver.pullImage(image, { auth: credentials }, signal)).id).toMatch(/^sha256:/);
    });

    it('come from a mirror, where the engine is told of one by us', async () => {
      await publish('team/mirrored:1');
      const pull = driver.pullImage('elsewhere.example/team/mirrored:1', {}, signal);
      if (harness?.useRegistries) {
        const { id } = await pull;
        expect(await driver.imageId('elsewhere.example/team/mirrored:1', signal)).toBe(id);
      } else await expect(pull).rejects.toMatchObject({ code: expect.any(String) as string });
    });

    it('go on where they broke off', async () => {
      await publish('team/cut:1', [host], layerBytes);
      const image = `${registry.plain}/team/cut:1`;
      registry.line.stallAfter = layerBytes / 2;
      const breakOff = (): void => {
        registry.line.break();
        if (harness?.resumesItself === true) registry.line.mend();
        registry.line.ranges.length = 0;
      };
      const pull = driver.pullImage(image, { progress: ({ doneBytes }) => { if (doneBytes > 0 && registry.line.stallAfter !== undefined) breakOff(); } }, signal);
      if (harness?.resumesItself !== true) {
        await expect(pull).rejects.toMatchObject({ code: expect.any(String) as string });
        await harness?.collectGarbage?.();
        registry.line.mend();
      }
      await (harness?.resumesItself === true ? pull : driver.pullImage(image, {}, signal));
      const resumed = registry.line.ranges.map((range) => Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0));
      expect(Math.max(...resumed)).toBeGreaterThan(0);
    });

    it('tell how far they are, and stop when nobody wants them any more', async () => {
      await publish('team/slow:1', [host], layerBytes);
      registry.line.stallAfter = layerBytes / 2;
      const enough = new AbortController();
      const heard: PullProgress[] = [];
      const pull = driver.pullImage(`${registry.plain}/team/slow:1`, { progress: (known) => { heard.push(known); if (known.doneBytes > 0) enough.abort(new Error('enough')); } }, AbortSignal.any([signal, enough.signal]));
      await expect(pull).rejects.toThrow('enough');
      registry.line.break();
      registry.line.mend();
      const { doneBytes, totalBytes } = heard.at(-1) ?? { doneBytes: 0, totalBytes: 0 };
      expect(totalBytes).toBeGreaterThanOrEqual(layerBytes);
      expect(doneBytes).toBeLessThan(totalBytes);
    });

    it('tell of the layers that they have, so that those need not travel', async () => {
      const file = (path: string, data: Uint8Array): TarEntry => ({ path, type: 'file', mode: 0o644, data });
      const layers = [[file('base', randomBytes(100_000))], [file('middle', randomBytes(50_000))], [file('top', randomBytes(60_000))]];
      const taken = async (name: string, of: readonly (readonly TarEntry[])[]): Promise<PartsOfFile> => {
        const bytes = dockerArchive(name, hostArchitecture(), of, ['/x']);
        const { file: spooled } = await spool(Readable.from([bytes], { objectMode: true }), tmpdir());
        return partsOf(spooled, bytes.length, signal).finally(() => { void spooled.close(); });
      };
      await driver.importImage(Readable.from([dockerArchive('layered:1', hostArchitecture(), layers.slice(0, 2), ['/x'])]), signal);
      const parts = await taken('layered:2', layers);
      const digests = parts.layers[0]?.map(({ digest }) => digest) ?? [];
      const held = await driver.heldLayers?.(parts.layers, signal);
      expect([...held?.keys() ?? []].toSorted()).toEqual(digests.slice(0, 2).toSorted());
      for (const [digest, layer] of held ?? []) {
        const hash = createHash('sha256');
        if (layer !== 'in place') for await (const _ of layer()) break;
        if (layer !== 'in place') for await (const chunk of layer()) hash.update(chunk);
        if (layer !== 'in place') expect(`sha256:${hash.digest('hex')}`).toBe(digest);
      }
      const top = tar(layers[2] ?? []);
      const whole = wholeArchive(parts, ({ digest }) => {
        const layer = held?.get(digest);
        return layer === 'in place' ? undefined : layer?.() ?? Readable.from([top]);
      });
      expect(await driver.importImage(whole, signal)).toEqual([expect.stringContaining('layered:2')]);
      expect(await driver.imageId('docker.io/library/layered:2', signal)).toBeDefined();
      // Upon other layers it may be of no use.
      const turned = await taken('layered:3', layers.toReversed());
      const has = await driver.heldLayers?.(turned.layers, signal);
      expect([...has?.values() ?? []]).not.toContain('in place');
    });

    it('travel in archives', async () => {
      const whole = helloImage;
      const chunks: Uint8Array[] = [];
      for await (const chunk of driver.exportImage(whole, signal)) chunks.push(chunk);
      expect(await driver.importImage(Readable.from(chunks), signal)).toEqual([expect.stringContaining('cleat-hello:1')]);
      const other = imageArchive({ name: 'docker.io/library/other:1', architecture: 's390x' as 'amd64', files: [{ path: 'x', type: 'file', mode: 0o644, data: randomBytes(10) }], entrypoint: ['/x'] });
      await expect(driver.importImage(Readable.from([other]), signal)).rejects.toThrow(`is for linux/s390x, and this host is linux/${host}`);
      expect(await driver.imageId('docker.io/library/other:1', signal)).toBeUndefined();
      await expect(driver.importImage(Readable.from([Buffer.from('no archive')]), signal).then((names) => { if (names.length === 0) throw new Error('nothing'); })).rejects.toThrow();
    });
  });
}

/** containerd collects before it answers that a lease has gone. */
export async function collectGarbage(endpoint: string): Promise<void> {
  for (const args of [['create', '--id', 'garbage'], ['rm', '--sync', 'garbage']]) await execOk('ctr', ['-a', endpoint, '-n', 'test', 'leases', ...args]);
}
