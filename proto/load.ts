import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** How messages look in JavaScript: camelCase, 64-bit integers as numbers, absent fields at their defaults, `oneof` names the field set. */
const shape: protobuf.IConversionOptions = { longs: Number, enums: String, defaults: true, arrays: true, oneofs: true };

/**
 * The services of one `.proto` file, by full name (`cleat.edge.v1.Agents`), as grpc-js takes them for servers and
 * clients. Parsing and keeping the descriptors costs some milliseconds and megabytes, so call it when a service is
 * first used, once. It does without @grpc/proto-loader because that also builds descriptors for reflection: 1.3 MB
 * and 30 ms that nothing here needs.
 */
export function loadServices(file: URL): ReadonlyMap<string, ServiceDefinition> {
  const { root } = protobuf.parse(readFileSync(file, 'utf8'), { keepCase: false });
  root.resolveAll();
  const services = new Map<string, ServiceDefinition>();
  const visit = (namespace: protobuf.NamespaceBase): void => {
    for (const nested of namespace.nestedArray) {
      if (nested instanceof protobuf.Service) services.set(nested.fullName.slice(1), definitionOf(nested));
      else if (nested instanceof protobuf.Namespace) visit(nested);
    }
  };
  visit(root);
  return services;
}

function definitionOf(service: protobuf.Service): ServiceDefinition {
  return Object.fromEntries(service.methodsArray.map((method) => [method.name, methodOf(service, method)]));
}

function methodOf(service: protobuf.Service, method: protobuf.Method): MethodDefinition<object, object> {
  const { resolvedRequestType: request, resolvedResponseType: response } = method;
  if (!request || !response) throw new Error(`types of ${method.fullName} are not resolved`);
  return {
    path: `/${service.fullName.slice(1)}/${method.name}`,
    originalName: method.name.charAt(0).toLowerCase() + method.name.slice(1),
    requestStream: method.requestStream ?? false,
    responseStream: method.responseStream ?? false,
    requestSerialize: serializer(request),
    requestDeserialize: deserializer(request),
    responseSerialize: serializer(response),
    responseDeserialize: deserializer(response),
  };
}

function serializer(type: protobuf.Type): (message: object) => Buffer {
  return (message) => Buffer.from(type.encode(type.fromObject(message)).finish());
}

function deserializer(type: protobuf.Type): (bytes: Buffer) => object {
  return (bytes) => type.toObject(type.decode(bytes), shape);
}
