import childProcess from 'node:child_process';
import { accessSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;

/**
 * The command, as a script: what it knows of is files, what it starts are processes that sleep. `$call` is what is asked
 * of it; a file of that name and the pod's uid below `faults` is what it does instead, or before (`truth` does what it should). Waiting for
 * ever is noted, so that it is told from being slow.
 */
const ctr = (dir: string, stateDir: string): string => `#!/bin/sh
F=${dir}
shift 6
say() { echo "ctr: $*" >&2; exit 1; }
hang() { : > "$F/hung/$$"; exec sleep 100000; }
value() { name=$1; shift; while [ $# -gt 0 ]; do [ "$1" = "$name" ] && { echo "$2"; return; }; shift; done; }
begin() { sleep 100000 <&- >&- 2>&- & echo $! > "$F/tasks/$id"; echo $! > "$(value --pid-file "$@")"; }
pid() { read -r pid < "$F/tasks/$id" && echo "$pid"; }
for id; do :; done
case $1 in
  snapshots) call="snapshots $4" ;;
  version|events|run) call=$1 ;;
  *) call="$1 $2" ;;
esac
[ "$call" != "snapshots prepare" ] || id=$7
truth() {
  case $call in
    version) printf 'Client:\\n  Version:  1.6.20\\n\\nServer:\\n  Version:  1.6.20\\n' ;;
    events) hang ;;
    'plugins ls') echo 'io.containerd.snapshotter.v1 overlayfs linux/amd64 ok' ;;
    'images ls') printf 'REF TYPE DIGEST SIZE PLATFORMS LABELS\\n%s t ${digest('a')} 1.0 MiB linux/amd64 -\\n' "\${3#name==}" ;;
    'content get') case $3 in ${digest('a')}) echo '{"config":{"digest":"${digest('b')}"},"layers":[]}' ;; *) echo '{"rootfs":{"diff_ids":["${digest('c')}"]}}' ;; esac ;;
    'containers ls') ls "$F/containers" ;;
    'containers rm') [ -e "$F/containers/$id" ] || say "container \\"$id\\": not found"; rm "$F/containers/$id" ;;
    'tasks ls') echo 'TASK PID STATUS'; for file in "$F"/tasks/*; do [ ! -e "$file" ] || echo "\${file##*/} $(cat "$file") RUNNING"; done ;;
    run) [ ! -e "$F/containers/$id" ] || say "container \\"$id\\": already exists"; : > "$F/containers/$id"; begin "$@" ;;
    'tasks kill') [ -e "$F/tasks/$id" ] || say 'no running task found: not found'; kill -9 "$(pid)" 2>/dev/null || say 'process already finished: not found' ;;
    'tasks delete') [ -e "$F/tasks/$id" ] || say "no running task found: task $id not found"; rm "$F/tasks/$id" ;;
    'snapshots prepare') : > "$F/snapshots/$id"; echo "mount -t overlay overlay $6 -o lowerdir=/" ;;
    'snapshots ls') echo 'KEY PARENT KIND'; for file in "$F"/snapshots/*; do [ ! -e "$file" ] || echo "\${file##*/} x View"; done ;;
    'snapshots view') [ ! -e "$F/snapshots/$5" ] || say "snapshot \\"$5\\": already exists"; : > "$F/snapshots/$5" ;;
    'snapshots label') [ -e "$F/snapshots/$5" ] || say "snapshot $5: not found" ;;
    'snapshots mounts') echo "mount -t overlay overlay $5 -o ro,lowerdir=/" ;;
    'snapshots rm') [ -e "$F/snapshots/$id" ] || say "snapshot $id does not exist: not found"; rm "$F/snapshots/$id" ;;
    *) say "no such command: $call" ;;
  esac
}
[ ! -e "$F/away" ] || say 'failed to dial "/run/x.sock": context deadline exceeded'
for fault in "$F/faults/$call"@*; do
  [ -e "$fault" ] || continue
  case "$* $(cat ${stateDir}/ctr/*/"$id"/record.json 2>/dev/null)" in *"\${fault##*@}"*) . "$fault" ;; esac
done
truth "$@"
`;

/** `runc`, which knows of the pause programs of sandboxes. What it says while it makes one is read from a file. */
const runc = (dir: string, stateDir: string): string => `#!/bin/sh
F=${dir}
root=$2
shift 2
say() { echo "$*" >&2; exit 1; }
hang() { : > "$F/hung/$$"; exec sleep 100000; }
for id; do :; done
call="runc $1"
pidfile=$4
truth() {
  case $call in
    'runc run') mkdir -p "$root/$id" || exit; : > "$F/pauses/$id"; sleep 100000 <&- 2>&- & echo $! > "$F/pauses/$id"; echo $! > "$pidfile" ;;
    'runc delete') read -r pid < "$F/pauses/$id" && kill -9 "$pid" 2>/dev/null; rm -f "$F/pauses/$id"; rm -r "$root/$id" ;;
    *) say "no such command: $call" ;;
  esac
}
for fault in "$F/faults/$call"@*; do
  [ -e "$fault" ] || continue
  case "$* $(cat ${stateDir}/ctr/sandboxes/"$id"/record.json 2>/dev/null)" in *"\${fault##*@}"*) . "$fault" ;; esac
done
truth "$@"
`;

/** Anything that takes a folder, and gives it back. The fault of the one is called `mount`. */
const mount = (dir: string): string => `#!/bin/sh\n[ ! -e "${dir}/faults/mount@" ] || . "${dir}/faults/mount@"\nfor word; do case $word in /*) folder=\${word%/*}; : > "${dir}/mounts/\${folder##*/}-\${word##*/}" ;; esac; done\n`;
const umount = (dir: string): string => `#!/bin/sh\nfolder=\${2%/*}; exec rm "${dir}/mounts/\${folder##*/}-\${2##*/}" 2>/dev/null\n`;

/** Gives addresses, and takes them back. Its faults are called `ADD` and `DEL`. */
const plugin = (dir: string): string => `#!/bin/sh
F=${dir}
hang() { : > "$F/hung/$$"; exec sleep 100000; }
truth() { case $CNI_COMMAND in ADD) : > "$F/addresses/$CNI_CONTAINERID"; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}' ;; DEL) rm -f "$F/addresses/$CNI_CONTAINERID" ;; esac; }
cat > /dev/null
for fault in "$F/faults/$CNI_COMMAND"@*; do
  [ ! -e "$fault" ] || case $CNI_ARGS in *"_UID=\${fault##*@}"*) . "$fault" ;; esac
done
truth
`;

/** What a host has beside them. */
const programs = ['sh', 'sleep', 'cat', 'ls', 'rm', 'mkdir', 'rmdir', 'mkfifo'];
const kinds = ['containers', 'tasks', 'pauses', 'snapshots', 'mounts', 'addresses'] as const;

/** For tests: a containerd's command line, CNI plugin and mounts that keep what they did in files, apart from the faults that they are given. As long as it is open, this process finds no other programs. */
export class FakeCtr {
  readonly cni: { readonly confDir: string; readonly binDirs: readonly string[] };
  readonly #dir = mkdtempSync(join(tmpdir(), 'cleat-fake-ctr-'));
  readonly #path = process.env['PATH'];
  readonly #spawn = childProcess.spawn;
  readonly #running = new Set<number>();

  constructor(stateDir: string) {
    const [bin, confDir, cniBin] = ['bin', 'net.d', 'cni'].map((name) => join(this.#dir, name)) as [string, string, string];
    this.cni = { confDir, binDirs: [cniBin] };
    for (const folder of [...kinds, 'faults', 'hung', 'bin', 'net.d', 'cni']) mkdirSync(join(this.#dir, folder), { recursive: true });
    const write = (path: string, text: string): void => { writeFileSync(path, text, { mode: 0o755 }); };
    write(join(bin, 'ctr'), ctr(this.#dir, stateDir));
    write(join(bin, 'runc'), runc(this.#dir, stateDir));
    write(join(bin, 'mount'), mount(this.#dir));
    write(join(bin, 'umount'), umount(this.#dir));
    for (const name of programs) symlinkSync(whereIs(name, this.#path ?? ''), join(bin, name));
    write(join(cniBin, 'lab'), plugin(this.#dir));
    write(join(confDir, '10-lab.conflist'), JSON.stringify({ cniVersion: '1.0.0', name: 'lab', plugins: [{ type: 'lab' }] }));
    process.env['PATH'] = bin;
    this.#watch();
  }

  /** What `call` does from now on, in the shell's words; `about` the pod of this uid alone, or whatever it is about. */
  break(call: string, script: string, about = ''): void {
    writeFileSync(join(this.#dir, 'faults', `${call}@${about}`), script);
  }

  mend(): void {
    for (const name of readdirSync(join(this.#dir, 'faults'))) rmSync(join(this.#dir, 'faults', name));
    rmSync(join(this.#dir, 'away'), { force: true });
  }

  /** As without a containerd behind it. */
  goAway(): void { writeFileSync(join(this.#dir, 'away'), ''); }

  /** As if it were not installed, until the function that is returned is called. */
  uninstall(): () => void {
    const path = process.env['PATH'];
    process.env['PATH'] = join(this.#dir, 'none');
    return () => { process.env['PATH'] = path; };
  }

  /** Something works that does not wait for ever. */
  get isBusy(): boolean {
    const hung = new Set(readdirSync(join(this.#dir, 'hung')));
    return [...this.#running].some((pid) => !hung.has(String(pid)));
  }

  /** What pods have of the host. What is kept of images stays; volumes are unmounted where the kernel knows them to be mounted, and it knows of none here. */
  get held(): string[] {
    return kinds.flatMap((kind) => readdirSync(join(this.#dir, kind)).map((name) => `${kind}: ${name}`)).filter((what) => !what.includes('.volumes') && !what.startsWith('snapshots: layers-'));
  }

  /** Processes of containers, by their ids. */
  get tasks(): Map<string, number> { return this.#processes('tasks'); }

  /** Pause programs, by the ids of their sandboxes. */
  get pauses(): Map<string, number> { return this.#processes('pauses'); }

  close(): void {
    childProcess.spawn = this.#spawn;
    syncBuiltinESMExports();
    process.env['PATH'] = this.#path;
    for (const pid of [...this.tasks.values(), ...this.pauses.values()]) try { process.kill(pid, 'SIGKILL'); } catch { /* It has ended. */ }
    rmSync(this.#dir, { recursive: true });
  }

  #processes(kind: 'tasks' | 'pauses'): Map<string, number> {
    return new Map(readdirSync(join(this.#dir, kind)).flatMap((id) => {
      try {
        return [[id, Number(readFileSync(join(this.#dir, kind, id), 'utf8'))] as const];
      } catch {
        return []; // it has been let go of since
      }
    }));
  }

  #watch(): void {
    const spawn = this.#spawn as (command: string, args: readonly string[], options: object) => childProcess.ChildProcess;
    childProcess.spawn = ((command: string, args: readonly string[], options: object) => {
      const child = spawn(command, args, options);
      const { pid } = child;
      if (pid !== undefined) {
        this.#running.add(pid);
        child.once('close', () => { this.#running.delete(pid); });
      }
      return child;
    }) as typeof childProcess.spawn;
    syncBuiltinESMExports();
  }
}

function whereIs(program: string, path: string): string {
  const found = path.split(':').map((dir) => join(dir, program)).find((file) => {
    try {
      accessSync(file);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error(`this host has no ${program}`);
  return found;
}
