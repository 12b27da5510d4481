daemon_libiicpd_la_SOURCES += \
	daemon/task/task.h daemon/task/lifecycle.h daemon/task/corridor.h daemon/task/corridor.c daemon/task/task.c \
	daemon/task/admit.c daemon/task/auth.c daemon/task/queue.c daemon/task/execute.c \
	daemon/task/answer.c daemon/task/result.h daemon/task/result.c daemon/task/seen.h daemon/task/seen.c \
	daemon/task/rate.h daemon/task/rate.c
