import { describe, expect, it } from 'vitest';
import { parseCounters } from './network-usage.ts';

describe('what a pod has received and sent', () => {
  const head = 'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n';

  it('is counted without the loopback', () => {
    const lines = '    lo:    9000      90    0    0    0     0          0         0     9000      90    0    0    0     0       0          0\n  eth0: 1234567     800    2    0    0     0          0         0    89012     700    3    0    0     0       0          0\n';
    expect(parseCounters(head + lines)).toEqual({ receivedBytes: 1_234_567, receivedPackets: 800, receiveErrors: 2, sentBytes: 89_012, sentPackets: 700, sendErrors: 3 });
  });

  it('is unknown where there is no interface, or nothing to read', () => {
    expect(parseCounters(`${head}    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n`)).toBeUndefined();
    expect(parseCounters('')).toBeUndefined();
  });
});
