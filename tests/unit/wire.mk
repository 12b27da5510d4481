# loader of vectors, for the programs of every area: put tests/unit/libvectors.la first in _LDADD
if HAVE_CMOCKA
check_LTLIBRARIES += tests/unit/libvectors.la
endif
tests_unit_libvectors_la_SOURCES = tests/unit/vectors.c tests/unit/vectors.h
tests_unit_libvectors_la_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_libvectors_la_CFLAGS = $(UNIT_CFLAGS)

# payload: lib/intents.c and lib/payload.c
UNIT_TESTS += tests/unit/lib/test-urn
tests_unit_lib_test_urn_SOURCES = tests/unit/lib/test-urn.c
tests_unit_lib_test_urn_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_urn_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_urn_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-json
tests_unit_lib_test_json_SOURCES = tests/unit/lib/test-json.c
tests_unit_lib_test_json_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_json_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_json_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-buf
tests_unit_lib_test_buf_SOURCES = tests/unit/lib/test-buf.c
tests_unit_lib_test_buf_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_buf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_buf_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-codec
tests_unit_lib_test_codec_SOURCES = tests/unit/lib/test-codec.c
tests_unit_lib_test_codec_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_codec_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_codec_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-uuid
tests_unit_lib_test_uuid_SOURCES = tests/unit/lib/test-uuid.c
tests_unit_lib_test_uuid_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_uuid_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_uuid_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-trace
tests_unit_lib_test_trace_SOURCES = tests/unit/lib/test-trace.c
tests_unit_lib_test_trace_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_trace_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_trace_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-refusal
tests_unit_lib_test_refusal_SOURCES = tests/unit/lib/test-refusal.c
tests_unit_lib_test_refusal_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_refusal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_refusal_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-policy
tests_unit_lib_test_policy_SOURCES = tests/unit/lib/test-policy.c
tests_unit_lib_test_policy_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_policy_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-envelope
tests_unit_lib_test_envelope_SOURCES = tests/unit/lib/test-envelope.c
tests_unit_lib_test_envelope_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_envelope_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_envelope_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)

UNIT_TESTS += tests/unit/lib/test-payload
tests_unit_lib_test_payload_SOURCES = tests/unit/lib/test-payload.c
tests_unit_lib_test_payload_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_payload_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_payload_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/lib/test-payload_audio
tests_unit_lib_test_payload_audio_SOURCES = tests/unit/lib/test-payload_audio.c
tests_unit_lib_test_payload_audio_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_payload_audio_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_payload_audio_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/lib/test-extended
tests_unit_lib_test_extended_SOURCES = tests/unit/lib/test-extended.c
tests_unit_lib_test_extended_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_extended_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_extended_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/lib/test-cip
tests_unit_lib_test_cip_SOURCES = tests/unit/lib/test-cip.c
tests_unit_lib_test_cip_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_cip_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_cip_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
