# what needs attention
daemon_libiicpd_la_SOURCES += daemon/findings/catalogue.c daemon/findings/catalogue.h daemon/findings/findings.c \
	daemon/findings/findings.h daemon/findings/gather.c daemon/daily.c daemon/daily.h
