/**
 * The messages of edge.proto as `proto/load.ts` shapes them; what they mean is written there. Used only where the
 * edge ends: agent/session and controlplane/dispatcher. Fields that a sender leaves out arrive as their defaults.
 */
export interface EnrolRequest { token: string; nodeName: string; certificateSigningRequest: Buffer }
export interface RenewRequest { certificateSigningRequest: Buffer }
export interface EnrolResponse { certificate: string; caCertificates: string }

export interface PodTokenRequest { namespace: string; podName: string; podUid: string; audience: string; expirationSeconds: number }
export interface PodTokenResponse { token: string }

export interface Hello { agentVersion: string; checkpointRevision: number; instance?: string }
export interface Heartbeat { sentAtMs: number; sequence?: number }
export interface Fenced { fence: string }
export interface NodeStatusUpdate { report: Buffer }
export interface PodStatusUpdate { namespace: string; name: string; uid: string; status: Buffer; gone: boolean; mirror?: Buffer }
export interface EventReport { event: Buffer }

/** At most one field is set. */
export interface AgentMessage {
  hello?: Hello;
  heartbeat?: Heartbeat;
  nodeStatus?: NodeStatusUpdate;
  podStatus?: PodStatusUpdate;
  event?: EventReport;
  fenced?: Fenced;
}

export interface WireObject { resource: string; json: Uint8Array }
export interface ObjectRef { resource: string; namespace: string; name: string }

export interface Welcome { heartbeatPeriodMs: number; fence?: string; renew?: boolean; servers?: string[] }
export interface HeartbeatAck { sequence: number }
export interface Complete { objects: WireObject[]; revision: number; last: boolean }
export interface Incremental { fromRevision: number; toRevision: number; set: WireObject[]; removed: ObjectRef[] }
export type TunnelKind = 'TUNNEL_KIND_UNSPECIFIED' | 'LOGS' | 'USAGE' | 'EXEC' | 'ATTACH' | 'PORT_FORWARD' | 'DIAL' | 'REMOVE_VOLUME' | 'NETWORK' | 'IMAGES' | 'KUBELET' | 'HOST';
export interface OpenTunnel { id: string; kind: TunnelKind; request: Buffer }

/** At most one field is set. */
export interface ControlMessage {
  welcome?: Welcome;
  complete?: Complete;
  incremental?: Incremental;
  openTunnel?: OpenTunnel;
  heartbeatAck?: HeartbeatAck;
}

/** At most one field is set, `channel` aside. */
export interface TunnelFrame { id?: string; data?: Uint8Array; end?: boolean; error?: Buffer; opened?: boolean; close?: boolean; channel?: number }

/** The TLS server name by which an agent asks the shared port for gRPC; also a name in the server's certificate. */
export const agentsServerName = 'agents.cleat.internal';

/** Most bytes of one tunnel frame's data. */
export const maxTunnelDataBytes = 64 << 10;
