daemon_libiicpd_la_SOURCES += \
	daemon/directory/batch.c \
	daemon/directory/batch.h \
	daemon/directory/batch_store.c \
	daemon/directory/batch_store.h \
	daemon/directory/body.c \
	daemon/directory/breaker.c \
	daemon/directory/client.c \
	daemon/directory/directory.c \
	daemon/directory/directory.h \
	daemon/directory/heartbeat.c \
	daemon/directory/internal.h \
	daemon/directory/ladder.c \
	daemon/directory/leave.c \
	daemon/directory/look.c \
	daemon/directory/look.h \
	daemon/directory/names.c \
	daemon/directory/own_entry.c \
	daemon/directory/own_entry.h \
	daemon/directory/recovery.c \
	daemon/directory/recovery.h \
	daemon/directory/recovery_table.c \
	daemon/directory/recovery_table.h \
	daemon/directory/refusal.c \
	daemon/directory/registration.c daemon/directory/reputation.c \
	daemon/directory/selfcheck.c \
	daemon/directory/silence.c \
	daemon/directory/status.c \
	daemon/directory/store.c
