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
