# listener, HTTP door, health, metrics
daemon_libiicpd_la_SOURCES += \
	daemon/listener.c daemon/listener_bind.c daemon/peek.h daemon/peer.h daemon/peer.c \
	daemon/door_http.c daemon/door_http_answer.c daemon/door_http_headers.c daemon/door_http_headers.h \
	daemon/door_http_internal.h daemon/door_http_linger.c daemon/door_http_request.c \
	daemon/door_http_lifecycle.c daemon/door_http_peers.c daemon/door_http_relay.c daemon/door_http_relay.h \
	daemon/door_http_relay_peer.c daemon/door_http_stream.c daemon/door_http_target.c \
	daemon/health_body.c daemon/metrics.c
