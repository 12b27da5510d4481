# what others may see of the node: snapshot, events, spans, ops listener
daemon_libiicpd_la_SOURCES += \
	daemon/observe/events.c daemon/observe/events.h daemon/observe/feed.c daemon/observe/feed.h daemon/observe/numbers.c daemon/observe/numbers.h daemon/observe/ops.c daemon/observe/ops.h \
	daemon/observe/pulse.c daemon/observe/pulse.h daemon/observe/tally.c daemon/observe/tally.h daemon/observe/snapshot.c daemon/observe/snapshot.h daemon/observe/spans.c daemon/observe/spans.h
