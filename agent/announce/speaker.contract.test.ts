import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AnnounceHosts } from '#test/support/lab/announce-hosts.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import { ask } from '#test/support/lab/pod-namespaces.ts';

const { ip } = AnnounceHosts;

describe('addresses of a pool, on a link', () => {
  let all: AnnounceHosts;

  beforeAll(async () => { all = await AnnounceHosts.create(); });
  afterAll(async () => { await all?.destroy(); });

  it('are answered for by one host, with the client\'s address kept', async () => {
    const holder = await all.soleHolder('one host has the address');
    await eventually(() => all.heard().last === holder.name, { what: 'answers', explain: () => all.watch.output().slice(-500) });
    expect(await ask(all.client, undefined, ip, 8080)).toBe(`${holder.name} ${all.client.address}`);
  });

  it('stay where they are while an agent restarts', async () => {
    const holder = await all.soleHolder('one host has the address');
    const since = all.heard().lastMs;
    await all.agents.get(holder.name)?.kill('SIGTERM');
    await all.startAgent(holder);
    const { count } = all.heard(since);
    await eventually(() => all.heard(since).count > count + 100, { what: 'answers for two seconds more' });
    expect(await all.holders()).toEqual([holder.name]);
    expect(all.heard(since).longestMs).toBeLessThan(1000);
  });

  it('are taken over when their host is lost, and stay there when it is back', async ({ annotate }) => {
    const lost = await all.soleHolder('one host has the address');
    const since = all.heard().lastMs;
    await lost.crash();
    await eventually(() => !['', lost.name].includes(all.heard(since).last), { what: 'another host answers', timeoutMs: 30_000 });
    const { longestMs, last } = all.heard(since);
    await annotate(`no answers for ${String(longestMs)} ms`);
    expect(longestMs).toBeLessThan(10_000);
    await lost.boot();
    await all.boot(lost);
    const { count } = all.heard(since);
    await eventually(() => all.heard(since).count > count + 150, { what: 'answers for three seconds more' });
    expect([await all.holders(), all.heard(since).last]).toEqual([[last], last]);
  });

  it('are taken over when only the agent is lost, and forgotten by its kernel', async () => {
    const holder = await all.soleHolder('one host has the address');
    await all.agents.get(holder.name)?.kill('SIGKILL');
    await eventually(async () => (await all.holders()).some((name) => name !== holder.name), { what: 'another host takes it', timeoutMs: 30_000 });
    const next = await all.soleHolder('the kernel forgets it');
    expect(next.name).not.toBe(holder.name);
    await all.startAgent(holder);
  });

  it('have two holders no longer than these do not hear each other', async () => {
    const holder = await all.soleHolder('one host has the address');
    await holder.sh('nft add table inet cut; nft add chain inet cut in "{ type filter hook input priority -300; }"; nft add rule inet cut in udp dport 6443 drop; nft add chain inet cut out "{ type filter hook output priority -300; }"; nft add rule inet cut out udp dport 6443 drop');
    await eventually(async () => (await all.holders()).length === 2, { what: 'two holders', timeoutMs: 30_000 });
    await holder.execOk('nft', ['delete', 'table', 'inet', 'cut']);
    await all.soleHolder('one of them gives way');
  });

  it('go to a host with an endpoint where traffic is to stay on the host', async () => {
    const holder = await all.soleHolder('one host has the address');
    for (const name of all.hosts.map((host) => host.name).filter((each) => each !== holder.name)) {
      await all.describe([name]);
      await eventually(async () => (await all.holders()).join() === name, { what: `${name} has it`, timeoutMs: 30_000 });
    }
    await eventually(() => all.heard().last === all.hosts.map(({ name }) => name).filter((each) => each !== holder.name).at(-1), { what: 'answers from there' });
  });

  it('are left alone when somebody else on the link has them', async () => {
    await all.describe([]);
    await eventually(async () => (await all.holders()).length === 0, { what: 'nobody has it', timeoutMs: 30_000 });
    await all.watch.kill('SIGKILL');
    await all.client.execOk('ip', ['address', 'add', `${ip}/32`, 'dev', 'lo']);
    // Those who have held it know where it was; one that begins anew does not.
    for (const agent of all.agents.values()) await agent.kill('SIGKILL');
    all.agents.clear();
    await all.startAgent(all.lab.host(0));
    await all.describe(['host0']);
    await eventually(() => all.agents.get('host0')?.output().includes('LoadBalancerAddressNotServed') === true, { what: 'an Event', timeoutMs: 30_000, explain: () => all.agents.get('host0')?.output() ?? '' });
    expect(await all.has(all.lab.host(0))).toBe(false);
  });
});
