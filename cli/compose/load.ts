import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { StatusError } from '#common/errors.ts';
import { interpolate, parseEnvFile } from './interpolate.ts';
import type { Files, Project } from './types.ts';
import { isMap, labelOf } from './values.ts';
import { fileTrouble, yamlTrouble } from '../file-trouble.ts';

const usualNames = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml'];
const maxBytes = 4 << 20;

export function hostFiles(env: Files['env']): Files {
  return {
    env,
    text(path) {
      try {
        if (statSync(path).size > maxBytes) throw new Error(`larger than ${String(maxBytes >> 20)} MiB`);
        return readFileSync(path, 'utf8');
      } catch (error) {
        throw new StatusError('BadRequest', `cannot read ${path}: ${fileTrouble(error)}`, { cause: error });
      }
    },
    isFile: (path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true,
  };
}

/** The compose file of that name, or the one of the working directory. `name` takes the place of the project's own. */
export function loadProject(path: string | undefined, name: string | undefined, files: Files): Project {
  const found = path ?? usualNames.find((usual) => existsSync(usual));
  if (found === undefined) throw new StatusError('BadRequest', `there is no ${usualNames.join(', ')} here; name the file with -f`);
  const folder = resolve(dirname(found));
  const dotEnv = join(folder, '.env');
  const own = files.isFile(dotEnv) ? parseEnvFile(files.text(dotEnv)) : new Map<string, string>();
  let raw: unknown;
  try {
    raw = parse(files.text(found), { merge: true, maxAliasCount: 100 });
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError('BadRequest', `${found} cannot be understood: ${yamlTrouble(error)}`, { cause: error });
  }
  if (!isMap(raw) || !isMap(raw['services'])) throw new StatusError('BadRequest', `${found} is no compose file: it has no map of services`);
  const file = interpolate(raw, (variable) => files.env[variable] ?? own.get(variable)) as Project['file'];
  const given = name ?? files.env['COMPOSE_PROJECT_NAME'] ?? own.get('COMPOSE_PROJECT_NAME') ?? (typeof file['name'] === 'string' ? file['name'] : basename(folder) || 'compose');
  return { name: labelOf(given, 'name'), folder, file };
}
