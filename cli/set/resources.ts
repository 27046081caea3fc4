import { quantityProblem } from '#api/meta/quantity.ts';
import { StatusError } from '#common/errors.ts';
import { pairs } from '../create/submit.ts';
import { refuse, type ParsedFlags } from '../flags.ts';
import { fits, type PodTemplate } from './pod-template.ts';

type Amounts = Readonly<Record<string, string>>;
export interface ResourceChanges { readonly limits: Amounts; readonly requests: Amounts }

export function resourceChanges(parsed: ParsedFlags): ResourceChanges {
  const read = (flag: string): Amounts => {
    const amounts = pairs('set', parsed.string(flag) ?? '', 'resource');
    for (const [name, amount] of Object.entries(amounts)) {
      const problem = quantityProblem(amount);
      if (problem !== undefined) throw refuse('set', `invalid amount of ${name} in --${flag}: ${problem}`);
    }
    return amounts;
  };
  const changes = { limits: read('limits'), requests: read('requests') };
  if (Object.keys(changes.limits).length + Object.keys(changes.requests).length === 0) throw refuse('set', 'you must specify an update to requests or limits (in the form of --requests/--limits)');
  return changes;
}

/** The patch that makes the changes; undefined where all is so already. */
export function resourcesPatch({ pods, wrap }: PodTemplate, pattern: string, { limits, requests }: ResourceChanges): object | undefined {
  const chosen = (pods.containers ?? []).filter(({ name }) => fits(pattern, name));
  if (chosen.length === 0) throw new StatusError('BadRequest', `unable to find container named ${pattern}; there are ${(pods.containers ?? []).map(({ name }) => name).join(', ')}`);
  const differs = (wanted: Amounts, now: Amounts = {}): boolean => Object.entries(wanted).some(([name, amount]) => now[name] !== amount);
  const containers = chosen.flatMap(({ name, resources }) => (differs(limits, resources?.limits) || differs(requests, resources?.requests) ? [{ name, resources: { limits, requests } }] : []));
  return containers.length === 0 ? undefined : wrap({ containers });
}
