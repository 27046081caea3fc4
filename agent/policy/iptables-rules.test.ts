import { describe, expect, it } from 'vitest';
import { layoutOf } from '#agent/proxy/iptables/own-chains.ts';
import { growSets, replaceSets, shrinkSets } from './ip-sets.ts';
import { setNameOf, translate, unorderedChains } from './iptables-rules.ts';
import type { Piece, Rule, Ruleset } from './types.ts';

const names = { ...layoutOf('NP', unorderedChains), own: (kind: string, id: string) => `${kind}-${id}`, set: (family: number, about: string) => `s${String(family)}-${about}` };
const piece = (part: Partial<Piece>): Piece => ({ chains: new Map(), sets: new Map(), elements: new Map(), ...part });
const rulesOf = (...rules: Rule[]): Ruleset => new Map([
  ['addresses', piece({ elements: new Map([['in4', new Set(['10.42.0.2 : goto pods-in/k'])], ['in6', new Set(['fd42::2 : goto pods-in/k'])], ['self4', new Set(['10.42.0.2 . 10.42.0.2'])]]) })],
  ['k', piece({ chains: new Map([['pods-in/k', [{ verdict: { jump: 'in/p' } }, { verdict: 'drop' }]]]) })],
  ['p', piece({ chains: new Map([['in/p', rules]]), sets: new Map([['group4/g', { family: 4, of: 'addresses' }], ['ports4/g/web', { family: 4, of: 'endpoints' }]]), elements: new Map([['group4/g', new Set(['10.42.1.2'])], ['ports4/g/web', new Set(['10.42.0.2 . tcp . 80'])]]) })],
]);
const chain = (family: 4 | 6, ...rules: Rule[]): readonly string[] | undefined => translate(rulesOf(...rules), family, names).mangle.get('PI-pods-in/k');

describe('policies for iptables', () => {
  it('lead packets to the policies of a pod, but not its own to itself', () => {
    const { mangle, sets } = translate(rulesOf(), 4, names);
    expect(mangle.get('IN')).toEqual(['-d 10.42.0.2 ! -s 10.42.0.2 -j NP-PI-pods-in/k']);
    expect(mangle.get('OUT')).toEqual([]);
    expect(mangle.get('OUTPUT')?.[0]).toBe('-m addrtype --src-type LOCAL -j RETURN');
    expect([...sets].map(([name, { type, members }]) => [name, type, ...members])).toEqual([['s4-group4/g', 'hash:ip', '10.42.1.2'], ['s4-ports4/g/web', 'hash:ip,port', '10.42.0.2,tcp:80']]);
  });

  it('return what is allowed and drop the rest, in each family what is its own', () => {
    const rules: Rule[] = [
      { family: 4, peer: { side: 'source', set: 'group4/g' }, protocol: 'tcp', ports: { from: 80, to: 80 }, verdict: 'accept' },
      { family: 4, peer: { side: 'source', block: { cidr: '192.0.2.0/24' } }, protocol: 'sctp', ports: { from: 80, to: 90 }, verdict: 'accept' },
      { family: 4, protocol: 'tcp', endpoints: 'ports4/g/web', verdict: 'accept' }, { family: 6, peer: { side: 'source', block: { cidr: '::/0' } }, verdict: 'accept' },
      { protocol: 'udp', verdict: 'accept' },
    ];
    expect(chain(4, ...rules)).toEqual([
      '-m set --match-set s4-group4/g src -p tcp -m tcp --dport 80 -j RETURN', '-s 192.0.2.0/24 -p sctp -m sctp --dport 80:90 -j RETURN',
      '-p tcp -m set --match-set s4-ports4/g/web dst,dst -j RETURN', '-p udp -j RETURN', '-j DROP',
    ]);
    expect(chain(6, ...rules)).toEqual(['-j RETURN', '-p udp -j RETURN', '-j DROP']);
  });

  it('keep a block and what it leaves out in one set', () => {
    const block = { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] };
    const { mangle, sets } = translate(rulesOf({ family: 4, peer: { side: 'destination', block }, verdict: 'accept' }), 4, names);
    const name = 's4-block 0.0.0.0/0 10.0.0.0/8';
    expect(mangle.get('PI-pods-in/k')?.[0]).toBe(`-m set --match-set ${name} dst -j RETURN`);
    expect([...sets.get(name)?.members ?? []]).toEqual(['0.0.0.0/1', '128.0.0.0/1', '10.0.0.0/8 nomatch']);
  });

  it('let sets grow before the rules change and shrink after', () => {
    const set = (...members: string[]) => ({ type: 'hash:net' as const, members: new Set(members) });
    const [before, after] = [new Map([['a', set('1.0.0.0/8', '1.1.0.0/16 nomatch')], ['b', set()]]), new Map([['a', set('1.0.0.0/8', '2.0.0.0/8')], ['c', set('3.0.0.0/8')]])];
    expect(growSets(before, after, 4)).toBe('add a 2.0.0.0/8 -exist\ncreate c hash:net family inet maxelem 1048576 -exist\nadd c 3.0.0.0/8 -exist\n');
    expect(shrinkSets(before, after)).toBe('del a 1.1.0.0/16 -exist\ndestroy b\n');
    expect(replaceSets(new Map([['a', set('1.0.0.0/8')]]), 4)).toContain('swap a a-n\ndestroy a-n\n');
    expect(setNameOf('CLEATNP-P', 6, 'x'.repeat(300)).length).toBeLessThanOrEqual(29);
  });
});
