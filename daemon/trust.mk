# who asks, and what vouches for whom
daemon_libiicpd_la_SOURCES += \
	daemon/task/principal.h daemon/task/principal.c \
	daemon/directory/key.h daemon/directory/key.c \
	daemon/directory/vouch.h daemon/directory/vouch_internal.h daemon/directory/vouch.c \
	daemon/directory/vouch_job.c daemon/directory/vouch_manifest.c \
	daemon/directory/award.h daemon/directory/award_internal.h daemon/directory/award.c daemon/directory/award_store.c \
	daemon/directory/credits.h daemon/directory/credits.c daemon/control/account.c
