# gossip with other nodes
daemon_libiicpd_la_SOURCES += daemon/mesh/peers.h daemon/mesh/peers.c
