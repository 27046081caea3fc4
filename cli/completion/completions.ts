import { RestClient } from '../client.ts';
import { clusterFlags, parseFlags } from '../flags.ts';
import { readConnection } from '../kubeconfig.ts';
import type { Io } from '../types.ts';
import { candidates } from './candidates.ts';

/** Asks the cluster that the words name, where there is one that answers soon. */
export async function completions(words: readonly string[], verbs: readonly string[], help: (verb: string) => Promise<string>, io: Io): Promise<readonly string[]> {
  let client: RestClient | undefined;
  try {
    client = new RestClient(await readConnection(parseFlags('completion', clusterFlags, clusterWords(words)), io.env));
  } catch {
    // Verbs and flags can be completed all the same.
  }
  try {
    return await candidates(words, { verbs, help, client });
  } catch {
    return [];
  } finally {
    client?.close();
  }
}

/** Those of the words that say which cluster and namespace are meant. */
function clusterWords(words: readonly string[]): string[] {
  const chosen = ['--request-timeout=2s'];
  for (const [i, word] of words.slice(0, -1).entries()) {
    const flag = clusterFlags.find(({ name, short }) => word === `--${name}` || word === `-${short ?? ' '}`);
    if (flag && i < words.length - 2) chosen.push(`--${flag.name}=${words[i + 1] ?? ''}`);
    else if (clusterFlags.some(({ name }) => word.startsWith(`--${name}=`))) chosen.push(word);
  }
  return chosen;
}
