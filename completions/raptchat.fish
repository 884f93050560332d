# Completes raptchat's words in fish; made by `raptchat completion fish`.
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
