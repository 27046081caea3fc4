/**
 * Many agents in one process, without containers: each has a certificate and a session of its own, and says of every
 * pod that it is given that it runs (and is ready, unless its image is called `never-ready`), or that it is gone. For
 * loading a control plane; run with node.
 *
 *   agent-fleet.ts HOST PORT PKI-FOLDER COUNT [FIRST [ZONES]]    prints `connected` when all have their state; on SIGTERM a
 *                                                                line of totals. FIRST: the number of the first, 0 when
 *                                                                not given; ZONES: in how many zones they are, in turn
 */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { EdgeClient } from '#agent/session/edge-client.ts';
import type { Pod } from '#api/gen/types.ts';
import { issueCertificate, makeKey, type CertificateAuthority } from '#common/pki/certificate.ts';
import { loadOrCreateCa } from '#common/pki/store.ts';
import type { AgentMessage, ControlMessage, WireObject } from '#proto/edge/v1/messages.ts';
import { loadEdge } from '#proto/edge/v1/services.ts';

const services = loadEdge();
const totals = { complete: 0, incremental: 0, bytes: 0, reports: 0, heartbeats: 0, sessionsLost: 0 };
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const now = (): string => `${new Date().toISOString().slice(0, 19)}Z`;

class FleetAgent {
  readonly #name: string;
  readonly #index: number;
  readonly #dial: () => EdgeClient;
  readonly #reported = new Map<string, string>();
  #addresses = 0;

  constructor(index: number, ca: CertificateAuthority, host: string, port: number) {
    this.#index = index;
    this.#name = `fleet-${String(index).padStart(4, '0')}`;
    const keyPem = makeKey();
    const certPem = issueCertificate(ca, {
      subject: { commonName: `system:node:${this.#name}`, organizations: ['system:nodes'] }, publicKey: createPublicKey(createPrivateKey(keyPem)), usage: 'client', nowMs: Date.now(), lifetimeMs: 86_400_000,
    });
    this.#dial = () => new EdgeClient(services, { host, port }, { caPem: ca.certPem, certPem, keyPem });
  }

  /** Dials again whenever the session ends. */
  open(connected: () => void): void {
    const client = this.#dial();
    const call = client.session();
    let timer: NodeJS.Timeout | undefined;
    call.write({ hello: { agentVersion: 'fleet', checkpointRevision: 0 } });
    call.on('data', (message: ControlMessage) => {
      if (message.welcome) {
        call.write({ nodeStatus: { report: json(this.#node()) } });
        timer = setInterval(() => { totals.heartbeats++; call.write({ heartbeat: { sentAtMs: Date.now() } }); }, message.welcome.heartbeatPeriodMs);
      }
      const objects = message.complete?.objects ?? message.incremental?.set ?? [];
      if (message.incremental) totals.incremental++;
      for (const object of objects) this.#received(call, object);
      if (message.complete?.last === true) {
        totals.complete++;
        connected();
      }
    });
    call.on('error', () => undefined);
    call.once('status', () => {
      clearInterval(timer);
      client.close();
      totals.sessionsLost++;
      setTimeout(() => { this.open(() => undefined); }, 1000 + Math.random() * 2000);
    });
  }

  #received(call: ClientDuplexStream<AgentMessage, ControlMessage>, { resource, json: bytes }: WireObject): void {
    totals.bytes += bytes.length;
    if (resource !== 'pods') return;
    const pod = JSON.parse(Buffer.from(bytes).toString()) as Pod;
    const { uid = '', namespace = '', name = '', deletionTimestamp } = pod.metadata ?? {};
    const state = deletionTimestamp === undefined ? 'runs' : 'gone';
    if (this.#reported.get(uid) === state) return;
    if (state === 'gone') this.#reported.delete(uid);
    else this.#reported.set(uid, state);
    totals.reports++;
    call.write({ podStatus: { namespace, name, uid, gone: state === 'gone', status: json(this.#status(pod, state === 'runs')) } });
  }

  #node(): object {
    const resources = { cpu: '16', memory: '32Gi', pods: '110', 'ephemeral-storage': '100Gi' };
    const conditions = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'].map((type) => ({ type, status: type === 'Ready' ? 'True' : 'False', reason: 'Fleet', message: '', lastHeartbeatTime: now() }));
    return {
      labels: { 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/hostname': this.#name, ...(zones !== '0' && { 'topology.kubernetes.io/zone': `zone-${String(this.#index % Number(zones))}` }) },
      status: { capacity: resources, allocatable: resources, conditions, addresses: [{ type: 'InternalIP', address: `10.200.${String(this.#index >> 8)}.${String(this.#index & 255)}` }, { type: 'Hostname', address: this.#name }] },
    };
  }

  #status(pod: Pod, runs: boolean): object {
    const ready = runs && pod.spec?.containers.every(({ image }) => image !== 'never-ready') === true;
    const status = ready ? 'True' : 'False';
    const podIP = `10.${String(100 + (this.#index >> 8))}.${String(this.#index & 255)}.${String((this.#addresses++ % 250) + 2)}`;
    return {
      phase: runs ? 'Running' : 'Succeeded', startTime: now(), ...(runs && { podIP, podIPs: [{ ip: podIP }], hostIP: '10.200.0.1' }),
      conditions: ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady'].map((type) => ({ type, status, lastTransitionTime: now() })),
      containerStatuses: (pod.spec?.containers ?? []).map(({ name, image }) => ({ name, image: image ?? '', imageID: 'sha256:0', ready, started: runs, restartCount: 0, state: runs ? { running: { startedAt: now() } } : { terminated: { exitCode: 0, reason: 'Completed' } } })),
    };
  }
}

const [host = '', port = '6443', folder = '', count = '1', first = '0', zones = '0'] = process.argv.slice(2);
const ca = await loadOrCreateCa(folder, Date.now());
const fleet = Array.from({ length: Number(count) }, (_, i) => new FleetAgent(Number(first) + i, ca, host, Number(port)));
let connected = 0;
for (const agent of fleet) agent.open(() => { if (++connected === fleet.length) console.log('connected'); });
process.on('SIGTERM', () => {
  console.log(JSON.stringify(totals));
  process.exit(0);
});
