import { freeze } from '#api/meta/equal.ts';
import { isRecord } from '#api/meta/json.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Resource } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { ControlMessage, WireObject } from '#proto/edge/v1/messages.ts';
import { stateResources } from '../state/objects.ts';
import type { Checkpoint, StateChange } from '../state/types.ts';

const maxCompleteBytes = 256 << 20;

/** Applies what one session sends down to the checkpoint, in order. */
export class DownStream {
  readonly #checkpoint: Checkpoint;
  readonly #log: Log;
  #parts: { resource: Resource; object: KubeObject }[] = [];
  #bytes = 0;
  #complete = false;

  constructor(deps: { checkpoint: Checkpoint; log: Log }) {
    this.#checkpoint = deps.checkpoint;
    this.#log = deps.log;
  }

  /** Resolves, once it is on disk, with whether the checkpoint is up to date. */
  async apply({ complete, incremental }: ControlMessage): Promise<boolean> {
    if (complete) {
      for (const wire of complete.objects) this.#add(wire);
      if (!complete.last) return false;
      const parts = this.#parts;
      this.#parts = [];
      this.#bytes = 0;
      await this.#checkpoint.complete(parts, complete.revision);
      this.#complete = true;
    } else if (incremental) {
      if (!this.#complete) throw new StatusError('Conflict', 'a change before the complete state; the session must be opened anew');
      const changes: StateChange[] = incremental.set.flatMap((wire) => this.#parse(wire).map((entry) => ({ type: 'set' as const, ...entry })));
      for (const { resource: name, namespace, name: objectName } of incremental.removed) {
        const resource = stateResources.get(name);
        if (resource) changes.push({ type: 'remove', resource, namespace: namespace || undefined, name: objectName });
      }
      await this.#checkpoint.incremental(changes, incremental.fromRevision, incremental.toRevision);
    }
    return this.#complete;
  }

  #add(wire: WireObject): void {
    this.#bytes += wire.json.length;
    if (this.#bytes > maxCompleteBytes) throw new StatusError('RequestEntityTooLarge', `the control plane sends more than ${String(maxCompleteBytes >> 20)} MiB for this node`);
    this.#parts.push(...this.#parse(wire));
  }

  /** Empty for a resource of a newer control plane. */
  #parse({ resource: name, json }: WireObject): { resource: Resource; object: KubeObject }[] {
    const resource = stateResources.get(name);
    if (!resource) {
      this.#log.debug({ resource: name }, 'a resource that this version does not know was left out');
      return [];
    }
    let object: unknown;
    try {
      object = JSON.parse(Buffer.from(json).toString());
    } catch (error) {
      throw new StatusError('BadRequest', `an object of ${name} that is not JSON`, { cause: error });
    }
    if (!isRecord(object) || !isRecord(object['metadata']) || typeof object['metadata']['name'] !== 'string') throw new StatusError('BadRequest', `an object of ${name} without a name`);
    return [{ resource, object: freeze(object) }];
  }
}
