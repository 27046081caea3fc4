import { describe, expect, it } from 'vitest';
import type { Ingress, Node } from '#api/gen/types.ts';
import { firstClass, reconcileIngresses } from './reconcile.ts';

const node = (name: string, said: string, ready = 'True'): Node => ({ metadata: { name, annotations: { 'cleat.dev/ingress': said } }, status: { conditions: [{ type: 'Ready', status: ready }], addresses: [{ type: 'InternalIP', address: `10.0.0.${name}` }, { type: 'Hostname', address: name }] } });
const ingress: Ingress = { metadata: { name: 'web', namespace: 'default' }, spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } }, tls: [{ hosts: ['a.test'], secretName: 'tls' }] } };
const look = (one: Ingress, nodes: readonly Node[]) => reconcileIngresses({ ingresses: [one], nodes, service: () => undefined, secret: () => ({ metadata: {}, data: {} }) });

describe('Ingresses', () => {
  it('are reached where they are served by hosts that are well', () => {
    const { actions } = look(ingress, [node('3', 'ready'), node('1', 'ready'), node('2', 'on'), node('4', 'ready', 'Unknown')]);
    expect(actions).toMatchObject([{ type: 'update', subresource: 'status', object: { status: { loadBalancer: { ingress: [{ ip: '10.0.0.1' }, { ip: '10.0.0.3' }] } } } }]);
    expect(look({ ...ingress, status: { loadBalancer: { ingress: [{ ip: '10.0.0.1' }] } } }, [node('1', 'ready')]).actions).toEqual([]);
    expect(look({ ...ingress, status: { loadBalancer: { ingress: [{ ip: '10.0.0.1' }] } } }, []).actions).toMatchObject([{ object: { status: { loadBalancer: {} } } }]);
  });

  it('have problems that say what to do', () => {
    expect(look(ingress, []).problems.map(({ reason, message }) => [reason, message])).toEqual([
      ['ServiceNotFound', 'Service default/web does not exist; requests for it are answered with 503 until it does'],
      ['NoCertificate', 'TLS for a.test is not served: Secret default/tls lacks tls.crt or tls.key; make it with kubectl create secret tls'],
    ]);
  });

  it('get a class, the default one where there is no other', () => {
    const isDefault = { 'ingressclass.kubernetes.io/is-default-class': 'true' };
    expect(firstClass([])).toMatchObject([{ type: 'create', object: { metadata: { name: 'cleat', annotations: isDefault } } }]);
    expect(firstClass([{ metadata: { name: 'nginx', annotations: isDefault }, spec: { controller: 'k8s.io/ingress-nginx' } }])).toEqual([{ type: 'create', resource: expect.anything() as unknown, object: { metadata: { name: 'cleat' }, spec: { controller: 'cleat.dev/ingress' } } }]);
    expect(firstClass([{ metadata: { name: 'edge' }, spec: { controller: 'cleat.dev/ingress' } }])).toEqual([]);
  });
});
