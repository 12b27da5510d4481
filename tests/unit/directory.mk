UNIT_TESTS += tests/unit/daemon/directory/test-directory
tests_unit_daemon_directory_test_directory_SOURCES = tests/unit/daemon/directory/test-directory.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_directory_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_directory_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_directory_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-beat
tests_unit_daemon_directory_test_beat_SOURCES = tests/unit/daemon/directory/test-beat.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_beat_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_beat_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_beat_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-rekey
tests_unit_daemon_directory_test_rekey_SOURCES = tests/unit/daemon/directory/test-rekey.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_rekey_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_rekey_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_rekey_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-batch
tests_unit_daemon_directory_test_batch_SOURCES = tests/unit/daemon/directory/test-batch.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_batch_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_batch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_batch_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-recovery_table
tests_unit_daemon_directory_test_recovery_table_SOURCES = tests/unit/daemon/directory/test-recovery_table.c
tests_unit_daemon_directory_test_recovery_table_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_recovery_table_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_recovery_table_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-recovery
tests_unit_daemon_directory_test_recovery_SOURCES = tests/unit/daemon/directory/test-recovery.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_recovery_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_recovery_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_recovery_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-own_entry
tests_unit_daemon_directory_test_own_entry_SOURCES = tests/unit/daemon/directory/test-own_entry.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_own_entry_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_own_entry_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_own_entry_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-kill
tests_unit_daemon_directory_test_kill_SOURCES = tests/unit/daemon/directory/test-kill.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_kill_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_kill_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_kill_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-heartbeat
tests_unit_daemon_directory_test_heartbeat_SOURCES = tests/unit/daemon/directory/test-heartbeat.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_heartbeat_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_heartbeat_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_heartbeat_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/lib/test-redirect
tests_unit_lib_test_redirect_SOURCES = tests/unit/lib/test-redirect.c
tests_unit_lib_test_redirect_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_redirect_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_redirect_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/lib/test-directory_read
tests_unit_lib_test_directory_read_SOURCES = tests/unit/lib/test-directory_read.c
tests_unit_lib_test_directory_read_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_directory_read_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_directory_read_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-client
tests_unit_daemon_directory_test_client_SOURCES = tests/unit/daemon/directory/test-client.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_client_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_client_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_client_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-refusal
tests_unit_daemon_directory_test_refusal_SOURCES = tests/unit/daemon/directory/test-refusal.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_refusal_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_refusal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_refusal_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-ladder
tests_unit_daemon_directory_test_ladder_SOURCES = tests/unit/daemon/directory/test-ladder.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_ladder_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_ladder_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_ladder_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-look
tests_unit_daemon_directory_test_look_SOURCES = tests/unit/daemon/directory/test-look.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_look_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_look_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_look_LDADD = $(UNIT_DAEMON_LIBS)
