# relay worker: choosing a relay, binding to it, working through it
daemon_libiicpd_la_SOURCES += daemon/relay/worker.h daemon/relay/worker_internal.h daemon/relay/worker.c \
	daemon/relay/worker_core.h daemon/relay/worker_core.c daemon/relay/worker_choose.c daemon/relay/worker_call.c \
	daemon/relay/worker_native.c daemon/relay/worker_poll.c daemon/relay/worker_status.c daemon/relay/resolve.h \
	daemon/relay/resolve.c daemon/directory/relays.c
