# SPDX-License-Identifier: Apache-2.0
# The words come from the table of commands in the program itself.
complete -c iicpctl -f -a '(iicpctl complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
