# daemon/iicpctl
