daemon_libiicpd_la_SOURCES += \
	daemon/task/task.h daemon/task/lifecycle.h daemon/task/lifecycle_internal.h \
	daemon/task/lifecycle.c daemon/task/lifecycle_account.h daemon/task/lifecycle_account.c \
	daemon/task/lifecycle_binding.c daemon/task/lifecycle_event.c daemon/task/lifecycle_observer.c \
	daemon/task/lifecycle_run.c daemon/task/profile.c daemon/task/corridor.h daemon/task/corridor.c daemon/task/task.c \
	daemon/task/admit.c daemon/task/auth.c daemon/task/queue.c daemon/task/execute.c \
	daemon/task/answer.c daemon/task/cip.c daemon/task/cip.h daemon/task/result.h daemon/task/result.c daemon/task/seen.h daemon/task/seen.c \
	daemon/task/rate.h daemon/task/rate.c daemon/task/recent.h daemon/task/recent.c
