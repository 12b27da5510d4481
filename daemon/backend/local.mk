daemon_libiicpd_la_SOURCES += daemon/backend/backend.h
