import type { FieldError } from '#api/meta/field-error.ts';
import type { Resource } from '#api/kinds/resources.ts';
import { qualifiedName } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';

/** Kubernetes' texts and details for the errors that clients match on. Source: k8s.io/apimachinery/pkg/api/errors. */
type Named = Pick<Resource, 'group' | 'plural' | 'kind'>;

function details(resource: Named, name: string): { name?: string; group?: string; kind: string } {
  return { ...(name !== '' && { name }), ...(resource.group !== '' && { group: resource.group }), kind: resource.plural };
}

export function notFound(resource: Named, name: string): StatusError {
  return new StatusError('NotFound', `${qualifiedName(resource)} "${name}" not found`, { details: details(resource, name) });
}

export function alreadyExists(resource: Named, name: string): StatusError {
  return new StatusError('AlreadyExists', `${qualifiedName(resource)} "${name}" already exists`, { details: details(resource, name) });
}

export function conflict(resource: Named, name: string, why = 'the object has been modified; please apply your changes to the latest version and try again'): StatusError {
  return new StatusError('Conflict', `Operation cannot be fulfilled on ${qualifiedName(resource)} "${name}": ${why}`, { details: details(resource, name) });
}

export function forbidden(resource: Named, name: string, why: string, cause?: { reason: string; message: string; field?: string }): StatusError {
  return new StatusError('Forbidden', `${qualifiedName(resource)} "${name}" is forbidden: ${why}`, { details: { ...details(resource, name), ...(cause && { causes: [cause] }) } });
}

/** 422 with one cause per broken rule: `Deployment.apps "web" is invalid: spec.replicas: Invalid value: …`. */
export function invalid(kind: { readonly group: string; readonly kind: string }, name: string, errors: readonly FieldError[]): StatusError {
  const texts = [...new Set(errors.map((error) => `${error.field}: ${error.message}`))];
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const summary = texts.length === 1 ? texts[0] ?? '' : `[${texts.join(', ')}]`;
  return new StatusError('Invalid', `${qualified} "${name}" is invalid: ${summary}`, {
    details: {
      ...(name !== '' && { name }), ...(kind.group !== '' && { group: kind.group }), kind: kind.kind,
      causes: errors.map(({ type, message, field }) => ({ reason: type, message, field })),
    },
  });
}

export function methodNotAllowed(resource: Named, action: string): StatusError {
  return new StatusError('MethodNotAllowed', `${action} is not supported on resources of kind "${qualifiedName(resource)}"`, { details: details(resource, '') });
}

/** A path that nothing serves; also what Kubernetes answers for a resource that it does not know. Some clients fail without details. */
export function noSuchPath(): StatusError {
  return new StatusError('NotFound', 'the server could not find the requested resource', { details: {} });
}

export function badRequest(message: string, cause?: unknown): StatusError {
  return new StatusError('BadRequest', message, { cause });
}
