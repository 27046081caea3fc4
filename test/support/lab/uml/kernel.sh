#!/bin/sh
# Prints the path of the lab's User-Mode Linux kernel, which it builds first where it is not in the cache: from Debian's
# kernel source with kernel.config, about six minutes of two cores and 3 GB of disk while it runs. A kernel is kept under
# the hash of that configuration. `kernel.sh --cached` only looks, and fails when there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/cleat-lab
key=$(sha256sum < "$here/kernel.config" | cut -c1-16)
kernel=$cache/linux-$key
[ ! -x "$kernel" ] || { echo "$kernel"; exit 0; }
[ "${1:-}" != --cached ] || exit 1
say() { echo "lab kernel: $*" >&2; }
[ "$(uname -m)" = x86_64 ] || { say "User-Mode Linux runs on x86_64 only"; exit 1; }

mkdir -p "$cache"
# Two runs at once build it once.
exec 9>"$cache/build.lock"
flock 9
[ ! -x "$kernel" ] || { echo "$kernel"; exit 0; }

missing=
for need in gcc:gcc make:make bc:bc flex:flex bison:bison xz:xz-utils; do command -v "${need%%:*}" >/dev/null || missing="$missing ${need#*:}"; done
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
if [ -n "$missing" ]; then
  say "installing$missing"
  # shellcheck disable=SC2086
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing; } >&2
fi

build=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$build"' EXIT INT TERM

# The source of Debian's testing suite, found through lists of our own: its kernel is the first that runs without ptrace
# (seccomp=on), which is faster and works where ptrace is forbidden. The machine's own apt is not touched.
mkdir -p "$build/apt/lists/partial" "$build/apt/cache/archives/partial" "$build/source"
mirror=$(sed -n 's/^URIs: *//p; s/^deb \([^[ ][^ ]*\) .*/\1/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1)
[ -n "$mirror" ] || { say "no Debian mirror among this machine's package sources"; exit 1; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror testing main" > "$build/apt/testing.list"
testing() {
  tool=$1; shift
  "$tool" -o Dir::Etc::sourcelist="$build/apt/testing.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$build/apt/lists" \
    -o Dir::Cache="$build/apt/cache" -o APT::Sandbox::User=root "$@"
}
say "fetching Debian's kernel source"
testing apt-get update -qq >&2
package=$(testing apt-cache pkgnames linux-source- | grep -E '^linux-source-[0-9.]+$' | sort -V | tail -n 1)
[ -n "$package" ] || { say "Debian's testing suite offers no linux-source"; exit 1; }
(cd "$build/apt" && testing apt-get download -qq "$package" >&2 && dpkg-deb --fsys-tarfile ./*.deb | tar -xO "./usr/src/$package.tar.xz") |
  xz -dc -T0 | tar -x -C "$build/source" --strip-components=1
rm -rf "$build/apt"

say "building $package; this takes minutes, once"
cd "$build/source"
exec 3>"$build/log"
quietly() { "$@" >&3 2>&1 || { tail -n 30 "$build/log" >&2; say "failed: $*"; exit 1; }; }
quietly make -s ARCH=um defconfig
quietly ./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config"
quietly make -s ARCH=um olddefconfig
# An option that this kernel does not know is an option that some test would miss.
absent=$(grep -E '^CONFIG_.*=[^n]' "$here/kernel.config" | grep -vxF -f .config || true)
[ -z "$absent" ] || { echo "$absent" >&2; say "this kernel does not offer the options above"; exit 1; }
quietly make -s -j"$(nproc)" ARCH=um linux
strip -o "$build/linux" linux
cp modules.builtin "$kernel.builtin"
cp include/config/kernel.release "$kernel.release"
mv "$build/linux" "$kernel"
# The last one is kept beside it, for going back and forth between two branches.
find "$cache" -maxdepth 1 -name 'linux-*' -mtime +30 ! -name "linux-$key*" -delete
echo "$kernel"
