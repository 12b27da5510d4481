# gossip with other nodes
UNIT_TESTS += tests/unit/daemon/mesh/test-peers
tests_unit_daemon_mesh_test_peers_SOURCES = tests/unit/daemon/mesh/test-peers.c
tests_unit_daemon_mesh_test_peers_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_mesh_test_peers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_mesh_test_peers_LDADD = $(UNIT_DAEMON_LIBS)
