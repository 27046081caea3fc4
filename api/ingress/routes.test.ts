import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Ingress, IngressBackend, IngressSpec, Service } from '../gen/types.ts';
import { isServed } from './ingress.ts';
import { routesOf, type IngressObjects, type Routes } from './routes.ts';

const to = (name: string, port: number | string = 80): IngressBackend => ({ service: { name, port: typeof port === 'number' ? { number: port } : { name: port } } });
const ingress = (name: string, spec: IngressSpec, at = '2026-01-01T00:00:00Z'): Ingress => ({ metadata: { name, namespace: 'default', uid: name, creationTimestamp: at }, spec });
const rule = (host: string | undefined, ...paths: readonly (readonly [pathType: string, path: string | undefined, service: string])[]) => ({ host, http: { paths: paths.map(([pathType, path, service]) => ({ pathType, path, backend: to(service) })) } });
const service = (name: string, spec: Service['spec'] = {}): Service => ({ metadata: { name, namespace: 'default' }, spec: { ports: [{ name: 'web', port: 80, protocol: 'TCP' }], ipFamilies: ['IPv4'], ...spec } });

function routes(ingresses: readonly Ingress[], over: Partial<IngressObjects> = {}): Routes {
  return routesOf({ ingresses, service: (_, name) => (name === 'missing' ? undefined : service(name)), slices: () => [], certificateProblem: () => undefined, ...over });
}

/** What the proxy does with a request, written down a second time: the order that `Routes` promises. */
function serving({ exact, prefix, hostDefaults, fallback }: Routes, url: string): string | undefined {
  const slash = url.indexOf('/');
  const [host, path] = [url.slice(0, slash), url.slice(slash)];
  const wildcard = host.replace(/^[^.]+/, '*');
  const found = [host, wildcard, ''].map((name) => exact.get(name + path) ?? longest(prefix, `${name}${path}/`)).find((one) => one !== undefined);
  return (found ?? hostDefaults.get(host) ?? hostDefaults.get(wildcard) ?? fallback)?.split(':')[1];
}

function longest(prefix: ReadonlyMap<string, string>, text: string): string | undefined {
  return [...prefix].filter(([key]) => text.startsWith(key)).sort(([a], [b]) => b.length - a.length)[0]?.[1];
}

describe('paths', () => {
  // The table of https://kubernetes.io/docs/concepts/services-networking/ingress/#examples; then what goes beyond it.
  it.each<[kind: string, paths: readonly string[], request: string, expected: string | undefined]>([
    ['Prefix', ['/'], '/anything', '/'],
    ['Exact', ['/foo'], '/foo', '/foo'],
    ['Exact', ['/foo'], '/bar', undefined],
    ['Exact', ['/foo'], '/foo/', undefined],
    ['Exact', ['/foo/'], '/foo', undefined],
    ['Prefix', ['/foo'], '/foo', '/foo'],
    ['Prefix', ['/foo'], '/foo/', '/foo'],
    ['Prefix', ['/foo/'], '/foo', '/foo/'],
    ['Prefix', ['/foo/'], '/foo/', '/foo/'],
    ['Prefix', ['/aaa/bb'], '/aaa/bbb', undefined],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbb', '/aaa/bbb'],
    ['Prefix', ['/aaa/bbb/'], '/aaa/bbb', '/aaa/bbb/'],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbb/', '/aaa/bbb'],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbb/ccc', '/aaa/bbb'],
    ['Prefix', ['/aaa/bbb'], '/aaa/bbbxyz', undefined],
    ['Prefix', ['/', '/aaa'], '/aaa/ccc', '/aaa'],
    ['Prefix', ['/', '/aaa', '/aaa/bbb'], '/aaa/bbb', '/aaa/bbb'],
    ['Prefix', ['/', '/aaa', '/aaa/bbb'], '/ccc', '/'],
    ['Prefix', ['/aaa'], '/ccc', undefined],
    ['ImplementationSpecific', ['/aaa'], '/aaa/b', '/aaa'],
    ['ImplementationSpecific', [''], '/anything', ''],
  ])('%s %j for %s: %s', (pathType, paths, request, expected) => {
    const all = routes([ingress('i', { rules: [rule('a.com', ...paths.map((path, i) => [pathType, path, `s${String(i)}`] as const))] })]);
    expect(serving(all, `a.com${request}`)).toBe(expected === undefined ? undefined : `s${String(paths.indexOf(expected))}`);
  });

  it('prefer Exact to Prefix', () => {
    const all = routes([ingress('i', { rules: [rule('a.com', ['Prefix', '/foo', 'prefix'], ['Exact', '/foo', 'exact'])] })]);
    expect([serving(all, 'a.com/foo'), serving(all, 'a.com/foo/')]).toEqual(['exact', 'prefix']);
  });

  it('that no request can have, or that look like patterns, are told of', () => {
    const all = routes([ingress('i', { rules: [rule('a.com', ['ImplementationSpecific', '/a b', 's'], ['Prefix', '/x\ny', 's'], ['ImplementationSpecific', '/v(1|2)', 's'])] })]);
    expect(all.problems.map(({ reason }) => reason)).toEqual(['BadPath', 'BadPath', 'BadPath']);
    expect([...all.prefix.keys()]).toEqual(['a.com/v(1|2)/']);
  });
});

describe('hosts', () => {
  // https://kubernetes.io/docs/concepts/services-networking/ingress/#hostname-wildcards
  it.each([
    ['*.foo.com', 'bar.foo.com/', true], ['*.foo.com', 'baz.bar.foo.com/', false], ['*.foo.com', 'foo.com/', false], ['foo.com', 'bar.foo.com/', false], [undefined, 'any.org/', true],
  ])('%s for %s: %s', (host, request, expected) => {
    expect(serving(routes([ingress('i', { rules: [rule(host, ['Prefix', '/', 's'])] })]), request) === 's').toBe(expected);
  });

  it('that are named come first, then wildcards, then rules for all, then defaults', () => {
    const all = routes([
      ingress('i', { rules: [rule('a.foo.com', ['Prefix', '/x', 'named']), rule('*.foo.com', ['Prefix', '/x', 'wild'], ['Prefix', '/w', 'wild']), rule(undefined, ['Prefix', '/all', 'all'])] }),
      ingress('own', { rules: [rule('a.foo.com', ['Prefix', '/own', 'named'])], defaultBackend: to('host-default') }),
      ingress('rest', { defaultBackend: to('rest') }, '2025-01-01T00:00:00Z'),
    ]);
    expect(['a.foo.com/x', 'b.foo.com/x', 'a.foo.com/w', 'a.foo.com/all', 'a.foo.com/other', 'b.foo.com/other'].map((url) => serving(all, url))).toEqual(['named', 'wild', 'wild', 'all', 'host-default', 'rest']);
    expect(all.problems).toEqual([]);
  });

  it('and paths that two ask for are the older one\'s', () => {
    const all = routes([ingress('young', { rules: [rule('a.com', ['Prefix', '/', 'young'])] }, '2026-02-01T00:00:00Z'), ingress('old', { rules: [rule('A.com', ['Prefix', '/', 'old'])] })]);
    expect(serving(all, 'a.com/')).toBe('old');
    expect(all.problems.map(({ ingress: about, reason }) => [about.metadata?.name, reason])).toEqual([['young', 'Conflict']]);
  });
});

describe('backends', () => {
  const slice = (port: number, ...endpoints: NonNullable<EndpointSlice['endpoints']>): EndpointSlice => ({ addressType: 'IPv4', ports: [{ name: 'web', port }], endpoints });
  const endpoints = (slices: readonly EndpointSlice[], backend = to('s')): unknown => routes([ingress('i', { defaultBackend: backend })], { slices: () => slices }).backends[0]?.endpoints.map(({ ip, port }) => `${ip}:${String(port)}`);

  it('get the endpoints that are ready or, when none is, those that still serve while they end', () => {
    const ending = { addresses: ['10.0.0.3'], conditions: { ready: false, serving: true, terminating: true } };
    const dead = { addresses: ['10.0.0.4'], conditions: { ready: false, serving: false, terminating: true } };
    const starting = { addresses: ['10.0.0.5'], conditions: { ready: false, serving: true } };
    expect(endpoints([slice(8080, { addresses: ['10.0.0.2'] }, { addresses: ['10.0.0.9\nserver x'] }, ending, dead), slice(9090, { addresses: ['10.0.0.1'], conditions: { ready: true } })])).toEqual(['10.0.0.1:9090', '10.0.0.2:8080']);
    expect(endpoints([slice(8080, ending, dead, starting)])).toEqual(['10.0.0.3:8080']);
    expect(endpoints([slice(8080, { addresses: ['10.0.0.1'] })], to('s', 'web'))).toEqual(['10.0.0.1:8080']);
  });

  it('of another family, or of ports that are not meant, are left out', () => {
    expect(endpoints([{ ...slice(1, { addresses: ['fd00::1'] }), addressType: 'IPv6' }, { ...slice(2, { addresses: ['10.0.0.1'] }), ports: [{ name: 'metrics', port: 2 }] }])).toEqual([]);
  });

  it('that are missing are told of, and answer nothing', () => {
    const all = routes([ingress('i', { rules: [rule('a.com', ['Prefix', '/', 'missing'])], defaultBackend: to('s', 'nope') }), ingress('r', { defaultBackend: { resource: { kind: 'Bucket', name: 'b' } } })]);
    expect(all.problems.map(({ reason }) => reason)).toEqual(['PortNotFound', 'ServiceNotFound', 'UnsupportedBackend']);
    expect(all.backends.map(({ endpoints: own }) => own)).toEqual([[], []]);
  });

  it('say what they speak, and whether clients stay', () => {
    const of = (spec: Service['spec']) => routes([ingress('i', { defaultBackend: to('s') })], { service: () => service('s', spec) }).backends[0];
    expect(of({ ports: [{ port: 80, appProtocol: 'kubernetes.io/h2c' }], sessionAffinity: 'ClientIP' })).toMatchObject({ protocol: 'h2c', sticky: true });
    expect(of({ type: 'ExternalName', externalName: 'a.b' })).toMatchObject({ endpoints: [] });
  });
});

describe('certificates', () => {
  it('are one for each Secret, the default first; of two for one host the older Ingress\'s counts', () => {
    const tls = (name: string, hosts: string[], at?: string): Ingress => ingress(name, { defaultBackend: to('s'), tls: [{ hosts, secretName: name }] }, at);
    const all = routes([tls('old', ['a.com', '*.b.com']), tls('young', ['A.com', 'c.com'], '2026-02-01T00:00:00Z'), tls('default', [], '2026-03-01T00:00:00Z')]);
    expect(all.certificates.map(({ secretName, hosts }) => [secretName, ...hosts])).toEqual([['default'], ['old', 'a.com', '*.b.com'], ['young', 'c.com']]);
    expect(all.problems.map(({ ingress: about, reason }) => [about.metadata?.name, reason])).toEqual([['young', 'Conflict']]);
  });

  it('that are missing are told of', () => {
    const all = routes([ingress('i', { defaultBackend: to('s'), tls: [{ hosts: ['a.com'], secretName: 'x' }, { hosts: ['b.com'] }] })], { certificateProblem: () => 'it is not there' });
    expect([all.certificates, all.problems.map(({ message }) => message)]).toEqual([[], ['TLS for a.com is not served: it is not there', 'TLS for b.com is not served: no secretName is given']]);
  });
});

describe('redirects to HTTPS', () => {
  const redirecting = (name: string, wish: string, spec: IngressSpec): Ingress => ({ ...ingress(name, spec), metadata: { name, namespace: 'default', annotations: { 'cleat.dev/ssl-redirect': wish } } });

  it('are for the paths of the Ingresses that ask for them alone', () => {
    const tls = [{ hosts: ['*.com'], secretName: 'x' }];
    const all = routes([redirecting('shop', 'true', { rules: [rule('a.com', ['Prefix', '/', 's'])], tls }), ingress('acme', { rules: [rule('a.com', ['Prefix', '/.well-known/acme-challenge', 's'])] })]);
    expect([all.prefix.get('a.com/'), all.prefix.get('a.com/.well-known/acme-challenge/'), all.problems]).toEqual(['default:s:80:https', 'default:s:80', []]);
    expect(all.backends.map(({ name, httpsOnly }) => [name, httpsOnly])).toEqual([['default:s:80', false], ['default:s:80:https', true]]);
  });

  it('that lead where no certificate is, or that nobody understands, are told of', () => {
    const all = routes([redirecting('shop', 'true', { rules: [rule('A.com', ['Prefix', '/', 's'])] }), redirecting('rest', 'true', { defaultBackend: to('s') }), redirecting('odd', 'yes', { rules: [rule('b.com', ['Prefix', '/', 's'])] })]);
    expect(all.problems.map(({ ingress: about, reason, message }) => [about.metadata?.name, reason, /for (a.com|every host) are redirected/.exec(message)?.[1]])).toEqual([['odd', 'BadAnnotation', undefined], ['rest', 'NoCertificate', 'every host'], ['shop', 'NoCertificate', 'a.com']]);
    expect(all.prefix.get('b.com/')).toBe('default:s:80');
    expect(routes([redirecting('rest', 'true', { defaultBackend: to('s'), tls: [{ secretName: 'x' }] })]).problems).toEqual([]);
  });
});

describe('a class', () => {
  it('says whether Cleat serves an Ingress', () => {
    const classNamed = (name: string) => ({ ours: { spec: { controller: 'cleat.dev/ingress' } }, theirs: { spec: { controller: 'k8s.io/ingress-nginx' } } })[name];
    const served = (spec: IngressSpec, annotations?: Record<string, string>): boolean => isServed({ metadata: { annotations }, spec }, classNamed);
    expect([served({ ingressClassName: 'ours' }), served({}, { 'kubernetes.io/ingress.class': 'ours' }), served({ ingressClassName: 'theirs' }), served({ ingressClassName: 'gone' }), served({})]).toEqual([true, true, false, false, false]);
  });
});
