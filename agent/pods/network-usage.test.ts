import { describe, expect, it } from 'vitest';
import { parseCounters, sumOf } from './network-usage.ts';

describe('what a pod has received and sent', () => {
  const head = 'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n';

  const lines = '    lo:    9000      90    0    0    0     0          0         0     9000      90    0    0    0     0       0          0\n  eth0: 1234567     800    2    4    0     0          0         0    89012     700    3    5    0     0       0          0\n  net1:      10       1    0    0    0     0          0         0       20       2    0    0    0     0       0          0\n';
  const eth0 = { name: 'eth0', receivedBytes: 1_234_567, receivedPackets: 800, receiveErrors: 2, receiveDropped: 4, sentBytes: 89_012, sentPackets: 700, sendErrors: 3, sendDropped: 5 };
  const net1 = { name: 'net1', receivedBytes: 10, receivedPackets: 1, receiveErrors: 0, receiveDropped: 0, sentBytes: 20, sentPackets: 2, sendErrors: 0, sendDropped: 0 };

  it('is counted by interface, without the loopback', () => {
    expect(parseCounters(head + lines)).toEqual([eth0, net1]);
  });

  it('is told of all of them together, too', () => {
    expect(sumOf([eth0, net1])).toEqual({ receivedBytes: 1_234_577, receivedPackets: 801, receiveErrors: 2, sentBytes: 89_032, sentPackets: 702, sendErrors: 3, interfaces: [eth0, net1] });
  });

  it('is unknown where there is no interface, or nothing to read', () => {
    expect(sumOf(parseCounters(`${head}    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n`))).toBeUndefined();
    expect(sumOf(parseCounters(''))).toBeUndefined();
  });
});
