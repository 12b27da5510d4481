# listener, HTTP door, metrics
UNIT_TESTS += tests/unit/daemon/test-metrics
tests_unit_daemon_test_metrics_SOURCES = tests/unit/daemon/test-metrics.c
tests_unit_daemon_test_metrics_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_test_metrics_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_test_metrics_LDADD = $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/test-peer
tests_unit_daemon_test_peer_SOURCES = tests/unit/daemon/test-peer.c
tests_unit_daemon_test_peer_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_test_peer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_test_peer_LDADD = $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/test-listener-bind
tests_unit_daemon_test_listener_bind_SOURCES = tests/unit/daemon/test-listener-bind.c
tests_unit_daemon_test_listener_bind_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_test_listener_bind_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_test_listener_bind_LDADD = $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/test-door-http-headers
tests_unit_daemon_test_door_http_headers_SOURCES = tests/unit/daemon/test-door-http-headers.c
tests_unit_daemon_test_door_http_headers_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_test_door_http_headers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_test_door_http_headers_LDADD = $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-poll_body
tests_unit_daemon_relay_test_poll_body_SOURCES = tests/unit/daemon/relay/test-poll_body.c
tests_unit_daemon_relay_test_poll_body_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_poll_body_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_poll_body_LDADD = $(UNIT_DAEMON_LIBS)
