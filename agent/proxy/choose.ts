import { StatusError } from '#common/errors.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import { ipvsSchedulers, type ProxyBackend, type ProxyBackendDeps, type ProxyConfig } from './types.ts';

export interface ChooseDeps extends Pick<ProxyBackendDeps, 'exec' | 'log'> {
  /** See registry.ts. */
  readonly makers: Readonly<Record<string, (deps: ProxyBackendDeps, config: ProxyConfig) => Promise<ProxyBackend>>>;
  readonly ledger: Pick<Ledger, 'record' | 'records'>;
}

export interface ChooseConfig {
  /** A backend's name, or `auto`. */
  readonly proxyMode: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly nodePortAddresses: string;
  readonly ipvsScheduler: string;
}

/** The backend that was asked for, or the first that this host can use; and those that earlier lives of the agent used instead. */
export async function chooseBackends({ makers, ledger, exec, log }: ChooseDeps, { proxyMode, podCidr, serviceCidr, nodePortAddresses, ipvsScheduler }: ChooseConfig, signal: AbortSignal): Promise<{ readonly backend: ProxyBackend; readonly former: readonly ProxyBackend[] }> {
  const record: ProxyBackendDeps['record'] = (kind, target, values) => ledger.record({ kind, target, before: values?.before ?? null, after: values?.after ?? null });
  const restore = async (sysctls: readonly string[], stop: AbortSignal): Promise<void> => {
    for (const { target, before, after } of ledger.records.filter(({ kind, target: name }) => kind === 'sysctl' && sysctls.includes(name))) {
      if (before !== null && after !== null) await exec('sh', ['-c', '[ "$(cat "$1")" != "$2" ] || echo "$3" > "$1"', 'sh', `/proc/sys/${target.replaceAll('.', '/')}`, after, before], { signal: stop });
    }
  };
  const deps = { exec, log, record, restore };
  const config = { tableName: 'cleat', podCidrs: podCidr.split(','), serviceCidrs: serviceCidr.split(','), nodePortAddresses: nodePortAddresses.split(',').filter(Boolean), ipvsScheduler: ipvsSchedulers.find((name) => name === ipvsScheduler) ?? 'rr' };
  const reasons: string[] = [];
  for (const [name, make] of Object.entries(makers)) {
    if (proxyMode !== 'auto' && proxyMode !== name) continue;
    const backend = await make(deps, config);
    const unusable = await backend.unusable(signal);
    if (unusable !== undefined) {
      reasons.push(`${name}: ${unusable}`);
      continue;
    }
    const used = Object.entries(makers).filter(([other]) => other !== name && ledger.records.some(({ kind, target }) => kind.startsWith(other) && !target.endsWith('-policy')));
    return { backend, former: await Promise.all(used.map(([, makeFormer]) => makeFormer(deps, config))) };
  }
  throw new StatusError('ServiceUnavailable', `Services cannot be routed on this host: ${reasons.join('; ')}`);
}
