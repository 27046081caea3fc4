import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { Opaque, sizeOf, ValueMap, type Value } from '../values.ts';
import { regex, traversal, withPattern } from './standard.ts';

const whole = ([text]: readonly Value[]): number => traversal(sizeOf(text as Value));

/** An absolute URL or an absolute path, taken apart but not changed. */
class UrlValue extends Opaque {
  readonly typeName = 'kubernetes.URL';
  readonly text: string;
  readonly parts: UrlParts;
  constructor(text: string, parts: UrlParts) { super(); this.text = text; this.parts = parts; }
  equals(other: Opaque): boolean { return other instanceof UrlValue && other.text === this.text; }
}

interface UrlParts { readonly scheme: string; readonly host: string; readonly hostname: string; readonly port: string; readonly path: string; readonly query: string }

const shape = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?:\/\/(?:[^/?#@]*@)?([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?$/;

function parse(text: string): UrlParts | undefined {
  const match = shape.exec(text);
  const [, scheme = '', host = '', path = '', query = ''] = match ?? [];
  // Go's ParseRequestURI: absolute, one way or the other.
  if (!match || (scheme === '' && !text.startsWith('/')) || /[\x00-\x1f\x7f]/.test(text) || /\s/.test(host) || /%(?![0-9a-fA-F]{2})/.test(path)) return undefined; // oxlint-disable-line no-control-regex
  const address = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(host);
  if (!address || (scheme !== '' && !text.slice(scheme.length + 1).startsWith('/'))) return undefined;
  return { scheme: scheme.toLowerCase(), host, hostname: (address[1] ?? '').replace(/^\[|\]$/g, ''), port: address[2] ?? '', path, query };
}

function escapedPath(path: string): string {
  return path.replaceAll(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]/gu, (char) => encodeURIComponent(char));
}

export const urls: readonly Overload[] = [
  define('url(string): kubernetes.URL', (text: string) => {
    const parts = parse(text);
    if (!parts) throw new CelError(`URL parse error during conversion from string: parse "${text}": invalid URI for request`);
    return new UrlValue(text, parts);
  }, whole),
  define('isURL(string): bool', (text: string) => parse(text) !== undefined, whole),
  define('kubernetes.URL.getScheme(): string', ({ parts }: UrlValue) => parts.scheme),
  define('kubernetes.URL.getHost(): string', ({ parts }: UrlValue) => parts.host),
  define('kubernetes.URL.getHostname(): string', ({ parts }: UrlValue) => parts.hostname),
  define('kubernetes.URL.getPort(): string', ({ parts }: UrlValue) => parts.port),
  define('kubernetes.URL.getEscapedPath(): string', ({ parts }: UrlValue) => escapedPath(parts.path)),
  define('kubernetes.URL.getQuery(): map(string, list(string))', ({ parts }: UrlValue) => {
    const query = new URLSearchParams(parts.query);
    return new ValueMap([...new Set(query.keys())].map((key) => [key, query.getAll(key)] as const));
  }),
  withPattern('string.find(string): string', (pattern, text) => pattern.find(text) ?? ''),
  withPattern('string.findAll(string): list(string)', (pattern, text) => pattern.findAll(text, -1)),
  define('string.findAll(string, int): list(string)', (text: string, pattern: string, limit: bigint) => regex(pattern).findAll(text, Number(limit)), ([text, pattern]) => traversal(sizeOf(text as Value)) * Math.max(1, sizeOf(pattern as Value))),
];
