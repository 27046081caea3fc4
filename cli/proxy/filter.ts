import { StatusError } from '#common/errors.ts';

export interface FilterRules {
  /** Regular expressions, with commas between them. */
  readonly acceptHosts: string;
  readonly acceptPaths: string;
  readonly rejectPaths: string;
  readonly rejectMethods: string;
}

/** kubectl's own: pages of other sites reach nothing, and nobody runs commands in pods. */
export const defaultRules: FilterRules = {
  acceptHosts: '^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$',
  acceptPaths: '^.*',
  rejectPaths: '^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach',
  rejectMethods: '^$',
};

/** Says which requests are passed on. */
export class RequestFilter {
  readonly #rules: { readonly [rule in keyof FilterRules]: readonly RegExp[] };

  constructor(rules: FilterRules) {
    this.#rules = { acceptHosts: compile(rules.acceptHosts), acceptPaths: compile(rules.acceptPaths), rejectPaths: compile(rules.rejectPaths), rejectMethods: compile(rules.rejectMethods) };
  }

  /** `path`: decoded; `host`: as the request's header has it, with or without a port. */
  accepts(method: string, path: string, host: string): boolean {
    const { acceptHosts, acceptPaths, rejectPaths, rejectMethods } = this.#rules;
    const matches = (text: string, expressions: readonly RegExp[]): boolean => expressions.some((expression) => expression.test(text));
    return !matches(path, rejectPaths) && !matches(method, rejectMethods) && matches(path, acceptPaths) && matches(withoutPort(host), acceptHosts);
  }
}

/** `[::1]:8001` is `::1`, but `[::1]` is itself: so kubectl has it, and its default rules count on the latter. */
function withoutPort(host: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*)):[^:]*$/.exec(host) ?? [];
  return bracketed ?? plain ?? host;
}

function compile(list: string): RegExp[] {
  return list === '' ? [] : list.split(',').map((text) => {
    try {
      return new RegExp(text);
    } catch {
      throw new StatusError('BadRequest', `error parsing regexp: ${JSON.stringify(text)}`);
    }
  });
}
