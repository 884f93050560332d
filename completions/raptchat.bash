# Completes raptchat's words in bash; made by `raptchat completion bash`.
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
