import { existsSync } from 'node:fs';
import { isAbsolute, join, normalize } from 'node:path';
import type { Socket } from 'node:net';
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { isExtendedResource } from '#api/pod-spec/resources.ts';
import { messageOf } from '#common/errors.ts';
import { TaskGroup } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { DeviceSink } from '../types.ts';
import { withPlainAuthority } from './authority.ts';
import { loadPluginContract, type PluginContract, type RegisterRequest } from './contract.ts';
import { Plugin } from './plugin.ts';

export interface RegistrationDeps {
  readonly sink: DeviceSink;
  readonly log: Log;
  /** Says something about the node that a person should know. */
  readonly tell: (reason: string, message: string) => void;
  /** Called with a socket that a plugin has made: those are left behind when plugins are killed. */
  readonly record: (path: string) => Promise<void>;
}

const version = 'v1beta1';

/** The kubelet's side of `Registration`: whoever registers is connected to at its own socket, and followed until it ends. */
export class PluginRegistration {
  readonly #deps: RegistrationDeps;
  readonly #folder: string;
  readonly #contract: PluginContract = loadPluginContract();
  readonly #server = new Server();
  readonly #injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  readonly #plugins = new Map<string, AbortController>();
  readonly #tasks: TaskGroup;
  readonly #signal: AbortSignal;

  /** `folder`: where plugins put their sockets. */
  constructor(deps: RegistrationDeps, folder: string, signal: AbortSignal) {
    this.#deps = deps;
    this.#folder = folder;
    this.#signal = signal;
    this.#tasks = new TaskGroup(deps.log);
    this.#server.addService(this.#contract.registration, { Register: (call: ServerUnaryCall<RegisterRequest, object>, answer: sendUnaryData<object>) => { this.#register(call.request, answer); } });
    signal.addEventListener('abort', () => { this.#server.forceShutdown(); }, { once: true });
  }

  accept(socket: Socket): void {
    this.#injector.injectConnection(withPlainAuthority(socket));
  }

  #register(request: RegisterRequest, answer: sendUnaryData<object>): void {
    const problem = problemOf(request);
    if (problem !== undefined) {
      this.#deps.log.warn({ resource: request.resourceName, endpoint: request.endpoint, err: problem }, 'refused a device plugin');
      refuse(answer, problem);
      return;
    }
    const { resourceName: resource } = request;
    const replaced = new AbortController();
    const stop = AbortSignal.any([this.#signal, replaced.signal]);
    this.#tasks.run(`device plugin ${resource}`, stop, async () => {
      await this.#follow(request, answer, replaced, stop);
      if (this.#plugins.get(resource) === replaced) this.#plugins.delete(resource);
    });
  }

  /**
   * Until it ends: a plugin that starts again registers again. One that serves is answered when it has been talked to, as by
   * today's kubelet; one that does not yet, at once: by the contract it may begin when it is registered.
   */
  async #follow({ resourceName: resource, endpoint, options }: RegisterRequest, answer: sendUnaryData<object>, replaced: AbortController, signal: AbortSignal): Promise<void> {
    const { sink, log, tell } = this.#deps;
    const path = join(this.#folder, endpoint);
    const plugin = new Plugin(this.#contract, path);
    const serves = existsSync(path);
    if (!serves) answer(null, {});
    let offered = false;
    let end: string;
    try {
      await this.#deps.record(path);
      await plugin.connect(options, signal).catch((error: unknown) => {
        if (serves) refuse(answer, messageOf(error));
        throw error;
      });
      if (serves) answer(null, {});
      log.info({ resource, endpoint }, 'a device plugin has registered');
      this.#plugins.get(resource)?.abort(new Error('another plugin has registered for the resource'));
      this.#plugins.set(resource, replaced);
      sink.offer(resource, plugin);
      offered = true;
      for await (const devices of plugin.watch(signal)) sink.update(resource, plugin, devices);
      end = 'it ended its list of devices';
    } catch (error) {
      end = messageOf(error);
    } finally {
      plugin.close();
    }
    // Whoever has taken its place speaks for the devices now.
    if (signal.aborted) return;
    if (offered) sink.lose(resource, plugin);
    log.warn({ resource, endpoint, err: end }, offered ? 'a device plugin is gone' : 'a device plugin that registered cannot be talked to');
    if (!offered) tell('DevicePluginRefused', `the device plugin of ${resource} (${endpoint}) has registered and cannot be talked to: ${end}. Whoever had these devices before goes on`);
    else tell('DevicePluginGone', `the device plugin of ${resource} (${endpoint}) is gone: ${end}. Containers that have its devices keep them; no other gets any until it registers again`);
  }
}

/** With the kubelet's code. */
function refuse(answer: sendUnaryData<object>, details: string): void {
  answer({ code: status.UNKNOWN, details });
}

/** Why it cannot register, in the kubelet's words. */
function problemOf({ version: asked, endpoint, resourceName }: RegisterRequest): string | undefined {
  if (asked !== version) return `requested API version "${asked}" is not supported by kubelet. Supported version is ["${version}"]`;
  if (!isExtendedResource(resourceName)) return `the ResourceName "${resourceName}" is invalid`;
  if (endpoint === '' || isAbsolute(endpoint) || normalize(endpoint).startsWith('..')) return `the Endpoint "${endpoint}" is invalid: expected the name of a socket in the folder of device plugins`;
  return undefined;
}
