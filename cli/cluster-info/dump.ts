import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { isAnswer } from '../error-text.ts';
import { fileTrouble } from '../file-trouble.ts';
import { printObjects } from '../printing/objects.ts';
import type { Io } from '../types.ts';

interface DumpOptions {
  readonly output: string;
  readonly managedFields: boolean;
  /** Empty or `-` is standard output. */
  readonly directory: string;
  /** Undefined is all of them. */
  readonly namespaces: readonly string[] | undefined;
}

interface List { readonly kind?: string; readonly items: { readonly metadata: { readonly name: string; managedFields?: unknown } }[] }

/** Of a namespace: the file, and where the objects are. */
const lists = [
  ['events', '/api/v1', 'events'], ['replication-controllers', '/api/v1', 'replicationcontrollers'], ['services', '/api/v1', 'services'],
  ['daemonsets', '/apis/apps/v1', 'daemonsets'], ['deployments', '/apis/apps/v1', 'deployments'], ['replicasets', '/apis/apps/v1', 'replicasets'], ['pods', '/api/v1', 'pods'],
] as const;

/** Writes down what helps to find out what is wrong with a cluster, in the files that kubectl makes. */
export class ClusterDump {
  readonly #client: RestClient;
  readonly #io: Io;
  readonly #options: DumpOptions;

  constructor(client: RestClient, io: Io, options: DumpOptions) {
    this.#client = client;
    this.#io = io;
    this.#options = options;
  }

  async write(): Promise<void> {
    await this.#objects('nodes', '/api/v1/nodes');
    const namespaces = this.#options.namespaces ?? (await this.#client.json<List>('GET', '/api/v1/namespaces')).items.map(({ metadata }) => metadata.name);
    for (const namespace of namespaces) {
      let pods: List = { items: [] };
      for (const [file, root, plural] of lists) pods = await this.#objects(join(namespace, file), `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`);
      for (const pod of pods.items) await this.#logs(namespace, pod as unknown as Pod);
    }
    const { directory } = this.#options;
    if (this.#inFiles) this.#io.out(`Cluster info dumped to ${directory}\n`);
  }

  get #inFiles(): boolean {
    return this.#options.directory !== '' && this.#options.directory !== '-';
  }

  async #objects(name: string, path: string): Promise<List> {
    const { output, managedFields } = this.#options;
    const list = await this.#client.json<List>('GET', path);
    if (!managedFields) for (const { metadata } of list.items) delete metadata.managedFields;
    const text = await printObjects([list], { output, headers: true, managedFields, single: true });
    await this.#to(`${name}${output === 'json' || output === 'yaml' ? `.${output}` : '.txt'}`, async (write) => write(text));
    return list;
  }

  async #logs(namespace: string, { metadata, spec }: Pod): Promise<void> {
    const name = metadata?.name ?? '';
    await this.#to(join(namespace, name, 'logs.txt'), async (write) => {
      for (const container of [...spec?.initContainers ?? [], ...spec?.containers ?? []]) {
        const what = `logs for container ${container.name} of pod ${namespace}/${name} ====\n`;
        await write(`==== START ${what}`);
        try {
          for await (const chunk of this.#client.bytes(`/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log?container=${encodeURIComponent(container.name)}`)) await write(chunk);
        } catch (error) {
          if (!isAnswer(error)) throw error;
          await write(`Request log error: ${messageOf(error)}\n`);
        }
        await write(`==== END ${what}`);
      }
    });
  }

  /** Calls `fill` with what writes to the file, or to standard output at its reader's pace. */
  async #to(name: string, fill: (write: (text: string | Uint8Array) => Promise<void>) => Promise<void>): Promise<void> {
    if (!this.#inFiles) {
      await fill(async (text) => { if (!this.#io.out(text)) await once(process.stdout, 'drain'); });
      return;
    }
    const path = join(this.#options.directory, name);
    const trying = <T>(act: () => T): T => {
      try {
        return act();
      } catch (error) {
        throw new StatusError('BadRequest', `cannot write ${path}: ${fileTrouble(error)}`, { cause: error });
      }
    };
    const file = trying(() => {
      mkdirSync(dirname(path), { recursive: true });
      return openSync(path, 'w');
    });
    try {
      await fill((text) => Promise.resolve(trying(() => { writeFileSync(file, text); })));
    } finally {
      closeSync(file);
    }
  }
}
