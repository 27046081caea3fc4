import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import { kinds } from '#api/kinds/registry.ts';
import { apiVersionOf } from '#api/kinds/resources.ts';
import { decodeProtobuf } from './decode.ts';

/** A length-delimited field. */
function field(number: number, ...parts: (Uint8Array | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([(number << 3) | 2, body.length]), body]);
}

/** Field numbers above 15 take a longer tag. */
function long(number: number, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([((number << 3) | 2) & 0x7f | 0x80, number >> 4, body.length]), body]);
}

function number(field: number, value: number): Buffer {
  return Buffer.from([field << 3, value]);
}

function envelope(apiVersion: string, kind: string, ...raw: Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), field(1, field(1, apiVersion), field(2, kind)), field(2, ...raw)]);
}

describe('protobuf bodies', () => {
  it('become the JSON they stand for', () => {
    const body = envelope('apps/v1', 'Deployment',
      // metadata: name, empty uid, zero creationTimestamp, one label
      field(1, field(1, 'web'), field(5, ''), number(7, 0), field(8), field(11, field(1, 'app'), field(2, 'web'))),
      // spec: replicas 0 is meant, minReadySeconds 0 is not; the template's volume embeds its source
      field(2, number(1, 0), number(5, 0), field(3, field(2, field(1, field(1, 'v'), field(2, long(19, field(1, field(1, 'cm'))))))),
        field(4, field(2, field(2, number(1, 0), number(2, 1), field(3, ''))))));
    expect(decodeProtobuf(body)).toEqual({
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', labels: { app: 'web' } },
      spec: { replicas: 0, template: { spec: { volumes: [{ name: 'v', configMap: { name: 'cm' } }] } }, strategy: { rollingUpdate: { maxSurge: 1 } } },
    });
  });

  it('carry quantities, times and bytes', () => {
    const quantity = field(1, field(1, 'cpu'), field(2, field(1, '250m')));
    const pod = envelope('v1', 'Pod', field(2, field(2, field(1, 'c'), field(8, quantity))), field(3, field(7, number(1, 60))));
    expect(decodeProtobuf(pod)).toMatchObject({ spec: { containers: [{ name: 'c', resources: { limits: { cpu: '250m' } } }] }, status: { startTime: '1970-01-01T00:01:00Z' } });
    expect(decodeProtobuf(envelope('v1', 'Secret', field(2, field(1, 'p'), field(2, 'q'))))).toMatchObject({ data: { p: 'cQ==' } });
  });

  it('of unknown kinds, or broken, are refused and never crash', () => {
    expect(() => decodeProtobuf(envelope('v1', 'Nonsense'))).toThrow(/send application\/json/);
    expect(() => decodeProtobuf(Buffer.from('{}'))).toThrow(/does not begin with/);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom('Pod', 'Service', 'ConfigMap'), (bytes, kind) => {
      try {
        decodeProtobuf(envelope('v1', kind, Buffer.from(bytes).subarray(0, 100)));
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
      }
    }), { numRuns: 2000 });
  });
});

describe('the kinds that are served', () => {
  it('can all be read, in every version, but for those that their clients send as JSON', () => {
    const jsonOnly = ['apiextensions.k8s.io', 'apiregistration.k8s.io'];
    const unread = Object.values(kinds).map(({ resource }) => resource).filter(({ group, version, kind }) => {
      if (jsonOnly.includes(group)) return false;
      try {
        return decodeProtobuf(envelope(apiVersionOf({ group, version }), kind))['kind'] !== kind;
      } catch {
        return true;
      }
    });
    expect(unread).toEqual([]);
  });
});
