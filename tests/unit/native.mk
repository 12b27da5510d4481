# native frames: codec, fragments, CBOR, messages
UNIT_TESTS += tests/unit/lib/test-frame
tests_unit_lib_test_frame_SOURCES = tests/unit/lib/test-frame.c
tests_unit_lib_test_frame_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_frame_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_frame_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-fragment
tests_unit_lib_test_fragment_SOURCES = tests/unit/lib/test-fragment.c
tests_unit_lib_test_fragment_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_fragment_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_fragment_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-cbor
tests_unit_lib_test_cbor_SOURCES = tests/unit/lib/test-cbor.c
tests_unit_lib_test_cbor_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_cbor_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_cbor_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-cbor_msg
tests_unit_lib_test_cbor_msg_SOURCES = tests/unit/lib/test-cbor_msg.c
tests_unit_lib_test_cbor_msg_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_cbor_msg_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_cbor_msg_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-native
tests_unit_lib_test_native_SOURCES = tests/unit/lib/test-native.c
tests_unit_lib_test_native_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_native_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_native_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/daemon/test-native_link
tests_unit_daemon_test_native_link_SOURCES = tests/unit/daemon/test-native_link.c
tests_unit_daemon_test_native_link_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_test_native_link_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_test_native_link_LDADD = tests/unit/libvectors.la $(UNIT_DAEMON_LIBS)
