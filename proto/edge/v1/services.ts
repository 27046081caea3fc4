import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadContract } from '../../load.ts';

export interface EdgeServices {
  readonly enrolment: ServiceDefinition;
  readonly agents: ServiceDefinition;
}

/** Reads edge.proto; call once per process part, when the first connection is near. */
export function loadEdge(): EdgeServices {
  const { services } = loadContract(new URL('./edge.proto', import.meta.url));
  const enrolment = services.get('cleat.edge.v1.Enrolment');
  const agents = services.get('cleat.edge.v1.Agents');
  if (!enrolment || !agents) throw new Error('edge.proto lacks its services');
  return { enrolment, agents };
}
