import { StatusError } from '#common/errors.ts';
import { equal } from './equal.ts';
import { copyJson, deeperThan, isRecord, maxDepth, setOwn, type JsonRecord } from './json.ts';

/** Kubernetes' own limit of operations in one patch. */
const maxOperations = 10_000;
/** What all `copy` operations of a patch may add, in characters of JSON. */
const maxCopied = 3 * 1024 * 1024;
/** How many items of lists may shift, and characters of values move, in all: one request must not hold up the others. */
const maxTouched = 100_000_000;

interface Operation {
  readonly op: string;
  readonly path: readonly string[];
  readonly from: readonly string[];
  readonly value: unknown;
}

/**
 * RFC 6902. Returns a new value, which may share unchanged parts with its arguments.
 * A malformed patch is BadRequest; one that cannot be applied, a failed `test` included, is Invalid.
 */
export function jsonPatch(document: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw malformed('a JSON patch must be a list of operations');
  if (operations.length > maxOperations) {
    throw new StatusError('RequestEntityTooLarge', `The allowed maximum operations in a JSON patch is ${maxOperations}, got ${operations.length}`);
  }
  if (deeperThan(document, maxDepth)) throw malformed(`the object nests deeper than ${maxDepth} levels`);
  const parsed = operations.map(parseOperation);
  return new Patcher(document).run(parsed);
}

function malformed(message: string): StatusError {
  return new StatusError('BadRequest', `error decoding patch: ${message}`);
}

function cannot(message: string): StatusError {
  return new StatusError('Invalid', `the server rejected our request due to an error in our request: ${message}`);
}

function parseOperation(raw: unknown, index: number): Operation {
  if (!isRecord(raw)) throw malformed(`operation ${index} must be an object`);
  const { op, path, from } = raw;
  if (typeof op !== 'string' || !['add', 'remove', 'replace', 'move', 'copy', 'test'].includes(op)) {
    throw malformed(`operation ${index}: op must be one of add, remove, replace, move, copy, test`);
  }
  if (typeof path !== 'string') throw malformed(`operation ${index}: path must be a string`);
  const needsFrom = op === 'move' || op === 'copy';
  if (needsFrom && typeof from !== 'string') throw malformed(`operation ${index}: from must be a string`);
  if ((op === 'add' || op === 'replace') && !Object.hasOwn(raw, 'value')) throw malformed(`operation ${index}: value is missing`);
  const value = Object.hasOwn(raw, 'value') ? raw['value'] : null;
  return { op, path: parsePointer(path), from: needsFrom && typeof from === 'string' ? parsePointer(from) : [], value };
}

function parsePointer(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw malformed(`the path ${JSON.stringify(pointer)} must be empty or start with "/"`);
  const tokens = pointer.slice(1).split('/');
  if (tokens.length > maxDepth) throw malformed(`a path must not have more than ${maxDepth} parts`);
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function print(path: readonly string[]): string {
  return path.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function childOf(container: unknown, token: string): unknown {
  if (Array.isArray(container)) return /^(0|[1-9][0-9]{0,9})$/.test(token) ? container[Number(token)] : undefined;
  return isRecord(container) && Object.hasOwn(container, token) ? container[token] : undefined;
}

function readOptional(document: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, token) => childOf(value, token), document);
}

function read(document: unknown, path: readonly string[], op: string): unknown {
  const value = readOptional(document, path);
  if (value === undefined) throw cannot(`${op} operation does not apply: doc is missing key: ${print(path)}: missing value`);
  return value;
}

function assign(container: unknown[] | JsonRecord, token: string, value: unknown): void {
  if (Array.isArray(container)) container[Number(token)] = value;
  else setOwn(container, token, value);
}

function sizeOf(value: unknown): number {
  return JSON.stringify(value).length;
}

function refuseTooDeep(path: readonly string[], value: unknown): void {
  if (deeperThan(value, maxDepth - path.length)) throw cannot(`the result would nest deeper than ${maxDepth} levels`);
}

/** Applies operations one after the other. Never changes what it was given: what lies along a path is copied once. */
class Patcher {
  #document: unknown;
  /** Containers that are copies made here, and so may be changed in place. Each stands in one place only. */
  readonly #own = new WeakSet<object>();
  #copied = 0;
  #touched = 0;

  constructor(document: unknown) {
    this.#document = document;
  }

  run(operations: readonly Operation[]): unknown {
    for (const operation of operations) this.#document = this.#apply(this.#document, operation);
    return this.#document;
  }

  #apply(document: unknown, operation: Operation): unknown {
    const { op, path, from } = operation;
    switch (op) {
      case 'add': return this.#insert(document, path, operation.value);
      case 'remove': return this.#remove(document, path);
      case 'replace':
        read(document, path, 'replace');
        return this.#set(document, path, operation.value);
      case 'copy': {
        const value = read(document, from, 'copy');
        this.#copied += sizeOf(value);
        if (this.#copied > maxCopied) throw cannot(`copy operations add more than ${maxCopied} characters`);
        return this.#insert(document, path, copyJson(value));
      }
      case 'move': {
        const moved = read(document, from, 'move');
        this.#touch(sizeOf(moved));
        if (from.length < path.length && from.every((token, i) => token === path[i])) throw cannot('move operation: a value cannot be moved into itself');
        return this.#insert(this.#remove(document, from), path, moved);
      }
      default: {
        const found = readOptional(document, path);
        // Kubernetes lets a test for null pass where nothing is.
        if (!equal(found ?? null, operation.value)) throw cannot(`testing value ${print(path)} failed: test failed`);
        return document;
      }
    }
  }

  #touch(count: number): void {
    this.#touched += count;
    if (this.#touched > maxTouched) throw new StatusError('RequestEntityTooLarge', 'the JSON patch is too much work for one request; split it');
  }

  #ownCopy(container: unknown[] | JsonRecord): unknown[] | JsonRecord {
    if (this.#own.has(container)) return container;
    const copy = Array.isArray(container) ? [...container] : { ...container };
    this.#own.add(copy);
    return copy;
  }

  /** The document with the containers along `path` made our own, the innermost changed by `change`. */
  #withContainer(document: unknown, path: readonly string[], op: string, change: (container: unknown[] | JsonRecord, token: string) => void): unknown {
    const [token, ...rest] = path;
    if (token === undefined) throw cannot(`${op} operation does not apply to the whole document`);
    if (!Array.isArray(document) && !isRecord(document)) throw cannot(`${op} operation does not apply: doc is missing path: ${print(path)}: missing value`);
    const copy = this.#ownCopy(document);
    if (rest.length === 0) {
      change(copy, token);
      return copy;
    }
    const inner = childOf(document, token);
    if (inner === undefined) throw cannot(`${op} operation does not apply: doc is missing path: ${print(path)}: missing value`);
    assign(copy, token, this.#withContainer(inner, rest, op, change));
    return copy;
  }

  #set(document: unknown, path: readonly string[], value: unknown): unknown {
    refuseTooDeep(path, value);
    return path.length === 0 ? value : this.#withContainer(document, path, 'replace', (container, token) => assign(container, token, value));
  }

  #insert(document: unknown, path: readonly string[], value: unknown): unknown {
    refuseTooDeep(path, value);
    if (path.length === 0) return value;
    return this.#withContainer(document, path, 'add', (container, token) => {
      if (!Array.isArray(container)) {
        setOwn(container, token, value);
        return;
      }
      const index = token === '-' ? container.length : Number(token);
      if (token !== '-' && !(/^(0|[1-9][0-9]{0,9})$/.test(token) && index <= container.length)) {
        throw cannot(`add operation does not apply: doc is missing path: "${print(path)}": Unable to access invalid index: ${token}: invalid index referenced`);
      }
      this.#touch(container.length - index);
      container.splice(index, 0, value);
    });
  }

  #remove(document: unknown, path: readonly string[]): unknown {
    return this.#withContainer(document, path, 'remove', (container, token) => {
      if (childOf(container, token) === undefined) throw cannot(`remove operation does not apply: doc is missing key: ${print(path)}: missing value`);
      if (!Array.isArray(container)) delete container[token];
      else {
        this.#touch(container.length - Number(token));
        container.splice(Number(token), 1);
      }
    });
  }
}
