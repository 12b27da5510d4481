# clock, loop, log, configuration, node
daemon_libiicpd_la_SOURCES += daemon/clock.c daemon/log.c daemon/log_text.c daemon/loop.c
