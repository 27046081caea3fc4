import { expect, it } from 'vitest';
import { terminalLine } from './log.ts';

it('shows a log line to a person', () => {
  const line = { level: 40, time: '2026-11-21T05:00:58.641Z', component: 'session', attempts: 3, err: 'connection refused', msg: 'joining has to wait' };
  expect(terminalLine(JSON.stringify(line))).toBe('05:00:58 warn: joining has to wait: connection refused (component: session, attempts: 3)\n');
  expect(terminalLine('{"level":30,"time":"2026-11-21T05:00:58.641Z","msg":"started containerd"}')).toBe('05:00:58 info: started containerd\n');
});
