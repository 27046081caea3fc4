import { describe, expect, it } from 'vitest';
import type { Ingress, IngressClass, Node, Secret } from '#api/gen/types.ts';
import { keyOf, objectKey, type KubeObject } from '#api/meta/object.ts';
import type { Informer } from '../cache/types.ts';
import { IngressIndex } from './ingresses.ts';

/** An informer of what it is given. */
class Fed<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #listeners: ((change: { object: T | undefined; old: T | undefined }) => void)[] = [];
  readonly informer: Informer<T>;

  constructor() {
    this.informer = {
      get: (namespace: string | undefined, name: string) => this.#objects.get(objectKey(namespace, name)),
      list: (namespace?: string) => [...this.#objects.values()].filter(({ metadata }) => namespace === undefined || metadata?.namespace === namespace),
      by: () => [], synced: () => Promise.resolve(),
      subscribe: (listener: (change: { object: T | undefined; old: T | undefined }) => void) => { this.#listeners.push(listener); return () => undefined; },
    } as unknown as Informer<T>;
  }

  set(object: T): void {
    const old = this.#objects.get(keyOf(object));
    this.#objects.set(keyOf(object), object);
    for (const listener of this.#listeners) listener({ object, old });
  }
}

describe('Ingresses', () => {
  it('and their keys go to hosts that serve them, and to no other', () => {
    const [all, classes, secrets, nodes] = [new Fed<Ingress>(), new Fed<IngressClass>(), new Fed<Secret>(), new Fed<Node>()];
    const marked: string[] = [];
    const index = new IngressIndex({ ingresses: all.informer, ingressClasses: classes.informer, secrets: secrets.informer, nodes: nodes.informer }, (node, key) => { marked.push(`${node ?? '*'} ${key}`); });
    index.start();
    const node = (name: string, said: string): void => { nodes.set({ metadata: { name, annotations: { 'cleat.dev/ingress': said } } }); };
    const seen = (name: string): string[] => [...index.keysOf(name)].filter((key) => { const [resource = '', object = ''] = key.split(' '); return index.objectFor(name, resource, object) !== undefined; });
    node('a', 'on');
    node('b', 'off');
    classes.set({ metadata: { name: 'ours' }, spec: { controller: 'cleat.dev/ingress' } });
    all.set({ metadata: { namespace: 'x', name: 'web' }, spec: { ingressClassName: 'ours', tls: [{ secretName: 'tls' }] } });
    all.set({ metadata: { namespace: 'x', name: 'other' }, spec: { ingressClassName: 'theirs', tls: [{ secretName: 'theirs' }] } });
    for (const name of ['tls', 'theirs', 'unnamed']) secrets.set({ metadata: { namespace: 'x', name }, data: { 'tls.crt': 'Yw==', 'tls.key': 'aw==', more: 'bQ==' } });
    const expected = ['ingresses.networking.k8s.io x/web', 'ingresscertificates.edge.cleat.dev x/tls'];
    expect([seen('a'), seen('b'), seen('c')]).toEqual([expected, [], []]);
    expect(index.objectFor('a', 'ingresscertificates.edge.cleat.dev', 'x/tls')).toEqual({ metadata: { namespace: 'x', name: 'tls' }, certificate: 'Yw==', key: 'aw==' });
    expect(index.objectFor('a', 'ingresscertificates.edge.cleat.dev', 'x/unnamed')).toBeUndefined();
    expect(marked.filter((key) => key.includes('edge.cleat.dev x/unnamed'))).toEqual([]);
    marked.length = 0;
    node('b', 'ready');
    expect([marked.filter((key) => key.startsWith('b ')).length > 0, seen('b')]).toEqual([true, expected]);
    node('a', 'off');
    expect([marked.includes(`a ${expected[1] ?? ''}`), seen('a')]).toEqual([true, []]);
  });
});
