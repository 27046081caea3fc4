import { randomUUID } from 'node:crypto';
import type { WebhookConversion } from '#api/gen/types.ts';
import { isRecord } from '#api/meta/json.ts';
import { equal } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { messageOf, StatusError } from '#common/errors.ts';

type ClientConfig = NonNullable<WebhookConversion['clientConfig']>;

/** Sends a review to a webhook and answers with what comes back as JSON. Rejects with a StatusError. */
export type WebhookCaller = (config: ClientConfig, review: unknown, timeoutMs: number) => Promise<unknown>;

const timeoutMs = 30_000;

/** Conversion by webhook. Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion */
export class ConversionWebhook {
  readonly #call: WebhookCaller;

  constructor(call: WebhookCaller) {
    this.#call = call;
  }

  /** The objects in `apiVersion`, in order. Those that are in it already are not sent. */
  async convert(definition: string, { clientConfig, conversionReviewVersions }: WebhookConversion, objects: readonly KubeObject[], apiVersion: string): Promise<readonly KubeObject[]> {
    const fail = (why: string, cause?: unknown): StatusError => new StatusError('InternalError', `conversion webhook for ${definition} failed: ${why}`, { cause });
    const foreign = objects.filter((object) => object.apiVersion !== apiVersion);
    if (foreign.length === 0) return objects;
    if (!clientConfig) throw fail('it has no clientConfig');
    const version = conversionReviewVersions.find((one) => one === 'v1' || one === 'v1beta1') ?? 'v1';
    const uid = randomUUID();
    const review = { kind: 'ConversionReview', apiVersion: `apiextensions.k8s.io/${version}`, request: { uid, desiredAPIVersion: apiVersion, objects: foreign } };
    let answer: unknown;
    try {
      answer = await this.#call(clientConfig, review, timeoutMs);
    } catch (error) {
      throw fail(messageOf(error), error);
    }
    const converted = convertedObjects(answer, { uid, apiVersion: review.apiVersion, count: foreign.length }, fail);
    let next = 0;
    return objects.map((object) => (object.apiVersion === apiVersion ? object : checked(converted[next++], object, apiVersion, fail)));
  }
}

type Fail = (why: string) => StatusError;

function convertedObjects(answer: unknown, asked: { readonly uid: string; readonly apiVersion: string; readonly count: number }, fail: Fail): readonly unknown[] {
  if (!isRecord(answer) || answer['kind'] !== 'ConversionReview' || answer['apiVersion'] !== asked.apiVersion) throw fail(`the answer is no ConversionReview of ${asked.apiVersion}`);
  const { response } = answer;
  if (!isRecord(response)) throw fail('no response provided');
  if (response['uid'] !== asked.uid) throw fail(`expected response.uid=${JSON.stringify(asked.uid)}, got ${JSON.stringify(response['uid'])}`);
  const { result, convertedObjects: list } = response;
  if (!isRecord(result) || result['status'] !== 'Success') throw fail(isRecord(result) && typeof result['message'] === 'string' && result['message'] !== '' ? result['message'] : 'response.result.status was not Success');
  if (!Array.isArray(list) || list.length !== asked.count) throw fail(`expected ${String(asked.count)} converted objects, got ${String(Array.isArray(list) ? list.length : 0)}`);
  return list;
}

const mutable = new Set(['labels', 'annotations']);

/** A webhook may change all but the object's identity; of the metadata it keeps the labels and annotations that it answers with. */
function checked(converted: unknown, original: KubeObject, apiVersion: string, fail: Fail): KubeObject {
  if (!isRecord(converted)) throw fail('a converted object is no object');
  const { metadata } = converted;
  if (converted['apiVersion'] !== apiVersion) throw fail(`a converted object has apiVersion ${JSON.stringify(converted['apiVersion'])}, expected ${JSON.stringify(apiVersion)}`);
  if (converted['kind'] !== original.kind) throw fail(`a converted object has kind ${JSON.stringify(converted['kind'])}, expected ${JSON.stringify(original.kind)}`);
  if (!isRecord(metadata)) throw fail('a converted object has no metadata');
  const before = (original.metadata ?? {}) as Record<string, unknown>;
  for (const field of ['name', 'namespace', 'uid'] as const) if (!equal(metadata[field], before[field])) throw fail(`a converted object has another metadata.${field}`);
  const kept = Object.fromEntries(Object.entries(before).filter(([key]) => !mutable.has(key)));
  const given = Object.fromEntries(Object.entries(metadata).filter(([key, value]) => mutable.has(key) && isRecord(value)));
  return { ...converted, metadata: { ...kept, ...given } };
}
