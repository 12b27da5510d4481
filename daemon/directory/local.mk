daemon_libiicpd_la_SOURCES += daemon/directory/directory.h
