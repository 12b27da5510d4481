# who asks, and what vouches for whom
daemon_libiicpd_la_SOURCES += daemon/task/principal.h
