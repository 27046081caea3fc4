import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
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
 * field set. Parsing and keeping the descriptors costs some milliseconds and megabytes, so call it when a service is
 * first used, once. It does without @grpc/proto-loader because that also builds descriptors for reflection: 1.3 MB
 * and 30 ms that nothing here needs.
 */
export function loadContract(file: URL, { longs = 'number' }: LoadOptions = {}): Contract {
  const shape: protobuf.IConversionOptions = { longs: longs === 'number' ? Number : String, enums: String, defaults: true, arrays: true, oneofs: true };
  const root = new protobuf.Root().loadSync(fileURLToPath(file)).resolveAll();
  const services = new Map<string, ServiceDefinition>();
  const visit = (namespace: protobuf.NamespaceBase): void => {
    for (const nested of namespace.nestedArray) {
      if (nested instanceof protobuf.Service) services.set(nested.fullName.slice(1), definitionOf(nested, shape));
      else if (nested instanceof protobuf.Namespace) visit(nested);
    }
  };
  visit(root);
  return { services, deserializer: (type) => deserializer(root.lookupType(type), shape) };
}

function definitionOf(service: protobuf.Service, shape: protobuf.IConversionOptions): ServiceDefinition {
  return Object.fromEntries(service.methodsArray.map((method) => [method.name, methodOf(service, method, shape)]));
}

function methodOf(service: protobuf.Service, method: protobuf.Method, shape: protobuf.IConversionOptions): MethodDefinition<object, object> {
  const { resolvedRequestType: request, resolvedResponseType: response } = method;
  if (!request || !response) throw new Error(`types of ${method.fullName} are not resolved`);
  return {
    path: `/${service.fullName.slice(1)}/${method.name}`,
    originalName: method.name.charAt(0).toLowerCase() + method.name.slice(1),
    requestStream: method.requestStream ?? false,
    responseStream: method.responseStream ?? false,
    requestSerialize: serializer(request),
    requestDeserialize: deserializer(request, shape),
    responseSerialize: serializer(response),
    responseDeserialize: deserializer(response, shape),
  };
}

function serializer(type: protobuf.Type): (message: object) => Buffer {
  return (message) => Buffer.from(type.encode(type.fromObject(message)).finish());
}

function deserializer(type: protobuf.Type, shape: protobuf.IConversionOptions): (bytes: Buffer) => object {
  return (bytes) => type.toObject(type.decode(bytes), shape);
}
