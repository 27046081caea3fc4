import { AdmissionExpressions, type Ask, type AuthorizationAnswer, type AuthorizationQuestion, type Facts, type Program } from '#api/admission/expressions.ts';
import { messageOf } from '#common/errors.ts';
import type { Authorizer } from '../auth/types.ts';
import type { User } from '../types.ts';
import type { AdmissionRequest } from './types.ts';

/** An expression waits for the authorizer. No error of the expression's: nothing passes over it. */
class Unanswered extends Error {
  readonly question: AuthorizationQuestion;

  constructor(question: AuthorizationQuestion) {
    super('not answered yet');
    this.question = question;
  }
}

const maxQuestions = 50;
const maxPrograms = 1000;

/** Compiled expressions of webhooks and policies, and the authorizer that they may ask. Loaded with the first of them. */
export class Expressions {
  readonly #authorizer: Authorizer;
  readonly #library = new AdmissionExpressions();
  readonly #programs = new Map<string, Program>();

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  condition(expression: string, forPolicy: boolean): Program {
    return this.#kept(`${forPolicy ? 'policy' : 'webhook'} ${expression}`, () => this.#library.condition(expression, forPolicy));
  }

  message(expression: string): Program {
    return this.#kept(`message ${expression}`, () => this.#library.message(expression));
  }

  annotation(expression: string): Program {
    return this.#kept(`annotation ${expression}`, () => this.#library.annotation(expression));
  }

  variable(expression: string): Program {
    return this.#kept(`variable ${expression}`, () => this.#library.variable(expression));
  }

  #kept(key: string, make: () => Program): Program {
    let program = this.#programs.get(key);
    if (!program) {
      if (this.#programs.size >= maxPrograms) this.#programs.clear();
      this.#programs.set(key, program = make());
    }
    return program;
  }

  /** Runs `work`, again after each question that it had to ask the authorizer. */
  async answered<T>({ user, kind: { resource }, namespace, name, subresource }: AdmissionRequest, work: (ask: Ask, own: Facts['resource']) => T): Promise<T> {
    const known = new Map<string, AuthorizationAnswer>();
    const ask: Ask = (question) => {
      const answer = known.get(JSON.stringify(question));
      if (!answer) throw new Unanswered(question);
      return answer;
    };
    const own = { group: resource.group, resource: resource.plural, ...(subresource !== undefined && { subresource }), ...(namespace !== undefined && { namespace }), name };
    for (;;) {
      try {
        return work(ask, own);
      } catch (error) {
        if (!(error instanceof Unanswered) || known.size >= maxQuestions) throw error;
        known.set(JSON.stringify(error.question), await this.#decide(user, error.question));
      }
    }
  }

  async #decide(asker: User, { serviceAccount, path, group = '', resource, subresource, namespace, name, verb = '' }: AuthorizationQuestion): Promise<AuthorizationAnswer> {
    const user = serviceAccount ? accountUser(serviceAccount) : asker;
    try {
      const { allowed, reason } = await this.#authorizer.authorize(path === undefined
        ? { user, verb, resource: { group, version: '*', plural: resource ?? '', subresource: subresource || undefined, namespace: namespace || undefined, name: name || undefined } }
        : { user, verb, path });
      return { allowed, reason };
    } catch (error) {
      return { allowed: false, reason: '', error: messageOf(error) };
    }
  }
}

function accountUser({ namespace, name }: { readonly namespace: string; readonly name: string }): User {
  return { name: `system:serviceaccount:${namespace}:${name}`, groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'] };
}
