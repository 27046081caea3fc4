/** What a shell is told: it asks `cleat __complete` for what may come next, one word a line. */
export const completionScripts: Readonly<Record<string, string>> = {
  bash: `# cleat completion for bash:  source <(cleat completion bash)
_cleat() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(cleat __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ \${#COMPREPLY[@]} -eq 1 && "\${COMPREPLY[0]}" == */ ]] && compopt -o nospace
}
complete -o default -F _cleat cleat
`,
  zsh: `#compdef cleat
# cleat completion for zsh:  source <(cleat completion zsh)
_cleat() {
  local -a found
  found=("\${(@f)$(cleat __complete "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}")
  [[ -n "$found" ]] && compadd -a found || _files
}
compdef _cleat cleat
`,
  fish: `# cleat completion for fish:  cleat completion fish | source
function __cleat_complete
    set -l words (commandline -opc) (commandline -ct)
    cleat __complete $words[2..-1] 2>/dev/null
end
complete -c cleat -f -a '(__cleat_complete)'
`,
};
