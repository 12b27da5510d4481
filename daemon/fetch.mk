daemon_libiicpd_la_SOURCES += daemon/fetch.c
