/**
 * Kubernetes' rules for names: each function returns undefined, or the message that Kubernetes gives.
 * Source: k8s.io/apimachinery/pkg/util/validation.
 */
const dns1123LabelText = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const dns1123SubdomainText = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const dns1035LabelText = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const qualifiedNameText = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const labelValueText = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const envVarNameText = "a valid environment variable name must consist only of printable ASCII characters other than '='";
const configMapKeyText = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/** What made-up names are made of: no vowels nor what looks like them, so that none spells a word. Source: k8s.io/apimachinery/pkg/util/rand. */
export const safeCharacters = 'bcdfghjklmnpqrstvwxz2456789';

function check(value: string, max: number, pattern: RegExp, text: string): string | undefined {
  if (value.length > max) return `must be no more than ${max} bytes`;
  return pattern.test(value) ? undefined : text;
}

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

export function dns1123Label(value: string): string | undefined {
  return check(value, 63, label, dns1123LabelText);
}

export function dns1123Subdomain(value: string): string | undefined {
  return check(value, 253, subdomain, dns1123SubdomainText);
}

export function dns1035Label(value: string): string | undefined {
  return check(value, 63, /^[a-z]([-a-z0-9]*[a-z0-9])?$/, dns1035LabelText);
}

/** Keys of labels and annotations: `[prefix/]name`. */
export function qualifiedName(value: string): string | undefined {
  const parts = value.split('/');
  if (parts.length > 2) {
    return "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
  }
  const [prefix, name] = parts.length === 2 ? [parts[0] ?? '', parts[1] ?? ''] : [undefined, value];
  if (prefix !== undefined) {
    if (prefix === '') return 'prefix part must be non-empty';
    const message = dns1123Subdomain(prefix);
    if (message !== undefined) return `prefix part ${message}`;
  }
  if (name === '') return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 bytes';
  return /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/.test(name) ? undefined : qualifiedNameText;
}

export function labelValue(value: string): string | undefined {
  return check(value, 63, /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/, labelValueText);
}

/** What may stand as one segment of a URL's path. */
export function pathSegment(value: string): string | undefined {
  if (value === '.' || value === '..') return `may not be '${value}'`;
  if (value.includes('/')) return "may not contain '/'";
  return value.includes('%') ? "may not contain '%'" : undefined;
}

/** Keys of ConfigMaps and Secrets. */
export function configMapKey(value: string): string | undefined {
  const message = check(value, 253, /^[-._a-zA-Z0-9]+$/, configMapKeyText);
  if (message !== undefined) return message;
  if (value === '.') return "must not be '.'";
  if (value === '..') return "must not be '..'";
  return value.startsWith('..') ? "must not start with '..'" : undefined;
}

export function envVarName(value: string): string | undefined {
  if (value === '') return 'environment variable name must be non-empty';
  return /^[ -<>-~]+$/.test(value) ? undefined : envVarNameText;
}

/** Names of container ports and of a Service's named target port. */
export function portName(value: string): string | undefined {
  if (value.length > 15) return 'must be no more than 15 characters';
  if (!/^[-a-z0-9]*$/.test(value)) return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
  if (!/[a-z]/.test(value)) return 'must contain at least one letter (a-z)';
  if (value.includes('--')) return 'must not contain consecutive hyphens';
  return value.startsWith('-') || value.endsWith('-') ? 'must not begin or end with a hyphen' : undefined;
}

export function portNumber(value: number): string | undefined {
  return Number.isInteger(value) && value >= 1 && value <= 65_535 ? undefined : 'must be between 1 and 65535, inclusive';
}

/** `*.example.com`: one label that may be any, and a domain. */
export function wildcardSubdomain(value: string): string | undefined {
  return check(value, 253, /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/, "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
}

/** `acme.io/foo`: who, and what of theirs. */
export function domainPrefixedPath(value: string): string | undefined {
  const slash = value.indexOf('/');
  if (slash <= 0 || slash === value.length - 1) return 'must be a domain-prefixed path (such as "acme.io/foo")';
  const problem = dns1123Subdomain(value.slice(0, slash));
  if (problem !== undefined) return problem;
  return /^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(value.slice(slash + 1)) ? undefined : "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
}

/** Names of admission webhooks. */
export function fullyQualifiedName(value: string): string | undefined {
  return dns1123Subdomain(value) ?? (value.split('.').length < 3 ? 'should be a domain with at least three segments separated by dots' : undefined);
}
