daemon_libiicpd_la_SOURCES += \
	daemon/control/control.h daemon/control/control.c daemon/control/internal.h daemon/control/membership.c daemon/control/routes.c daemon/control/log_level.c daemon/control/status.c \
	daemon/mhd_loop.h daemon/mhd_loop.c daemon/notify.c daemon/health.c
