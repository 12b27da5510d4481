# relay operator: sessions, calls, the native accept port
daemon_libiicpd_la_SOURCES += daemon/relay/sessions.h
daemon_libiicpd_la_SOURCES += daemon/relay/poll_body.h daemon/relay/poll_body.c
