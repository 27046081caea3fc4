import * as yaml from 'yaml';
import { messageOf, StatusError } from '#common/errors.ts';
import { kubernetesYaml, kubernetesYamlStyle } from '#common/yaml-options.ts';
import { badRequest } from '../api-errors.ts';
import { jsonType, type Reply } from './reply.ts';

/** YAML takes a second of work for so much; JSON takes a hundredth of that. */
const maxBytes = 1 << 20;
/** More than this tells a reader nothing new. */
const maxDuplicates = 20;

export interface YamlDocument {
  readonly value: unknown;
  /** `line 5: key "name" already set in map`, in the order of the lines. The last value counts. */
  readonly duplicates: readonly string[];
}

/** Loaded when the first such body arrives. */
export function parseYaml(text: string): YamlDocument {
  if (text.length > maxBytes) throw new StatusError('RequestEntityTooLarge', `the YAML is larger than ${String(maxBytes)} bytes; send it as JSON`);
  try {
    const lines = new yaml.LineCounter();
    const document = yaml.parseDocument(text, { ...kubernetesYaml, prettyErrors: false, uniqueKeys: false, lineCounter: lines, logLevel: 'error' });
    const [error] = document.errors;
    if (error) throw error;
    // Through JSON: dates, maps with odd keys and the like have no place in an object.
    return { value: JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 50 }) ?? null)), duplicates: duplicatesIn(document, lines) };
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: yaml: ${messageOf(error).split('\n')[0] ?? ''}`, error);
  }
}

function duplicatesIn(document: yaml.Document, lines: yaml.LineCounter): string[] {
  const found: string[] = [];
  yaml.visit(document, {
    Map: (_, map) => {
      const keys = new Set<unknown>();
      for (const { key } of map.items) {
        if (!yaml.isScalar(key)) continue;
        if (keys.has(key.value) && key.value !== '<<') found.push(`line ${String(lines.linePos(key.range?.[0] ?? 0).line)}: key ${JSON.stringify(key.value)} already set in map`);
        keys.add(key.value);
      }
      return found.length < maxDuplicates ? undefined : yaml.visit.BREAK;
    },
  });
  return found;
}

/** The answer in YAML. Streams stay as they are: nobody reads them so. */
export function yamlReply(reply: Reply): Reply {
  const { body, contentType } = reply;
  if (contentType !== jsonType || (typeof body === 'object' && Symbol.asyncIterator in body)) return reply;
  const json = typeof body === 'string' ? body : textOf(body instanceof Uint8Array ? [body] : body);
  return { ...reply, contentType: 'application/yaml', body: yaml.stringify(JSON.parse(json), kubernetesYamlStyle) };
}

function textOf(pieces: Iterable<Uint8Array>): string {
  const copies: Buffer[] = [];
  let size = 0;
  for (const piece of pieces) {
    size += piece.length;
    if (size > maxBytes) throw new StatusError('NotAcceptable', `the answer is larger than ${String(maxBytes)} bytes; ask for application/json`);
    // Pieces are valid only until the next but one.
    copies.push(Buffer.from(piece));
  }
  return Buffer.concat(copies, size).toString('utf8');
}
