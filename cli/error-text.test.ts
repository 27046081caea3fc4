import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { StatusError } from '#common/errors.ts';
import { errorText, report, unnamedKind } from './error-text.ts';

const invalid = (kind: string, name: string, ...messages: string[]): StatusError => new StatusError('Invalid', 'all of it', { details: { kind, name, causes: messages.map((message) => ({ reason: 'FieldValueInvalid', field: 'spec.x', message })) } });

describe('what a person reads of a failure', () => {
  it.each<[unknown, string]>([
    [new Error('oops'), 'error: oops'],
    [new StatusError('NotFound', 'pods "a" not found', { details: { kind: unnamedKind } }), 'Error from server (NotFound): pods "a" not found'],
    [new StatusError('NotFound', 'nothing here'), 'error: nothing here'],
    [new Error('a\u001b[2J\tb\u0000\n\u009bc'), 'error: a\\x1b[2J\tb\\x00\n\\x9bc'],
    [new TypeError('x is not iterable'), "error: the server's answer is not as expected, or cleat itself is at fault (x is not iterable); compare both with: cleat version"],
    [invalid('Pod', 'a', 'too large'), 'The Pod "a" is invalid: spec.x: too large'],
    [invalid('Pod', 'a', 'too large', 'too small', 'too large'), 'The Pod "a" is invalid: \n* spec.x: too large\n* spec.x: too small'],
    [invalid(unnamedKind, '', 'too large'), 'The request is invalid: spec.x: too large'],
    [invalid(unnamedKind, ''), 'The request is invalid: all of it'],
  ])('%#', (error, text) => {
    expect(errorText(error)).toBe(text);
  });

  it('is said once, and of many things in a line each', () => {
    const said: string[] = [];
    const io = { out: () => true, err: (text: string) => said.push(text), env: {}, stdin: Readable.from([]), terminal: false, interrupted: new AbortController().signal };
    expect(report([], io)).toBe(0);
    expect(report([new Error('a'), new Error('a'), invalid('Pod', 'b', 'too large')], io)).toBe(1);
    expect(said).toEqual(['error: a\n', 'Error from server (Invalid): all of it\n']);
  });
});
