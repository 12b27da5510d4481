# how this node can be reached: what the kernel knows, what routers give, what is proved
daemon_libiicpd_la_SOURCES += daemon/guidance.c daemon/guidance.h daemon/reach/announce.c daemon/reach/announce.h \
	daemon/reach/decide.c daemon/reach/decide.h daemon/reach/facts.c daemon/reach/facts.h \
	daemon/reach/gateway.c daemon/reach/gateway.h daemon/reach/igd.c daemon/reach/igd.h \
	daemon/reach/igd_find.c daemon/reach/igd_pinhole.c daemon/reach/ladder.c daemon/reach/ladder.h \
	daemon/reach/local.c daemon/reach/local.h daemon/reach/pcp.c daemon/reach/pcp.h \
	daemon/reach/pcp_client.c daemon/reach/ptr.c daemon/reach/ptr.h daemon/reach/routes.c \
	daemon/reach/routes.h daemon/reach/routes_internal.h daemon/reach/routes_hear.c \
	daemon/reach/routes_keep.c daemon/reach/routes_name.c daemon/reach/routes_relay.c \
	daemon/reach/routes_router.c daemon/reach/routes_run.c daemon/reach/routes_status.c \
	daemon/reach/routes_tunnel.c daemon/reach/routes_worker.c daemon/reach/verify.c daemon/reach/verify.h daemon/reach/watch.c \
	daemon/reach/witness.c daemon/reach/witness.h
