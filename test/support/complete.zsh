#!/usr/bin/zsh -f
# complete.zsh SHELL KEYS: types KEYS at an interactive bash, zsh or fish that has loaded `cleat completion`, in a terminal of
# its own. A `cleat` stands first in the PATH that knows `completion` and `__complete` and prints the words of everything else,
# between <>: so what the shell made of the keys is seen. CLEAT is the real executable.
emulate -R zsh
zmodload zsh/zpty
bin=$(mktemp -d)
trap 'zpty -d shell 2>/dev/null; rm -rf $bin' EXIT
print -r -- '#!/bin/sh
case "$1" in
completion|__complete) exec "$CLEAT" "$@" ;;
*) printf "<%s>" "$*" ;;
esac' >$bin/cleat
chmod +x $bin/cleat
export PATH=$bin:$PATH HOME=$bin TERM=dumb
case $1 in
bash) start='bash --norc --noprofile -i' load='. /usr/share/bash-completion/bash_completion; . <(cleat completion bash)' ;;
zsh) start='zsh -f -i' load='autoload -Uz compinit; compinit -u -D; source <(cleat completion zsh)' ;;
fish) start='fish --no-config -i' load='cleat completion fish | source' ;;
esac
zpty shell "$start"
# Its own echo of this line must not be taken for what it prints.
zpty -w shell "$load; echo loa''ded"
zpty -r -m shell said '*loaded*' || { print -r -- "no prompt: $said"; exit 1; }
zpty -w shell "$2"
zpty -r -m shell said '*<*>*' || { print -r -- "nothing was run: $said"; exit 1; }
print -r -- ${${said#*<}%%>*}
