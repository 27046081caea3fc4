import { libraryWith, type Functions } from '../cel/cel.ts';
import type { Overload } from '../cel/functions.ts';
import { bool, opaque, string, type CelType } from '../cel/types.ts';
import { Opaque, type Value } from '../cel/values.ts';

/** What an expression asks of the authorizer. */
export interface AuthorizationQuestion {
  /** Undefined: whoever made the request. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
  readonly path?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly verb?: string;
}

export interface AuthorizationAnswer { readonly allowed: boolean; readonly reason: string; readonly error?: string }

/** Answers a question, or throws when the answer is not known yet. */
export type Ask = (question: AuthorizationQuestion) => AuthorizationAnswer;

const prefix = 'kubernetes.authorization.';
export const authorizerType: CelType = opaque(`${prefix}Authorizer`);
const pathType = opaque(`${prefix}PathCheck`);
const groupType = opaque(`${prefix}GroupCheck`);
export const resourceType: CelType = opaque(`${prefix}ResourceCheck`);
const decisionType = opaque(`${prefix}Decision`);

/** A question while it is being put together. */
export class Question extends Opaque {
  readonly typeName: string;
  readonly ask: Ask;
  readonly question: AuthorizationQuestion;

  constructor(type: CelType, ask: Ask, question: AuthorizationQuestion) {
    super();
    this.typeName = type.kind === 'opaque' ? type.name : '';
    this.ask = ask;
    this.question = question;
  }

  equals(other: Opaque): boolean { return this === other; }
}

class Answer extends Opaque {
  readonly typeName = `${prefix}Decision`;
  readonly answer: AuthorizationAnswer;

  constructor(answer: AuthorizationAnswer) {
    super();
    this.answer = answer;
  }

  equals(other: Opaque): boolean { return this === other; }
}

const checkCost = 350_000;

function step(name: string, from: CelType, texts: number, to: CelType, next: (...texts: string[]) => AuthorizationQuestion): Overload {
  return {
    name, member: true, args: [from, ...Array.from({ length: texts }, () => string)], result: to,
    call: ([self, ...rest]) => {
      const { ask, question } = self as Question;
      return new Question(to, ask, { ...question, ...next(...rest.map(String)) });
    },
  };
}

function verdict(from: CelType): Overload {
  return {
    name: 'check', member: true, args: [from, string], result: decisionType,
    call: ([self, verb], spend) => {
      spend(checkCost);
      const { ask, question } = self as Question;
      return new Answer(ask({ ...question, verb: String(verb) }));
    },
  };
}

function read(name: string, result: CelType, of: (answer: AuthorizationAnswer) => Value): Overload {
  return { name, member: true, args: [decisionType], result, call: ([self]) => of((self as Answer).answer) };
}

/** The functions of `authorizer`. Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library */
export function admissionLibrary(): Functions {
  return libraryWith([
    step('serviceAccount', authorizerType, 2, authorizerType, (namespace = '', name = '') => ({ serviceAccount: { namespace, name } })),
    step('path', authorizerType, 1, pathType, (path = '') => ({ path })),
    step('group', authorizerType, 1, groupType, (group = '') => ({ group })),
    step('resource', groupType, 1, resourceType, (resource = '') => ({ resource })),
    step('subresource', resourceType, 1, resourceType, (subresource = '') => ({ subresource })),
    step('namespace', resourceType, 1, resourceType, (namespace = '') => ({ namespace })),
    step('name', resourceType, 1, resourceType, (name = '') => ({ name })),
    verdict(pathType), verdict(resourceType),
    read('allowed', bool, ({ allowed }) => allowed), read('reason', string, ({ reason }) => reason),
    read('errored', bool, ({ error }) => error !== undefined), read('error', string, ({ error }) => error ?? ''),
  ]);
}
