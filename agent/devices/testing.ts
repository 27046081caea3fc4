import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Pod } from '#api/gen/types.ts';
import { testContainer, testPod } from '#agent/pods/testing.ts';

/** For tests: a pod of one container that asks for devices. */
export function devicePod(name: string, limits: Record<string, string>, more: Partial<NonNullable<Pod['spec']>> = {}): Pod {
  return testPod(name, { containers: [testContainer('app', { resources: { limits, requests: limits } })], ...more });
}

type Said = Readonly<Record<string, unknown>> & { readonly event: string };

/** For tests: a plugin of test/support, which says how it is told what to do. */
export class TestProgram {
  readonly #child;
  readonly said: Said[] = [];
  readonly exited: Promise<void>;
  #look: () => void = () => undefined;

  constructor(script: string, ...args: string[]) {
    this.#child = spawn('/usr/bin/python3', ['-u', join(import.meta.dirname, '../../test/support', script), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((resolve) => { this.#child.once('close', () => { this.#look(); resolve(); }); });
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.said.push(JSON.parse(line) as Said);
      this.#look();
    });
  }

  tell(command: string, value?: unknown): void {
    this.#child.stdin.write(`${command}${value === undefined ? '' : ` ${JSON.stringify(value)}`}\n`);
  }

  /** A line as it is. */
  command(line: string): void { this.#child.stdin.write(`${line}\n`); }

  /** The `nth` thing of this kind that it says. */
  async until(event: string, nth = 1): Promise<Said> {
    for (;;) {
      const found = this.said.filter((said) => said.event === event)[nth - 1];
      if (found) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error(`the plugin has ended; it said ${JSON.stringify(this.said)}`);
      await new Promise<void>((resolve) => { this.#look = resolve; });
    }
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child.kill(signal);
    return this.exited;
  }
}

/** For tests: test/support/device-plugin.py. */
export class TestPlugin extends TestProgram {
  constructor(folder: string, resource: string, ...modes: string[]) { super('device-plugin.py', folder, resource, ...modes); }
}
