import { describe, expect, it } from 'vitest';
import type { Pod, Taint, Toleration } from '#api/gen/types.ts';
import { actionOnReturn, leave, stayMs } from './reconcile.ts';

const unreachable: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' };
const outOfService: Taint = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' };
const gpu: Taint = { key: 'gpu', effect: 'NoExecute' };

interface Options { readonly policy?: string; readonly tolerations?: Toleration[]; readonly replaced?: boolean; readonly ready?: boolean; readonly phase?: string }
function pod({ policy = '', tolerations = [], replaced = false, ready = true, phase = 'Running' }: Options): Pod {
  const annotations = Object.fromEntries(policy.split(' ').filter(Boolean).map((word) => { const [key = '', value = ''] = word.split('='); return [`cleat.dev/disconnect-${key}`, value]; }));
  return {
    metadata: { name: 'p', namespace: 'default', uid: 'u', annotations, ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'set', controller: true }] }, spec: { containers: [], tolerations },
    status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }, ...(replaced ? [{ type: 'cleat.dev/Replaced', status: 'True' }] : [])] },
  };
}
const fiveMinutes: Toleration = { key: unreachable.key!, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 };
const everything: Toleration = { operator: 'Exists' };
const minutes = (count: number): number => count * 60_000;

describe('how long a pod stays', () => {
  it.each<[string, Options, Taint[], number]>([
    ['Kubernetes\' way', { tolerations: [fiveMinutes] }, [unreachable], minutes(5)],
    ['without a toleration', {}, [unreachable], 0],
    ['kept', { policy: 'policy=keep', tolerations: [fiveMinutes] }, [unreachable], Infinity],
    ['kept, but the taint is another', { policy: 'policy=keep' }, [unreachable, gpu], 0],
    ['kept, on a node out of service', { policy: 'policy=keep' }, [unreachable, outOfService], 0],
    ['replaced, tolerant or not', { policy: 'policy=replace replace-after=1m', tolerations: [fiveMinutes] }, [unreachable], minutes(1)],
    ['replaced late, whatever it does not tolerate', { policy: 'policy=replace replace-after=1h' }, [unreachable], minutes(60)],
    ['replaced already', { policy: 'policy=replace on-return=original', replaced: true }, [unreachable], Infinity],
    ['replaced already, and its node is put out of service', { policy: 'policy=replace on-return=original', replaced: true }, [unreachable, outOfService], 0],
    ['tolerating everything', { tolerations: [everything] }, [unreachable, gpu], Infinity],
  ])('%s', (_, options, taints, ms) => {
    expect(stayMs(pod(options), taints)).toBe(ms);
  });
});

describe('leaving', () => {
  const kinds = (options: Options, taints: Taint[]): string[] => leave(pod(options), taints, 0).map((action) => (action.type === 'event' ? action.reason : action.type));
  it.each<[string, Options, Taint[], string[]]>([
    ['is a deletion', {}, [unreachable], ['TaintManagerEviction', 'patch', 'delete']],
    ['is a deletion when the replacement is to stay', { policy: 'policy=replace' }, [unreachable], ['TaintManagerEviction', 'patch', 'delete']],
    ['only makes room when the original is to stay', { policy: 'policy=replace on-return=original' }, [unreachable], ['patch', 'HostDisconnected']],
    ['is a deletion for a pod that has ended', { policy: 'policy=replace on-return=original', phase: 'Failed' }, [unreachable], ['TaintManagerEviction', 'patch', 'delete']],
    ['is a deletion where another taint demands it', { policy: 'policy=replace on-return=original' }, [unreachable, gpu], ['TaintManagerEviction', 'patch', 'delete']],
    ['is a deletion on a node that is out of service', { policy: 'policy=replace on-return=original', replaced: true }, [outOfService], ['TaintManagerEviction', 'patch', 'delete']],
  ])('%s', (_, options, taints, expected) => {
    expect(kinds(options, taints)).toEqual(expected);
  });
});

describe('an original whose host is back', () => {
  const original = { policy: 'policy=replace on-return=original', replaced: true };
  it.each<[string, boolean, number, string[], number | undefined]>([
    ['counts again once it is ready', true, 0, ['patch', 'HostReturned'], undefined],
    ['is waited for', false, minutes(1), [], minutes(4)],
    ['is given up when it does not become ready', false, minutes(5), ['HostReturned', 'delete'], undefined],
  ])('%s', (_, ready, backMs, kinds, afterMs) => {
    const decision = actionOnReturn(pod({ ...original, ready }), backMs, 0);
    expect([decision.actions.map((action) => (action.type === 'event' ? action.reason : action.type)), decision.afterMs]).toEqual([kinds, afterMs]);
  });
});
