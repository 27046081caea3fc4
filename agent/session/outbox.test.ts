import { expect, it } from 'vitest';
import type { AgentMessage } from '#proto/edge/v1/messages.ts';
import { ManualClock } from '#common/clock.ts';
import { EventBuffer } from './event-buffer.ts';
import { Outbox } from './outbox.ts';
import type { AgentEvent, NodeReport, PodReport } from './types.ts';

const pod = (uid: string, phase: string): PodReport => ({ namespace: 'd', name: uid, uid, status: { phase }, gone: false });
const event = (reason: string): AgentEvent => ({ kind: 'Pod', namespace: 'd', name: 'p', uid: 'u', type: 'Normal', reason, message: '', atMs: 0 });
const settle = async (): Promise<void> => { for (let i = 0; i < 20; i++) await Promise.resolve(); };

function setup(held: PodReport[]) {
  const clock = new ManualClock();
  const events = new EventBuffer(clock);
  const stop = new AbortController();
  let tellPod: (report: PodReport) => void = () => undefined;
  let tellNode: (report: NodeReport) => void = () => undefined;
  const node: NodeReport = { labels: {}, status: {} };
  const outbox = new Outbox({
    events,
    pods: { all: () => held, subscribe: (listener) => { tellPod = listener; return () => { tellPod = () => undefined; }; } },
    node: { current: () => node, subscribe: (listener) => { tellNode = listener; return () => undefined; } },
  });
  const sent: { text: string; done: () => void; fail: (error: Error) => void }[] = [];
  const text = (message: AgentMessage): string => {
    if (message.podStatus) return `${message.podStatus.uid} ${JSON.parse(message.podStatus.status.toString()).phase as string}`;
    return message.event ? JSON.parse(message.event.event.toString()).reason as string : Object.keys(message).join();
  };
  const drained = outbox.drain((message) => new Promise((done, fail) => { sent.push({ text: text(message), done, fail }); }), () => 1, stop.signal);
  /** Lets everything through and returns what was sent. */
  const all = async (): Promise<string[]> => {
    for (let i = 0; ; i++) {
      await settle();
      const next = sent[i];
      if (!next) return sent.splice(0).map((s) => s.text);
      next.done();
    }
  };
  return { clock, events, outbox, stop, sent, drained, all, pod: (report: PodReport) => { tellPod(report); }, node: () => { tellNode(node); } };
}

it('says everything at first, then what changes', async () => {
  const { all, ...box } = setup([pod('a', 'Running'), pod('b', 'Running')]);
  box.events.emit(event('Early'));
  expect(await all()).toEqual(['nodeStatus', 'a Running', 'b Running', 'Early']);
  box.pod(pod('a', 'Failed'));
  box.events.emit(event('Late'));
  expect(await all()).toEqual(['a Failed', 'Late']);
  box.node();
  box.outbox.heartbeat(1);
  expect(await all()).toEqual(['heartbeat', 'nodeStatus']);
  box.stop.abort();
  await box.drained;
});

it('lets only the latest of each pod wait, and heartbeats first, however slow the connection', async () => {
  const { all, ...box } = setup([]);
  await settle();
  for (let i = 0; i < 1000; i++) box.pod(pod(`p${String(i % 3)}`, String(i)));
  for (let i = 0; i < 5; i++) box.outbox.heartbeat(1);
  expect(await all()).toEqual(['nodeStatus', 'heartbeat', 'p0 999', 'p1 997', 'p2 998']);
  box.stop.abort();
  await box.drained;
});

it('keeps an event that was not sent, and at most a thousand', async () => {
  const box = setup([]);
  for (let i = 0; i < 1500; i++) box.events.emit(event(String(i)));
  expect(box.events.size).toBe(1000);
  await settle();
  box.sent[0]?.done();
  await settle();
  expect(box.sent[1]?.text).toBe('500');
  box.sent[1]?.fail(new Error('cut'));
  await expect(box.drained).rejects.toThrow('cut');
  expect(box.events.take()?.event.reason).toBe('500');
});

it('counts what happens again while nobody listens, and says how long ago it was', async () => {
  const box = setup([]);
  const send = async (): Promise<unknown> => {
    const told: unknown[] = [];
    const stop = new AbortController();
    const drained = box.outbox.drain((message) => { told.push(message.event && JSON.parse(message.event.event.toString())); return Promise.resolve(); }, () => 1, stop.signal);
    await settle();
    stop.abort();
    await drained;
    return told.filter(Boolean);
  };
  box.stop.abort();
  for (let i = 0; i < 1200; i++) {
    box.events.emit(event('BackOff'));
    if (i === 0) box.events.emit(event('Killing'));
    await box.clock.advance(1000);
  }
  const waiting = box.events.take()!;
  expect(waiting.event.reason).toBe('Killing');
  // One that was not sent, and happened again meanwhile.
  box.events.emit(event('Killing'));
  box.events.putBack(waiting);
  expect(await send()).toMatchObject([{ reason: 'BackOff', count: 1200, firstAgeMs: 1_200_000, lastAgeMs: 1000 }, { reason: 'Killing', count: 2, firstAgeMs: 1_200_000, lastAgeMs: 0 }]);
});
