# relay worker: election, decisions, sessions
UNIT_TESTS += tests/unit/lib/test-elect
tests_unit_lib_test_elect_SOURCES = tests/unit/lib/test-elect.c
tests_unit_lib_test_elect_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_elect_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_elect_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
