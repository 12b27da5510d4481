# SPDX-License-Identifier: Apache-2.0
# The words come from the table of commands in the program itself.
_iicpctl() {
    local IFS=$'\n'
    COMPREPLY=($(iicpctl complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -F _iicpctl iicpctl
