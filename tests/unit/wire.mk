# loader of vectors, for the programs of every area: put tests/unit/libvectors.la first in _LDADD
if HAVE_CMOCKA
check_LTLIBRARIES += tests/unit/libvectors.la
endif
tests_unit_libvectors_la_SOURCES = tests/unit/vectors.c tests/unit/vectors.h
tests_unit_libvectors_la_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_libvectors_la_CFLAGS = $(UNIT_CFLAGS)

UNIT_TESTS += tests/unit/lib/test-urn tests/unit/lib/test-json
tests_unit_lib_test_urn_SOURCES = tests/unit/lib/test-urn.c
tests_unit_lib_test_urn_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_urn_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_urn_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

tests_unit_lib_test_json_SOURCES = tests/unit/lib/test-json.c
tests_unit_lib_test_json_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_json_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_json_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
