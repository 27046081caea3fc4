import type { Container, ContainerRestartRule } from '../gen/types.ts';
import { notSupported, required, tooMany, type FieldError } from '../meta/field-error.ts';
import { supportedIfSet } from '../meta/rules.ts';

type Policy = string | undefined;

const maxRules = 20;
const maxExitCodes = 255;

/** Whether a container that ended is to be started again, by its own rules, else its own policy, else its pod's. An init container that succeeded is not. */
export function startsAgain({ restartPolicy, restartPolicyRules = [] }: Pick<Container, 'restartPolicy' | 'restartPolicyRules'>, podPolicy: Policy, exitCode: number, isInit: boolean): boolean {
  if (isInit && exitCode === 0 && restartPolicy !== 'Always') return false;
  if (restartPolicy === undefined) return byPolicy(isInit && podPolicy !== 'Never' ? 'OnFailure' : podPolicy, exitCode);
  return restartPolicyRules.some((rule) => rule.action === 'Restart' && matches(rule, exitCode)) || byPolicy(restartPolicy, exitCode);
}

function byPolicy(policy: Policy, exitCode: number): boolean {
  return policy !== 'Never' && (policy !== 'OnFailure' || exitCode !== 0);
}

function matches({ exitCodes }: ContainerRestartRule, exitCode: number): boolean {
  return exitCodes !== undefined && (exitCodes.operator === 'In') === (exitCodes.values ?? []).includes(exitCode);
}

export function validateRestart({ restartPolicy, restartPolicyRules = [] }: Container, field: string): FieldError[] {
  const errors = supportedIfSet(`${field}.restartPolicy`, restartPolicy, ['Always', 'Never', 'OnFailure']);
  const path = `${field}.restartPolicyRules`;
  if (restartPolicyRules.length > 0 && restartPolicy === undefined) errors.push(required(`${field}.restartPolicy`, 'must specify restartPolicy when restart rules are used'));
  if (restartPolicyRules.length > maxRules) errors.push(tooMany(path, restartPolicyRules.length, maxRules));
  for (const [i, { action, exitCodes }] of restartPolicyRules.entries()) {
    if (action !== 'Restart') errors.push(action ? notSupported(`${path}[${i}].action`, action, ['Restart']) : required(`${path}[${i}].action`));
    if (exitCodes === undefined) { errors.push(required(`${path}[${i}].exitCodes`, 'must be specified')); continue; }
    const { operator, values = [] } = exitCodes;
    if (operator !== 'In' && operator !== 'NotIn') errors.push(notSupported(`${path}[${i}].exitCodes.operator`, operator, ['In', 'NotIn']));
    if (values.length === 0) errors.push(required(`${path}[${i}].exitCodes.values`, 'at least one value must be specified'));
    else if (values.length > maxExitCodes) errors.push(tooMany(`${path}[${i}].exitCodes.values`, values.length, maxExitCodes));
  }
  return errors;
}
