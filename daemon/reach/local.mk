# how this node can be reached: what the kernel knows
daemon_libiicpd_la_SOURCES += daemon/reach/facts.c daemon/reach/facts.h daemon/reach/watch.c
