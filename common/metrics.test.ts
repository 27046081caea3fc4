import { describe, expect, it } from 'vitest';
import { Counter, gauge, Histogram, Metrics } from './metrics.ts';

describe('metrics', () => {
  it('are told in Prometheus\' text form', () => {
    const metrics = new Metrics();
    const requests = new Counter('requests_total', 'Requests.', ['verb', 'code']);
    const seconds = new Histogram('request_seconds', 'How long.', ['verb'], [0.1, 1]);
    metrics.add(() => requests.collect());
    metrics.add(() => seconds.collect());
    metrics.add(() => [gauge('depth', 'Two\nlines.', [{ labels: { name: 'a"b\\c\nd' }, value: 3 }, { value: Infinity }])]);
    requests.add(['GET', '200']);
    requests.add(['GET', '200'], 2);
    for (const value of [0.05, 0.1, 0.5, 9]) seconds.observe(['GET'], value);
    expect(metrics.text()).toBe([
      '# HELP requests_total Requests.', '# TYPE requests_total counter', 'requests_total{verb="GET",code="200"} 3',
      '# HELP request_seconds How long.', '# TYPE request_seconds histogram', 'request_seconds_bucket{verb="GET",le="0.1"} 2', 'request_seconds_bucket{verb="GET",le="1"} 3',
      'request_seconds_bucket{verb="GET",le="+Inf"} 4', 'request_seconds_sum{verb="GET"} 9.65', 'request_seconds_count{verb="GET"} 4',
      String.raw`# HELP depth Two\nlines.`, '# TYPE depth gauge', String.raw`depth{name="a\"b\\c\nd"} 3`, 'depth +Inf', '',
    ].join('\n'));
  });

  it('do not grow with what strangers send', () => {
    const counter = new Counter('c', 'C.', ['path']);
    for (let i = 0; i < 5000; i++) counter.add([`/${String(i)}`]);
    const samples = [...counter.collect()].flatMap(({ samples: all }) => [...all]);
    expect(samples).toHaveLength(1001);
    expect(samples.at(-1)).toEqual({ labels: { path: 'other' }, value: 4000 });
  });
});
