UNIT_TESTS +=
# one block a program:
#   UNIT_TESTS += tests/unit/lib/test-urn
#   tests_unit_lib_test_urn_SOURCES = tests/unit/lib/test-urn.c
#   tests_unit_lib_test_urn_CPPFLAGS = $(UNIT_CPPFLAGS)
#   tests_unit_lib_test_urn_CFLAGS = $(UNIT_CFLAGS)
#   tests_unit_lib_test_urn_LDADD = $(UNIT_LIB_LIBS)
