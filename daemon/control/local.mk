daemon_libiicpd_la_SOURCES += daemon/control/control.h
