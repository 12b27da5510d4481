# gossip with other nodes
UNIT_TESTS += tests/unit/daemon/mesh/test-peers
tests_unit_daemon_mesh_test_peers_SOURCES = tests/unit/daemon/mesh/test-peers.c
tests_unit_daemon_mesh_test_peers_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_mesh_test_peers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_mesh_test_peers_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/mesh/test-mesh
tests_unit_daemon_mesh_test_mesh_SOURCES = tests/unit/daemon/mesh/test-mesh.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_mesh_test_mesh_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_mesh_test_mesh_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_mesh_test_mesh_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/lib/test-gossip
tests_unit_lib_test_gossip_SOURCES = tests/unit/lib/test-gossip.c
tests_unit_lib_test_gossip_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_gossip_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_gossip_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
# tunnels, and the managed profile
UNIT_TESTS += tests/unit/daemon/tunnel/test-words tests/unit/daemon/tunnel/test-tunnel
tests_unit_daemon_tunnel_test_words_SOURCES = tests/unit/daemon/tunnel/test-words.c
tests_unit_daemon_tunnel_test_words_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_tunnel_test_words_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_tunnel_test_words_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS) -lm
tests_unit_daemon_tunnel_test_tunnel_SOURCES = tests/unit/daemon/tunnel/test-tunnel.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_tunnel_test_tunnel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_tunnel_test_tunnel_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_tunnel_test_tunnel_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
