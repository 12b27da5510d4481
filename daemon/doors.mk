daemon_libiicpd_la_SOURCES +=
