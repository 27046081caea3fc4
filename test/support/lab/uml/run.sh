#!/bin/sh
# usage: run.sh [-m MEGABYTES] [-w DIRECTORY] COMMAND [ARG ...]
# Runs a command as root on a User-Mode Linux host of its own: the lab's kernel over this machine's files. What the command
# writes is kept in the host's memory and gone with it, but for DIRECTORY, which it writes for real. Its output is
# this script's, and so is its exit status. The host has a loopback device and nothing else; it ends with this script.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
memory=512
written=
while getopts m:w: option; do
  case $option in
    m) memory=$OPTARG ;;
    w) written=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
kernel=$(sh "$here/kernel.sh")

# Memory of the host is a file there, which has to be executable.
ram=/dev/shm
[ -d $ram ] || ram=/tmp
job=$(mktemp -d /tmp/cleat-uml.XXXXXX)
uml= tail=
finish() {
  # Of its own session: everything that is left of the host.
  [ -z "$uml" ] || kill -KILL "-$uml" 2>/dev/null || true
  [ -z "$tail" ] || kill "$tail" 2>/dev/null || true
  rm -rf "$job"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
for word; do printf '%s\n' "$word" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/" | tr '\n' ' '; done > "$job/command"
{ echo "PATH='$PATH'"; echo "cd '$PWD'"; echo "written='$written'"; } > "$job/environment"
cp "$here/guest.sh" "$job/guest.sh"
: > "$job/output"

TMPDIR=$ram setsid setpriv --pdeathsig KILL "$kernel" umid="cleat-$(basename "$job")" uml_dir="$job" mem="${memory}M" seccomp=on quiet \
  root=none rootfstype=hostfs rootflags=/ ro init="$job/guest.sh" "job=$job" \
  con0=null,fd:1 con=null ssl=null </dev/null >"$job/console" 2>&1 &
uml=$!
tail -n +1 -f "$job/output" &
tail=$!
wait "$uml" || true
# The last lines may not have been shown yet.
sleep 0.3
status=$(cat "$job/status" 2>/dev/null || true)
[ -n "$status" ] || { echo "run.sh: the host ended before the command did:" >&2; tail -n 40 "$job/console" >&2; status=125; }
exit "$status"
