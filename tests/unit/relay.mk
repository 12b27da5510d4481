# relay: messages, bind tickets, sessions
UNIT_TESTS += tests/unit/lib/test-relay_msg
tests_unit_lib_test_relay_msg_SOURCES = tests/unit/lib/test-relay_msg.c
tests_unit_lib_test_relay_msg_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_relay_msg_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_relay_msg_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-bind_ticket
tests_unit_lib_test_bind_ticket_SOURCES = tests/unit/lib/test-bind_ticket.c
tests_unit_lib_test_bind_ticket_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_bind_ticket_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_bind_ticket_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-merge
tests_unit_daemon_relay_test_merge_SOURCES = tests/unit/daemon/relay/test-merge.c
tests_unit_daemon_relay_test_merge_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_merge_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_merge_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-sessions
tests_unit_daemon_relay_test_sessions_SOURCES = tests/unit/daemon/relay/test-sessions.c \
	tests/unit/daemon/relay/stage.c tests/unit/daemon/relay/stage.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_relay_test_sessions_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_sessions_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_sessions_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-channel
tests_unit_daemon_relay_test_channel_SOURCES = tests/unit/daemon/relay/test-channel.c \
	tests/unit/daemon/relay/stage.c tests/unit/daemon/relay/stage.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_relay_test_channel_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_channel_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_channel_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-calls
tests_unit_daemon_relay_test_calls_SOURCES = tests/unit/daemon/relay/test-calls.c \
	tests/unit/daemon/relay/stage.c tests/unit/daemon/relay/stage.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_relay_test_calls_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_calls_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_calls_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-tickets
tests_unit_daemon_relay_test_tickets_SOURCES = tests/unit/daemon/relay/test-tickets.c \
	tests/unit/daemon/relay/stage.c tests/unit/daemon/relay/stage.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_relay_test_tickets_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_tickets_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_tickets_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)

UNIT_TESTS += tests/unit/daemon/relay/test-poll
tests_unit_daemon_relay_test_poll_SOURCES = tests/unit/daemon/relay/test-poll.c \
	tests/unit/daemon/relay/stage.c tests/unit/daemon/relay/stage.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_relay_test_poll_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_relay_test_poll_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_relay_test_poll_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
