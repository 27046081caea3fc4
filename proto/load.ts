import { fileURLToPath } from 'node:url';
import { loadSync, type AnyDefinition, type MessageTypeDefinition } from '@grpc/proto-loader';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

export interface LoadOptions {
  /** What 64-bit integers become. Numbers are exact up to 2^53, so times in nanoseconds need strings. */
  readonly longs?: 'number' | 'string';
}

export interface Contract {
  /** By full name (`cleat.edge.v1.Agents`), as grpc-js takes them for servers and clients. */
  readonly services: ReadonlyMap<string, ServiceDefinition>;
  /** Reads one message of a type that no method names, such as what an `Any` holds. */
  deserializer(type: string): (bytes: Buffer) => object;
}

/**
 * One `.proto` file. Messages in JavaScript are camelCase, with absent fields at their defaults; `oneof`s name the
 * field set. Parsing costs some tens of milliseconds and keeping the result some megabytes, so call it when a service
 * is first used, once.
 */
export function loadContract(file: URL, { longs = 'number' }: LoadOptions = {}): Contract {
  const definitions = loadSync(fileURLToPath(file), { longs: longs === 'number' ? Number : String, enums: String, defaults: true, arrays: true, oneofs: true });
  const services = new Map<string, ServiceDefinition>();
  const messages = new Map<string, (bytes: Buffer) => object>();
  for (const [name, definition] of Object.entries(definitions)) {
    if (isMessage(definition)) messages.set(name, definition.deserialize);
    else if (definition['format'] === undefined) services.set(name, servicesOnly(definition as ServiceDefinition));
  }
  return {
    services,
    deserializer: (type) => {
      const found = messages.get(type);
      if (!found) throw new Error(`${fileURLToPath(file)} has no message ${type}`);
      return found;
    },
  };
}

function isMessage(definition: AnyDefinition): definition is MessageTypeDefinition<object, object> {
  return definition['format'] === 'Protocol Buffer 3 DescriptorProto';
}

/** Without the descriptors for reflection, which nothing here asks for and which hold a megabyte. */
function servicesOnly(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(Object.entries(service).map(([name, method]) => [name, methodOnly(method)]));
}

function methodOnly({ path, originalName, requestStream, responseStream, requestSerialize, requestDeserialize, responseSerialize, responseDeserialize }: MethodDefinition<object, object>): MethodDefinition<object, object> {
  return { path, requestStream, responseStream, requestSerialize, requestDeserialize, responseSerialize, responseDeserialize, ...(originalName !== undefined && { originalName }) };
}
