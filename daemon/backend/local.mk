daemon_libiicpd_la_SOURCES += daemon/backend/backend.h daemon/backend/internal.h \
	daemon/backend/assemble.c daemon/backend/backend.c daemon/backend/demo.c daemon/backend/flow.c \
	daemon/backend/join.c \
	daemon/backend/models.c daemon/backend/openai.c daemon/backend/probe.c daemon/backend/set.c \
	daemon/backend/stability.c
