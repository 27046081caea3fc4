import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { TestServer } from '../test-server.ts';
import { Audit } from './audit.ts';
import { LogFile } from './log-file.ts';
import { openAudit } from './open.ts';
import { parsePolicy } from './policy.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';

interface Event {
  readonly level: string; readonly stage: string; readonly auditID: string; readonly verb: string; readonly requestURI: string;
  readonly user: { readonly username: string; readonly groups: readonly string[] }; readonly impersonatedUser?: { readonly username: string };
  readonly objectRef?: Record<string, string>; readonly responseStatus?: Record<string, unknown>; readonly annotations?: Record<string, string>;
  readonly requestObject?: unknown; readonly responseObject?: { readonly metadata?: Record<string, unknown> };
}

describe('the audit trail', () => {
  let events: Event[];
  let server: TestServer | undefined;
  afterEach(async () => { await server?.stop(); server = undefined; });

  async function start(...rules: object[]): Promise<TestServer> {
    events = [];
    const log = { write: (line: string) => { events.push(JSON.parse(line) as Event); }, dropped: 0 };
    server = await TestServer.start({ audit: new Audit({ clock: systemClock, log }, parsePolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules })) });
    return server;
  }

  /** The answer may arrive before its event. */
  const told = (count: number): Promise<void> => expect.poll(() => events.length).toBe(count);

  it('tells who asked for what and what became of it, at two stages', async () => {
    const { status, headers } = await (await start({ level: 'Metadata' })).ask(`${configMaps}?dryRun=All`, { method: 'POST', body: { metadata: { name: 'a' } } });
    await told(2);
    expect([status, events.map(({ stage }) => stage)]).toEqual([201, ['RequestReceived', 'ResponseComplete']]);
    expect(events[1]).toMatchObject({
      kind: 'Event', apiVersion: 'audit.k8s.io/v1', level: 'Metadata', verb: 'create', requestURI: `${configMaps}?dryRun=All`, auditID: headers['audit-id'],
      user: { username: 'admin', groups: ['system:masters', 'system:authenticated'] }, sourceIPs: ['127.0.0.1'], objectRef: { resource: 'configmaps', namespace: 'default', apiVersion: 'v1' },
      responseStatus: { code: 201 }, annotations: { 'authorization.k8s.io/decision': 'allow', 'authorization.k8s.io/reason': '' },
    });
    expect(events[1]).not.toHaveProperty('requestObject');
  });

  it('holds bodies where the policy asks for them', async () => {
    const api = await start({ level: 'RequestResponse', omitStages: ['RequestReceived'], omitManagedFields: true, verbs: ['create', 'list'] }, { level: 'Request', omitStages: ['RequestReceived'] });
    await api.ask(configMaps, { method: 'POST', body: { metadata: { name: 'a' }, data: { key: 'value' } } });
    await told(1);
    expect(events[0]).toMatchObject({ requestObject: { data: { key: 'value' } }, responseObject: { kind: 'ConfigMap', metadata: { name: 'a' }, data: { key: 'value' } } });
    expect(events[0]?.responseObject?.metadata).not.toHaveProperty('managedFields');
    const listed = await api.ask(configMaps);
    expect(listed.json<{ items: unknown[] }>().items.length).toBeGreaterThan(0);
    await told(2);
    expect(events[1]).toMatchObject({ verb: 'list', responseObject: { kind: 'ConfigMapList' } });
    await api.ask(`${configMaps}/a`, { method: 'PATCH', body: '{"data":{"b":"c"}}', headers: { 'content-type': 'application/merge-patch+json' } });
    await told(3);
    expect(events[2]).toMatchObject({ verb: 'patch', requestObject: { data: { b: 'c' } } });
    expect(events[2]).not.toHaveProperty('responseObject');
  });

  it('tells of refusals: unknown, not allowed, not found', async () => {
    const api = await start({ level: 'Metadata', omitStages: ['RequestReceived'] });
    await api.ask(configMaps, { identity: 'none' });
    await api.ask(configMaps, { identity: 'none', headers: { authorization: 'Bearer weak-token' } });
    await api.ask(`${configMaps}/none`);
    await told(3);
    expect(events.map(({ user, responseStatus, annotations }) => [user.username, responseStatus?.['code'], responseStatus?.['reason'], annotations?.['authorization.k8s.io/decision']])).toEqual([
      ['system:anonymous', 401, 'Unauthorized', undefined], ['jane', 403, 'Forbidden', 'forbid'], ['admin', 404, 'NotFound', 'allow'],
    ]);
  });

  it('tells whom somebody spoke for, and when a watch began', async () => {
    const api = await start({ level: 'Metadata', omitStages: ['RequestReceived'] });
    await api.ask('/api/v1/namespaces', { headers: { 'impersonate-user': 'joe' } });
    await told(1);
    expect(events[0]).toMatchObject({ user: { username: 'admin' }, impersonatedUser: { username: 'joe' } });
    await api.ask(`${configMaps}?watch=1&timeoutSeconds=1`);
    await told(3);
    expect(events.slice(1).map(({ verb, stage }) => [verb, stage])).toEqual([['watch', 'ResponseStarted'], ['watch', 'ResponseComplete']]);
  });

  it('is silent where the policy says so', async () => {
    await (await start({ level: 'None', users: ['admin'] }, { level: 'Metadata' })).ask(configMaps);
    await server?.ask(configMaps, { headers: { authorization: 'Bearer weak-token' }, identity: 'none' });
    await told(2);
    expect(events.map(({ user }) => user.username)).toEqual(['jane', 'jane']);
  });
});

describe('the audit log', () => {
  let folder: string;
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'cleat-audit-')); });
  afterEach(() => rm(folder, { recursive: true }));

  it('begins a new file when one is full, and keeps so many', async () => {
    const clock = new ManualClock();
    const path = join(folder, 'audit.log');
    const file = new LogFile({ clock, log: silentLog }, { path, maxBytes: 30, maxBackups: 2, maxAgeMs: 0 });
    await file.open();
    for (let i = 0; i < 6; i++) {
      file.write(`line ${String(i)} ${'x'.repeat(30)}`);
      await file.close();
      await clock.advance(1000);
    }
    expect((await readdir(folder)).sort()).toEqual(['audit-2026-01-01T00-00-04.000.log', 'audit-2026-01-01T00-00-05.000.log', 'audit.log']);
    expect(await readFile(path, 'utf8')).toContain('line 5');
    expect(file.dropped).toBe(0);
  });

  it('goes on with a file that is there, and counts what it cannot write', async () => {
    const path = join(folder, 'audit.log');
    const make = (): LogFile => new LogFile({ clock: systemClock, log: silentLog }, { path, maxBytes: 1e6, maxBackups: 0, maxAgeMs: 0 });
    for (const line of ['one', 'two']) {
      const file = make();
      file.write(line);
      await file.close();
    }
    expect(await readFile(path, 'utf8')).toBe('one\ntwo\n');
    const full = new LogFile({ clock: systemClock, log: silentLog }, { path: '/dev/full', maxBytes: 1e6, maxBackups: 0, maxAgeMs: 0 });
    full.write('lost');
    await full.close();
    expect(full.dropped).toBe(1);
  });

  it('says which flag is wrong', async () => {
    const config = { path: join(folder, 'none/audit.log'), policyFile: '', maxBytes: 1, maxBackups: 0, maxAgeMs: 0 };
    await expect(openAudit({ clock: systemClock, log: silentLog }, config)).rejects.toThrow(`--audit-log-path ${config.path} cannot be written`);
    await expect(openAudit({ clock: systemClock, log: silentLog }, { ...config, policyFile: join(folder, 'none.yaml') })).rejects.toMatchObject({ code: 'Invalid', message: expect.stringContaining('--audit-policy-file') as string });
  });
});
