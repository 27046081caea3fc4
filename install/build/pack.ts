import { readFileSync, writeFileSync } from 'node:fs';
import { packChunks } from './chunks.ts';

/** `pack.ts FILE (compile|plain)`: puts the chunks of FILE (JSON: names with sources) into FILE.index, FILE.code and FILE.compiled. A process of its own, for the flags of V8 that its caller chooses. */
const [file = '', how] = process.argv.slice(2);
const { index, code, compiled } = packChunks(new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>)), how === 'compile');
writeFileSync(`${file}.index`, JSON.stringify(index));
writeFileSync(`${file}.code`, code);
writeFileSync(`${file}.compiled`, compiled);
