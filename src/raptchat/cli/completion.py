"""`raptchat completion`: the scripts that let a shell complete raptchat's words.

Each asks the `raptchat` of the PATH, never the program whose name was typed: a Tab must not run what a cloned
folder brings. What comes back is never evaluated.
"""

from enum import StrEnum
from typing import Annotated

import typer

from raptchat.cli.invocation import invocation
from raptchat.errors import UsageError


class Shell(StrEnum):
    """A shell that completes."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


def completion(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell.")],
) -> None:
    """Print the script that lets a shell complete raptchat's words.

    It completes commands, flags, groups, sessions, models and files.
    """
    run = invocation(ctx)
    if run.json:
        raise UsageError("a completion script has no JSON form")
    run.terminal.write(SCRIPTS[shell])


_BASH = r"""# Completes raptchat's words in bash; made by `raptchat completion bash`.
_raptchat() {
    local kind= line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then
            kind=$line
        else
            COMPREPLY+=("$line")
        fi
    done < <(
        _RAPTCHAT_COMPLETE=bash _RAPTCHAT_LINE=${COMP_LINE:0:COMP_POINT} _RAPTCHAT_WORD=$2 \
        _RAPTCHAT_KEY=$COMP_TYPE _RAPTCHAT_COLUMNS=$COLUMNS command raptchat 2>/dev/null </dev/null
    )
    if [[ $kind == files ]]; then
        compopt -o default 2>/dev/null
    fi
}

complete -o nosort -F _raptchat raptchat 2>/dev/null || complete -F _raptchat raptchat
"""

_ZSH = r"""#compdef raptchat
# Completes raptchat's words in zsh; made by `raptchat completion zsh`.
_raptchat() {
    local kind line
    local -a values shown rows
    while IFS= read -r line; do
        if [[ -z $kind ]]; then
            kind=$line
            continue
        fi
        values+=("${line%%$'\t'*}")
        if [[ -n ${line#*$'\t'} ]]; then
            shown+=("${line%%$'\t'*}  -- ${line#*$'\t'}")
            rows=(-l)
        else
            shown+=("${line%%$'\t'*}")
        fi
    done < <(
        _RAPTCHAT_COMPLETE=zsh _RAPTCHAT_WORD=${(Q)PREFIX} \
            command raptchat "${(@Q)words[2,CURRENT-1]}" 2>/dev/null </dev/null
    )
    if [[ $kind == files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files
    elif (( $#values )); then
        compadd $rows -M 'm:{[:lower:][:upper:]}={[:upper:][:lower:]}' -V raptchat -d shown -a values
    fi
}

if [[ $funcstack[1] == _raptchat ]]; then
    _raptchat "$@"
else
    compdef _raptchat raptchat
fi
"""

_FISH = r"""# Completes raptchat's words in fish; made by `raptchat completion fish`.
function __raptchat_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -l token (commandline -ct)
    set -l word (string replace -r '^[\'"]' '' -- $token)
    if test "$word" = "$token"
        set word (string unescape -- $token; or echo $token)
    end
    set -lx _RAPTCHAT_COMPLETE fish
    set -lx _RAPTCHAT_WORD "$word"
    set -l answer (command raptchat $words 2>/dev/null </dev/null)
    if test "$answer[1]" = files
        set -l flag (string match -r '^--[^=]*=' -- $token; or echo '')
        set -l typed (string replace -r '^--[^=]*=' '' -- $token)
        # As an argument of no command: quotes, escapes and ~ are understood, and nothing is run.
        printf '%s\n' $flag(complete -C "'' $typed")
    else
        set -e answer[1]
        printf '%s\n' $answer
    end
end

complete -c raptchat -f -k -a '(__raptchat_complete)'
"""

_POWERSHELL = r"""# Completes raptchat's words in PowerShell; made by `raptchat completion powershell`.
Register-ArgumentCompleter -Native -CommandName raptchat -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value }
            else { $_.Extent.Text }
        })
    $program = Get-Command raptchat -CommandType Application -ErrorAction Ignore | Select-Object -First 1
    if (-not $program) { return }
    try {
        $Env:_RAPTCHAT_COMPLETE = 'powershell'
        $Env:_RAPTCHAT_WORD = $wordToComplete.TrimStart("'", '"')
        $answer = @(& $program @words 2>$null)
    } finally {
        Remove-Item Env:_RAPTCHAT_COMPLETE, Env:_RAPTCHAT_WORD -ErrorAction Ignore
    }
    if ($answer[0] -eq 'files') { return }
    $answer | Select-Object -Skip 1 | ForEach-Object {
        $value, $about = $_ -split "`t", 2
        $text = $value
        if ($value -notmatch '^[\w./:~+=-]+$') { $text = "'" + $value.Replace("'", "''") + "'" }
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new($text, $value, 'ParameterValue', $about)
    }
}
"""

SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH, Shell.POWERSHELL: _POWERSHELL}
