import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { podPaths, type PodPaths } from './paths.ts';
import { testNode, testPod } from './testing.ts';
import { UserRanges, userNamespaceProblem } from './user-namespaces.ts';

let stateDir: string;
let ranges: UserRanges;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'cleat-users-'));
  await mkdir(join(stateDir, 'etc'));
  ranges = open();
});
afterEach(async () => { await rm(stateDir, { recursive: true, force: true }); });

const open = (): UserRanges => new UserRanges({ stateDir, etcDir: join(stateDir, 'etc') });
async function begun(name: string): Promise<PodPaths> {
  const paths = podPaths({ stateDir }, { namespace: 'default', name, uid: `${name}-uid` });
  await mkdir(paths.root, { recursive: true });
  return paths;
}
const subordinate = (users: string, groups = users): Promise<unknown> => Promise.all([writeFile(join(stateDir, 'etc/subuid'), users), writeFile(join(stateDir, 'etc/subgid'), groups)]);

describe('ids for users of pods', () => {
  it('are no two pods\' the same, also of pods that begin at once, and stay what they are', async () => {
    const pods = await Promise.all(Array.from({ length: 110 }, (_, i) => begun(`pod-${String(i)}`)));
    const given = await Promise.all(pods.map((paths) => ranges.of(paths)));
    expect(new Set(given.map(({ first }) => first)).size).toBe(110);
    for (const { first, length } of given) expect([first % 65_536, first >= 65_536, length]).toEqual([0, true, 65_536]);
    expect(await Promise.all(pods.map((paths) => open().of(paths)))).toEqual(given);
  });

  it('are another pod\'s when their pod has given them back, and not before, whatever else is in its folder', async () => {
    const [one, two, three] = [await begun('one'), await begun('two'), await begun('three')];
    await writeFile(join(stateDir, 'pods/stray'), '');
    const [first, second] = [await ranges.of(one), await ranges.of(two)];
    await rm(one.users, { recursive: true });
    expect(await ranges.of(three)).toEqual(first);
    expect(await open().of(two)).toEqual(second);
    expect((await ranges.of(one)).first).not.toBe(first.first);
  });

  it('are not given where it cannot be told who has which', async () => {
    const [one, two] = [await begun('one'), await begun('two')];
    await symlink('loop', one.users);
    await symlink('.users', join(one.root, 'loop'));
    await expect(ranges.of(two)).rejects.toMatchObject({ code: 'InternalError', message: expect.stringMatching(/cannot tell which user ids a pod has: ELOOP/) as string });
  });

  it('are nobody else\'s who may map them', async () => {
    await subordinate('# users\npi:100000:65536\nsomebody:300000:1\n', 'pi:524288:10\n');
    const pods = await Promise.all(Array.from({ length: 5 }, (_, i) => begun(`pod-${String(i)}`)));
    const given: number[] = [];
    for (const paths of pods) given.push((await ranges.of(paths)).first / 65_536);
    // 1 and 2 have parts of pi's, 4 has somebody's, and 8 pi's groups.
    expect(given).toEqual([3, 5, 6, 7, 9]);
  });

  it('are those that were set aside for pods, and no more', async () => {
    await subordinate('pi:100000:65536\nkubelet:131072:131072\n');
    const [one, two, three] = [await begun('one'), await begun('two'), await begun('three')];
    expect([(await ranges.of(one)).first, (await ranges.of(two)).first]).toEqual([131_072, 196_608]);
    await expect(ranges.of(three)).rejects.toMatchObject({ code: 'Invalid', message: expect.stringMatching(/could not find an empty slot to allocate a user namespace.*give "kubelet" more/) as string });
  });

  it.each([
    ['kubelet:100000:65536\n', 'kubelet:100000:65536\n', /kubelet" in \/etc\/subuid, 100000:65536, must begin at a multiple of 65536/],
    ['kubelet:0:131072\n', 'kubelet:0:131072\n', /must begin at a multiple of 65536 that is not 0/],
    ['kubelet:65536:100\n', 'kubelet:65536:100\n', /a multiple of it long/],
    ['kubelet:65536:65536\n', '', /must each have one entry of "kubelet", and the same one/],
    ['kubelet:65536:65536\n', 'kubelet:131072:65536\n', /the same one/],
    ['kubelet:65536:65536\nkubelet:131072:65536\n', 'kubelet:65536:65536\n', /the same one/],
  ])('are refused where what was set aside is of no use: %j %j', async (users, groups, message) => {
    await subordinate(users, groups);
    await expect(ranges.of(await begun('one'))).rejects.toMatchObject({ code: 'Invalid', message: expect.stringMatching(message) as string });
  });
});

describe('a pod that asks for users of its own', () => {
  const pod = testPod('p', { hostUsers: false });
  const node = { ...testNode, runtimeHandlers: () => [{ name: '', features: { userNamespaces: true } }, { name: 'old', features: { userNamespaces: false } }] };
  it('is told in kubelet\'s words what cannot give it them', () => {
    expect(userNamespaceProblem(pod, '', node, 'cri')).toBeUndefined();
    expect(userNamespaceProblem(testPod('p'), 'old', node, 'cri')).toBeUndefined();
    expect(userNamespaceProblem(testPod('p', { hostUsers: true }), '', testNode, 'docker')).toBeUndefined();
    expect(userNamespaceProblem(pod, 'old', node, 'cri')).toMatch(/^can't set `spec\.hostUsers: false`, RuntimeClass handler "old" does not support user namespaces: that takes containerd from 2\.0/);
    expect(userNamespaceProblem(pod, 'unheard-of', node, 'cri')).toMatch(/RuntimeClass handler "unheard-of" does not/);
    for (const [driver, reason] of [['docker', /, runtime does not support user namespaces: Docker maps/], ['ctr', /, runtime does not support user namespaces: it is done by a containerd/]] as const) expect(userNamespaceProblem(pod, '', testNode, driver)).toMatch(reason);
  });
});
