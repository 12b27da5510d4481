# the server, its table of resources, what answers them
daemon_libiicpd_la_SOURCES += \
	daemon/control/control.h daemon/control/internal.h daemon/control/server.h daemon/control/control.c \
	daemon/control/call.c daemon/control/hide.c daemon/control/resources.c daemon/control/socket.c daemon/control/stream.c \
	daemon/control/page.h daemon/control/page.c daemon/control/page_tables.c daemon/control/page_assets.c daemon/control/schema.h daemon/control/schema.c daemon/control/schemas.c daemon/control/changes.c daemon/control/views.c daemon/control/membership.c daemon/control/routes.c \
	daemon/control/log_level.h daemon/control/log_level.c daemon/control/tasks.c daemon/control/backends.c daemon/control/settings.c daemon/control/status.c daemon/mhd_loop.h daemon/mhd_loop.c daemon/notify.c daemon/health.c
