daemon_libiicpd_la_SOURCES += daemon/task/task.h
