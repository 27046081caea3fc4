import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isStatus, StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { ownLabels } from '../pod-labels.ts';
import type { DockerEngine } from './engine.ts';
import { imageHolder } from './mapping.ts';
import type { InspectedContainer, InspectedImage } from './messages.ts';

const namePrefix = 'cleat-image-';
const slowMs = 120_000;
/** The kernel takes a page of options. */
const maxOptionBytes = 4000;

/**
 * The root file systems of Docker's images, for others than containers: an overlay of their layers' folders, which
 * Docker tells. A container that is made, and never started, keeps Docker from removing these.
 */
export class ImageMounts {
  readonly #engine: DockerEngine;
  readonly #owner: string;

  constructor(engine: DockerEngine, owner: string) {
    this.#engine = engine;
    this.#owner = owner;
  }

  async mount(image: string, key: string, dir: string, signal: AbortSignal): Promise<void> {
    const found = await this.#inspect(image, signal);
    const known = layersOf(found);
    const held = await this.#hold(found.Id, key, signal);
    const layers = held === found.Id ? known : layersOf(await this.#inspect(held, signal));
    // A single layer is nothing to lay over each other.
    if (layers.length === 1) await execOk('mount', ['-o', 'bind,ro', ...layers, dir], { signal });
    else await this.#overlay(layers, dir, signal);
  }

  async release(key: string, signal: AbortSignal): Promise<void> {
    await this.#engine.call('DELETE', `/containers/${namePrefix}${key}`, { query: { force: true, v: true }, timeoutMs: slowMs }, signal).catch((error: unknown) => { if (!isStatus(error, 'NotFound')) throw error; });
  }

  /** Resolves with the id of the image that is held by this key, which may be held since an earlier time. */
  async #hold(id: string, key: string, signal: AbortSignal): Promise<string> {
    const request = {
      Image: id, Cmd: ['none'], Healthcheck: { Test: ['NONE'] },
      Labels: { [ownLabels.owner]: this.#owner, [ownLabels.kind]: imageHolder },
      HostConfig: { NetworkMode: 'none', LogConfig: { Type: 'none' } },
    };
    try {
      await this.#engine.call('POST', '/containers/create', { query: { name: `${namePrefix}${key}` }, json: request, timeoutMs: slowMs }, signal);
      return id;
    } catch (error) {
      if (!isStatus(error, 'Conflict')) throw error;
      return (await this.#engine.call<InspectedContainer>('GET', `/containers/${namePrefix}${key}/json`, { has: ['Id', 'Image'] }, signal)).Image;
    }
  }

  #inspect(image: string, signal: AbortSignal): Promise<InspectedImage> {
    return this.#engine.call<InspectedImage>('GET', `/images/${image.split('/').map(encodeURIComponent).join('/')}/json`, { has: ['Id'] }, signal);
  }

  /** Of very many layers the kernel is told by the short names that Docker has for them. */
  async #overlay(layers: readonly string[], dir: string, signal: AbortSignal): Promise<void> {
    const whole = layers.join(':');
    if (whole.length <= maxOptionBytes) {
      await execOk('mount', ['-t', 'overlay', 'overlay', dir, '-o', `ro,lowerdir=${whole}`], { signal });
      return;
    }
    const short = await Promise.all(layers.map(async (layer) => `l/${(await readFile(join(layer, '../link'), 'utf8')).trim()}`));
    await execOk('mount', ['-t', 'overlay', 'overlay', dir, '-o', `ro,lowerdir=${short.join(':')}`], { signal, cwd: join(layers[0] ?? '', '../..') });
  }
}

/** The folders of its layers, the upper before the lower. */
function layersOf({ GraphDriver: { Name: driver, Data: data } = { Name: 'none that it tells of', Data: null } }: InspectedImage): string[] {
  const upper = data?.['UpperDir'];
  if (driver === 'overlay2' && upper !== undefined) return [upper, ...data?.['LowerDir']?.split(':') ?? []];
  throw new StatusError('Invalid', `volumes of images need Docker's storage driver overlay2, and this one has ${driver}; choose overlay2 ("storage-driver" in /etc/docker/daemon.json), or have an init container of that image copy its files into an emptyDir`);
}
