import type { Container, HTTPGetAction, LifecycleHandler, Probe } from '../gen/types.ts';
import { duplicate, forbidden, invalid, required, type FieldError } from '../meta/field-error.ts';
import { portName, portNumber } from '../meta/names.ts';
import { inRange, notNegative, requiredText, supported } from '../meta/rules.ts';

const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const;
type Handlers = Probe & LifecycleHandler;
const headerText = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

/** A port's number, or the name of one. */
export function validatePortReference(port: number | string | undefined, field: string): FieldError[] {
  const problem = typeof port === 'string' ? portName(port) : portNumber(port ?? 0);
  return problem === undefined ? [] : [invalid(field, port ?? 0, problem)];
}

function validateHttp(action: HTTPGetAction, field: string): FieldError[] {
  return [
    ...requiredText(`${field}.path`, action.path),
    ...validatePortReference(action.port, `${field}.port`),
    ...supported(`${field}.scheme`, action.scheme, ['HTTP', 'HTTPS']),
    ...(action.httpHeaders ?? []).flatMap((header) => (/^[-A-Za-z0-9]+$/.test(header.name ?? '') ? [] : [invalid(`${field}.httpHeaders`, header.name ?? '', headerText)])),
  ];
}

/** Exactly one handler, and a sound one. */
function validateHandler(handler: Handlers, field: string, graceSeconds: number | undefined): FieldError[] {
  const [first, ...more] = handlers.filter((name) => handler[name] !== undefined);
  if (first === undefined) return [required(field, 'must specify a handler type')];
  const errors = more.map((name) => forbidden(`${field}.${name}`, 'may not specify more than 1 handler type'));
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  switch (first) {
    case 'exec': return (exec?.command ?? []).length === 0 ? [required(`${field}.exec.command`), ...errors] : errors;
    case 'httpGet': return [...(httpGet === undefined ? [] : validateHttp(httpGet, `${field}.httpGet`)), ...errors];
    case 'tcpSocket': return [...validatePortReference(tcpSocket?.port, `${field}.tcpSocket.port`), ...errors];
    case 'grpc': return [...validatePortReference(grpc?.port, `${field}.grpc.port`), ...errors];
    case 'sleep': {
      const seconds = sleep?.seconds ?? 0;
      if (graceSeconds === undefined || (seconds >= 0 && seconds <= graceSeconds)) return errors;
      return [invalid(`${field}.sleep`, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`), ...errors];
    }
  }
}

function validateProbe(probe: Probe, field: string): FieldError[] {
  return [
    ...validateHandler(probe, field, undefined),
    ...(['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'] as const)
      .flatMap((name) => notNegative(`${field}.${name}`, probe[name])),
    ...(probe.terminationGracePeriodSeconds !== undefined && probe.terminationGracePeriodSeconds <= 0
      ? [invalid(`${field}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds, 'must be greater than 0')] : []),
  ];
}

export function validateLifecycle({ lifecycle }: Container, field: string, graceSeconds: number | undefined): FieldError[] {
  return (['postStart', 'preStop'] as const).flatMap((name) => {
    const handler = lifecycle?.[name];
    return handler === undefined ? [] : validateHandler(handler, `${field}.lifecycle.${name}`, graceSeconds ?? Infinity);
  });
}

export function validateProbes(container: Container, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[name];
    if (probe === undefined) continue;
    const path = `${field}.${name}`;
    errors.push(...validateProbe(probe, path));
    if (name !== 'readinessProbe') {
      if (probe.successThreshold !== 1) errors.push(invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1'));
    } else if (probe.terminationGracePeriodSeconds !== undefined) {
      errors.push(invalid(`${path}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds, 'must not be set for readinessProbes'));
    }
  }
  return errors;
}

export function validatePorts({ ports }: Container, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, port] of (ports ?? []).entries()) {
    const path = `${field}.ports[${index}]`;
    if (port.name) {
      const problem = portName(port.name);
      if (problem !== undefined) errors.push(invalid(`${path}.name`, port.name, problem));
      else if (names.has(port.name)) errors.push(duplicate(`${path}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${path}.containerPort`));
    else errors.push(...inRange(`${path}.containerPort`, port.containerPort, 1, 65_535));
    if (port.hostPort) errors.push(...inRange(`${path}.hostPort`, port.hostPort, 1, 65_535));
    errors.push(...supported(`${path}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']));
  }
  return errors;
}
