# gossip with other nodes
daemon_libiicpd_la_SOURCES += daemon/mesh/peers.h daemon/mesh/peers.c daemon/mesh/mesh.h daemon/mesh/internal.h \
	daemon/mesh/mesh.c daemon/mesh/send.c daemon/mesh/senders.c daemon/mesh/receive.c daemon/mesh/store.c \
	daemon/directory/mesh.c
