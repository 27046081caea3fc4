import type { Check } from '../types.ts';
import { cgroups } from './cgroups.ts';
import { conflicts } from './conflicts.ts';
import { kernel } from './kernel.ts';
import { board, clock, disk, memory } from './machine.ts';
import { controlPlane, dns, firewall, ports } from './network.ts';
import { runtime } from './runtime.ts';

/** In the order in which they are told. */
export const checks: readonly Check[] = [board, kernel, cgroups, runtime, conflicts, ports, firewall, dns, controlPlane, clock, disk, memory];
