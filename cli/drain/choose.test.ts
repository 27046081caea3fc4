import { describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { choosePods, nameOf, type DrainRules } from './choose.ts';

const pod = (name: string, change: { owner?: string; uid?: string; emptyDir?: boolean; phase?: string; mirror?: boolean } = {}): Pod => ({
  metadata: { name, namespace: 'a', ...(change.mirror && { annotations: { 'kubernetes.io/config.mirror': 'x' } }), ...(change.owner !== undefined && { ownerReferences: [{ apiVersion: 'v1', kind: change.owner, name: 'o', uid: change.uid ?? 'u', controller: true }] }) },
  spec: { containers: [], ...(change.emptyDir && { volumes: [{ name: 'v', emptyDir: {} }] }) }, status: { phase: change.phase ?? 'Running' },
});
const rules: DrainRules = { force: false, ignoreDaemonSets: false, deleteEmptyDir: false, daemonSets: new Set(['ds']) };

describe('draining a node', () => {
  it.each<[string, Pod, Partial<DrainRules>, boolean, RegExp | undefined, RegExp | undefined]>([
    ['a pod of a ReplicaSet goes', pod('p', { owner: 'ReplicaSet' }), {}, true, undefined, undefined],
    ['a pod of nobody needs force', pod('p'), {}, true, /declare no controller \(use --force to override\): a\/p/, undefined],
    ['and goes with it', pod('p'), { force: true }, true, undefined, /deleting Pods that declare no controller: a\/p/],
    ['unless it has finished', pod('p', { phase: 'Succeeded' }), {}, true, undefined, undefined],
    ['a pod of a DaemonSet stops the drain', pod('p', { owner: 'DaemonSet', uid: 'ds' }), {}, false, /use --ignore-daemonsets/, undefined],
    ['or stays', pod('p', { owner: 'DaemonSet', uid: 'ds' }), { ignoreDaemonSets: true }, false, undefined, /ignoring DaemonSet-managed Pods: a\/p/],
    ['a pod of a DaemonSet that is gone needs force', pod('p', { owner: 'DaemonSet', uid: 'gone' }), { ignoreDaemonSets: true }, true, /whose DaemonSet is gone/, undefined],
    ['local data stops the drain', pod('p', { owner: 'ReplicaSet', emptyDir: true }), {}, true, /--delete-emptydir-data/, undefined],
    ['or is lost', pod('p', { owner: 'ReplicaSet', emptyDir: true }), { deleteEmptyDir: true }, true, undefined, undefined],
    ['a mirror pod stays', pod('p', { mirror: true }), {}, false, undefined, undefined],
  ])('%s', (_, given, change, goes, error, warning) => {
    const { evict, errors, warnings } = choosePods([given], { ...rules, ...change });
    expect(evict.map(nameOf)).toEqual(goes ? ['a/p'] : []);
    expect(errors).toEqual(error ? [expect.stringMatching(error)] : []);
    expect(warnings).toEqual(warning ? [expect.stringMatching(warning)] : []);
  });
});
