import { CelCompileError, compile, evaluate, fromJson, perCallLimit, Budget, type Environment, type Program, type Variables } from '../cel/cel.ts';
import { bool, dyn, nullType, string, type CelType } from '../cel/types.ts';
import { MapLike, type Value } from '../cel/values.ts';
import { invalid, type FieldError } from '../meta/field-error.ts';
import { admissionLibrary, authorizerType, Question, resourceType, type Ask, type AuthorizationQuestion } from './authorizer.ts';

export { CelBudgetError, CelError } from '../cel/cel.ts';
export type { Program } from '../cel/cel.ts';
export type { Ask, AuthorizationAnswer, AuthorizationQuestion } from './authorizer.ts';

const common: Readonly<Record<string, CelType>> = { object: dyn, oldObject: dyn, request: dyn, authorizer: authorizerType, 'authorizer.requestResource': resourceType };

/** Types of what expressions speak of, where more is known than that it is something. */
export type KnownTypes = Readonly<Record<string, CelType>>;

/** What match conditions may speak of, and what policies may. The library is large: make one and keep it. */
export class AdmissionExpressions {
  readonly #functions = admissionLibrary();

  condition(expression: string, forPolicy = false, known: KnownTypes = {}): Program {
    return compile(expression, this.#environment(forPolicy, known), bool);
  }

  message(expression: string, known: KnownTypes = {}): Program {
    return compile(expression, this.#environment(true, known), string);
  }

  /** Audit annotations may have no value. */
  annotation(expression: string, known: KnownTypes = {}): Program {
    const program = compile(expression, this.#environment(true, known));
    if (![string.kind, nullType.kind, dyn.kind].includes(program.type.kind)) throw new CelCompileError(expression, [{ at: 0, message: 'must evaluate to string or null' }]);
    return program;
  }

  variable(expression: string, known: KnownTypes = {}): Program {
    return compile(expression, this.#environment(true, known));
  }

  #environment(forPolicy: boolean, known: KnownTypes): Environment {
    return { functions: this.#functions, variables: { ...common, ...(forPolicy && { params: dyn, namespaceObject: dyn, variables: dyn }), ...known } };
  }
}

/** What is wrong with an expression of an object, in Kubernetes' words; nothing: it compiles. */
export function expressionErrors(field: string, expression: string | undefined, compileIt: (expression: string) => Program): FieldError[] {
  // That it is missing is told elsewhere.
  if (!expression?.trim()) return [];
  try {
    compileIt(expression);
    return [];
  } catch (error) {
    if (error instanceof CelCompileError) return [invalid(field, expression, `compilation failed: ${error.message}`)];
    throw error;
  }
}

/** What one request brings. Objects are JSON. */
export interface Facts {
  readonly object: unknown;
  readonly oldObject: unknown;
  readonly request: unknown;
  readonly ask: Ask;
  /** What `authorizer.requestResource` is about. */
  readonly resource: AuthorizationQuestion;
}

export function variablesOf({ object, oldObject, request, ask, resource }: Facts): Variables {
  return {
    object: () => fromJson(object ?? null), oldObject: () => fromJson(oldObject ?? null), request: () => fromJson(request),
    authorizer: () => new Question(authorizerType, ask, {}), 'authorizer.requestResource': () => new Question(resourceType, ask, resource),
  };
}

/** `variables` of a policy: each is evaluated when it is first looked at, and may look at those before it. */
export class NamedExpressions extends MapLike {
  readonly #programs: ReadonlyMap<string, Program>;
  readonly #variables: Variables;
  readonly #budget: Budget;
  readonly #values = new Map<string, Value>();

  constructor(programs: ReadonlyMap<string, Program>, variables: Variables, budget: Budget) {
    super();
    this.#programs = programs;
    this.#variables = { ...variables, variables: this };
    this.#budget = budget;
  }

  get size(): number { return this.#programs.size; }

  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined;
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const program = this.#programs.get(key);
    if (!program) return undefined;
    const value = evaluate(program, this.#variables, this.#budget);
    this.#values.set(key, value);
    return value;
  }

  keys(): Iterable<Value> { return this.#programs.keys(); }
}

export function policyVariables(facts: Facts, extra: { readonly params: unknown; readonly namespaceObject: unknown; readonly programs: ReadonlyMap<string, Program> }, budget: Budget): Variables {
  const variables: Variables = { ...variablesOf(facts), params: () => fromJson(extra.params ?? null), namespaceObject: () => fromJson(extra.namespaceObject ?? null) };
  return { ...variables, variables: new NamedExpressions(extra.programs, variables, budget) };
}

/** The value of an expression; a budget of its own unless it shares one. */
export function valueOf(program: Program, variables: Variables, budget = new Budget(perCallLimit)): Value {
  return evaluate(program, variables, budget);
}

export { Budget, perObjectLimit } from '../cel/cel.ts';
