# relay operator: sessions, calls, the native accept port; long-poll transport
daemon_libiicpd_la_SOURCES += \
	daemon/relay/bind.c \
	daemon/relay/calls.c \
	daemon/relay/channel.c \
	daemon/relay/internal.h \
	daemon/relay/merge.c \
	daemon/relay/merge.h \
	daemon/relay/port.c \
	daemon/relay/port.h \
	daemon/relay/port_internal.h \
	daemon/relay/sessions.c \
	daemon/relay/sessions.h \
	daemon/relay/stream.c \
	daemon/relay/tickets.c \
	daemon/relay/tickets.h
daemon_libiicpd_la_SOURCES += daemon/relay/metrics.h daemon/relay/metrics.c daemon/relay/poll.h daemon/relay/poll.c \
	daemon/relay/poll_body.h daemon/relay/poll_body.c \
	daemon/control/sessions.c
