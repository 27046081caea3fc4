import type { Clock } from '#common/clock.ts';
import { Counter, gauge, Histogram, type Family } from '#common/metrics.ts';
import type { ResourcePath } from './routes/resource-path.ts';

/** What is known of a request when it has been answered. */
export interface RequestAbout {
  /** Kubernetes' verb; the method where there is none. */
  readonly verb: string;
  readonly resource: ResourcePath | undefined;
  /** Of a request that is not on a resource. */
  readonly path: string;
  readonly dryRun: boolean;
}

/** One request while it is worked on. */
export interface Measured {
  /** It is a watch, a log or a connection into a pod, and has begun; call the result when it ends. */
  stream(about: RequestAbout): () => void;
  /** It has been answered, to the end. */
  end(about: RequestAbout, code: number): void;
}

const labels = ['verb', 'dry_run', 'group', 'version', 'resource', 'subresource', 'scope', 'component'];
const seconds = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const methods: Readonly<Record<string, string>> = { create: 'POST', update: 'PUT' };
const streams = new Set(['exec', 'attach', 'portforward', 'proxy']);
const mutating = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);
/** Longer names than Kubernetes' own are no resources. */
const maxLabel = 63;

/** Counts requests under Kubernetes' names of metrics. */
export class RequestMetrics {
  readonly #clock: Clock;
  readonly #total = new Counter('apiserver_request_total', 'Requests answered, by what they asked and the HTTP status.', [...labels, 'code']);
  readonly #seconds = new Histogram('apiserver_request_duration_seconds', 'Time until a request was answered; streams count to their end.', labels, seconds);
  readonly #inFlight = { mutating: 0, readOnly: 0 };
  readonly #streams = new Map<string, { readonly labels: readonly string[]; open: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A request has come. */
  begin(method: string | undefined): Measured {
    const started = this.#clock.monotonic();
    const kind = method === 'GET' || method === 'HEAD' ? 'readOnly' : 'mutating';
    this.#inFlight[kind]++;
    return {
      stream: (about) => {
        const closed = this.#stream(about);
        // It may last for hours; those who wait for an answer are counted here.
        this.#inFlight[kind]--;
        return () => { this.#inFlight[kind]++; closed(); };
      },
      end: (about, code) => {
        this.#inFlight[kind]--;
        const values = labelsOf(about);
        this.#total.add([...values, String(code)]);
        // How long a watch lasts says nothing of how quick we are.
        if (about.verb !== 'watch') this.#seconds.observe(values, (this.#clock.monotonic() - started) / 1000);
      },
    };
  }

  #stream(about: RequestAbout): () => void {
    const values = labelsOf(about);
    const key = values.join('\0');
    const series = this.#streams.get(key) ?? { labels: values, open: 0 };
    this.#streams.set(key, series);
    series.open++;
    return () => {
      if (--series.open === 0) this.#streams.delete(key);
    };
  }

  * collect(): Iterable<Family> {
    yield* this.#total.collect();
    yield* this.#seconds.collect();
    yield gauge('apiserver_current_inflight_requests', 'Requests that are worked on now.', Object.entries(this.#inFlight).map(([kind, value]) => ({ labels: { request_kind: kind }, value })));
    const open = [...this.#streams.values()].map(({ labels: values, open: value }) => ({ labels: Object.fromEntries(labels.map((name, i) => [name, values[i] ?? ''])), value }));
    yield gauge('apiserver_longrunning_requests', 'Watches, logs and connections into pods that are open now.', open);
    const watches = open.filter((sample) => sample.labels['verb'] === 'WATCH').map(({ labels: { group = '', version = '', resource = '' }, value }) => ({ labels: { group, version, resource }, value }));
    yield gauge('apiserver_registered_watchers', 'Watches that are open now.', watches);
  }
}

function labelsOf({ verb, resource, path, dryRun }: RequestAbout): string[] {
  if (!resource) return [verb.toUpperCase(), '', '', '', '', cut(path), '', 'apiserver'];
  const name = streams.has(resource.subresource ?? '') ? 'CONNECT' : methods[verb] ?? verb.toUpperCase();
  const scope = resource.name !== undefined || verb === 'create' ? 'resource' : resource.namespace === undefined ? 'cluster' : 'namespace';
  return [name, dryRun && mutating.has(verb) ? 'All' : '', cut(resource.group), cut(resource.version), cut(resource.plural), cut(resource.subresource ?? ''), scope, 'apiserver'];
}

function cut(text: string): string {
  return text.slice(0, maxLabel);
}
