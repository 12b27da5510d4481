daemon_libiicpd_la_SOURCES += daemon/backend/backend.h daemon/backend/internal.h \
	daemon/backend/anthropic.c daemon/backend/assemble.c daemon/backend/assemble.h \
	daemon/backend/assemble_messages.c daemon/backend/assemble_openai.c daemon/backend/backend.c \
	daemon/backend/demo.c daemon/backend/flow.c daemon/backend/join.c daemon/backend/judge.c \
	daemon/backend/messages.c daemon/backend/messages.h daemon/backend/models.c daemon/backend/openai.c daemon/backend/openai_media.c daemon/backend/openai_media.h \
	daemon/backend/probe.c daemon/backend/send.c daemon/backend/send.h daemon/backend/set.c \
	daemon/backend/sse.c daemon/backend/sse.h daemon/backend/stability.c
