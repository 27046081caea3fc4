import type { Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { rfc3339 } from '#common/time.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import type { SchedulerCache } from './cache.ts';
import { architectureOf, imagesNotForPlatform } from './image-platforms.ts';
import { podInfo } from './pod-info.ts';
import type { PodInfo } from './types.ts';

/** Filters whose answer does not depend on what else runs on a node: where these let a pod be, it may at least wait for room. */
export const lastingFilters: ReadonlySet<string> = new Set(['ImageArchitecture', 'NodeAffinity', 'NodeUnschedulable', 'TaintToleration', 'VolumeBinding', 'VolumeZone']);

/** Others that are in the same place tell of themselves meanwhile, after a start above all. */
const settleMs = 1000;
const retryMs = 30_000;

export interface MisplacedDeps {
  readonly api: ApiClient;
  readonly events: EventRecorder;
  readonly cache: Pick<SchedulerCache, 'node' | 'images'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly isOurs: (schedulerName: string) => boolean;
  /** Where the pod might be instead, if anywhere. */
  readonly elsewhere: (pod: PodInfo) => string | undefined;
  /** Runs until the scheduler ends. */
  readonly run: (work: (signal: AbortSignal) => Promise<void>) => void;
}

/**
 * The first pod of an image may come to a host for which the image is not made: nobody knew. It cannot start there, ever.
 * When its owner makes another in its place, and there is a node that can have that one, it is deleted.
 */
export class Misplaced {
  readonly #deps: MisplacedDeps;
  /** By uid: pods that wait for an image that has nothing for their host. */
  readonly #waiting = new Map<string, Pod>();
  #isDue = false;

  constructor(deps: MisplacedDeps) {
    this.#deps = deps;
  }

  onPod({ object, old }: { readonly object: Pod | undefined; readonly old: Pod | undefined }): void {
    const uid = (object ?? old)?.metadata?.uid ?? '';
    if (object && this.#mayMove(object)) {
      this.#waiting.set(uid, object);
      this.#lookSoon(settleMs);
    } else {
      this.#waiting.delete(uid);
    }
  }

  /** There may be a place now. */
  onNode(): void {
    if (this.#waiting.size > 0) this.#lookSoon(settleMs);
  }

  #mayMove(pod: Pod): boolean {
    const { metadata, spec } = pod;
    const owner = metadata?.ownerReferences?.find(({ controller }) => controller);
    return spec?.nodeName !== undefined && owner !== undefined && owner.kind !== 'Node' && metadata?.deletionTimestamp === undefined
      && this.#deps.isOurs(spec.schedulerName ?? '') && imagesNotForPlatform(pod).length > 0;
  }

  /** Looks at all once, however many changes there are meanwhile. */
  #lookSoon(afterMs: number): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#deps.run(async (signal) => {
      await this.#deps.clock.sleep(afterMs, signal);
      this.#isDue = false;
      // As they are now: one that cannot be deleted comes in anew, for the next look.
      const waiting = Array.from(this.#waiting.values());
      for (const pod of waiting) await this.#look(pod);
    });
  }

  async #look(pod: Pod): Promise<void> {
    const { cache, elsewhere, log } = this.#deps;
    const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
    const node = pod.spec?.nodeName ?? '';
    const architecture = architectureOf(cache.node(node)?.labels ?? {});
    const [image] = imagesNotForPlatform(pod);
    if (architecture === undefined || image === undefined || !this.#isNews(pod, image, architecture)) return;
    const other = elsewhere(podInfo(pod));
    if (other === undefined || architectureOf(cache.node(other)?.labels ?? {}) === architecture) return;
    // Nobody else is to begin with it meanwhile.
    this.#waiting.delete(uid);
    try {
      await this.#delete(pod, `image ${image} is not made for the architecture of node ${node} (${architecture}); ${other} can have the pod`);
      log.info({ namespace, name, node, other, image }, 'pod is made anew where its image can run');
    } catch (error) {
      if (isStatus(error, 'NotFound', 'Conflict')) return;
      this.#waiting.set(uid, pod);
      log.warn({ namespace, name, node, err: messageOf(error) }, 'pod cannot be taken off a node that its image is not made for; trying again later');
      this.#lookSoon(retryMs);
    }
  }

  /** Nobody knew when the pod was made. One that was made later did not come here by our choice, and would come here again. */
  #isNews({ metadata }: Pod, image: string, architecture: string): boolean {
    const knownMs = this.#deps.cache.images.refusedSinceMs(image, architecture);
    return knownMs !== undefined && Date.parse(metadata?.creationTimestamp ?? '') <= knownMs;
  }

  async #delete({ metadata, spec }: Pod, why: string): Promise<void> {
    const { api, events, clock } = this.#deps;
    const { namespace, name = '', uid = '' } = metadata ?? {};
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'ImageNotForNode', message: `${spec?.schedulerName ?? 'default-scheduler'}: ${why}`, lastTransitionTime: rfc3339(clock.now()) };
    await api.patch(pods, namespace, name, 'strategic', { metadata: { uid }, status: { conditions: [condition] } }, 'status');
    await api.delete(pods, namespace, name, { preconditions: { uid } });
    events.event({ apiVersion: 'v1', kind: 'Pod', metadata: metadata ?? {} }, 'Warning', 'ImageNotForNode', `Deleted, for its owner to make it anew: ${why}`);
  }
}
