# the operator's tunnel, and the one that a helper program makes; what a managed machine may open
daemon_libiicpd_la_SOURCES += daemon/tunnel/words.h daemon/tunnel/words.c daemon/tunnel/pace.h daemon/tunnel/pace.c \
	daemon/tunnel/child.h daemon/tunnel/child.c daemon/tunnel/tunnel.h daemon/tunnel/tunnel.c \
	daemon/managed.h daemon/managed.c
