# Fuzz targets. With --enable-fuzzing (clang): `make fuzzers`, run by .ci/run from the corpus in the
# tree. Otherwise each target is a test that replays its corpus.
FUZZERS = tests/fuzz/fuzz-json tests/fuzz/fuzz-envelope tests/fuzz/fuzz-urn tests/fuzz/fuzz-cx \
	tests/fuzz/fuzz-directory tests/fuzz/fuzz-config tests/fuzz/fuzz-head tests/fuzz/fuzz-consumer \
	tests/fuzz/fuzz-answer tests/fuzz/fuzz-frame tests/fuzz/fuzz-cbor tests/fuzz/fuzz-trust \
	tests/fuzz/fuzz-stream tests/fuzz/fuzz-payload tests/fuzz/fuzz-view tests/fuzz/fuzz-gateway tests/fuzz/fuzz-poll tests/fuzz/fuzz-gossip tests/fuzz/fuzz-relay

FUZZ_LIB = lib/libiicp-all.la $(JSON_LIBS)
FUZZ_DAEMON = daemon/libiicpd.la $(JSON_LIBS)
FUZZ_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/fuzz
FUZZ_CFLAGS = $(daemon_libiicpd_la_CFLAGS)
if FUZZING
FUZZ_MAIN =
FUZZ_LINKER = $(AM_LDFLAGS) -fsanitize=fuzzer
else
FUZZ_MAIN = tests/fuzz/replay.c
FUZZ_LINKER = $(AM_LDFLAGS)
check_PROGRAMS += $(FUZZERS)
TESTS += $(FUZZERS)
endif

tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz-json.c tests/fuzz/fuzz.h $(FUZZ_MAIN)
tests_fuzz_fuzz_json_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_json_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_json_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_json_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_envelope_SOURCES = tests/fuzz/fuzz-envelope.c $(FUZZ_MAIN)
tests_fuzz_fuzz_envelope_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_envelope_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_envelope_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_envelope_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_trust_SOURCES = tests/fuzz/fuzz-trust.c $(FUZZ_MAIN)
tests_fuzz_fuzz_trust_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_trust_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_trust_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_trust_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_payload_SOURCES = tests/fuzz/fuzz-payload.c $(FUZZ_MAIN)
tests_fuzz_fuzz_payload_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_payload_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_payload_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_payload_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_urn_SOURCES = tests/fuzz/fuzz-urn.c $(FUZZ_MAIN)
tests_fuzz_fuzz_urn_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_urn_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_urn_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_urn_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_cx_SOURCES = tests/fuzz/fuzz-cx.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cx_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_cx_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_cx_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_cx_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_directory_SOURCES = tests/fuzz/fuzz-directory.c $(FUZZ_MAIN)
tests_fuzz_fuzz_directory_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_directory_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_directory_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_directory_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_gateway_SOURCES = tests/fuzz/fuzz-gateway.c $(FUZZ_MAIN)
tests_fuzz_fuzz_gateway_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_gateway_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_gateway_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_gateway_LDADD = $(FUZZ_DAEMON)

tests_fuzz_fuzz_consumer_SOURCES = tests/fuzz/fuzz-consumer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_consumer_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_consumer_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_consumer_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_consumer_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz-config.c $(FUZZ_MAIN)
tests_fuzz_fuzz_config_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_config_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_config_LDADD = $(FUZZ_DAEMON)

tests_fuzz_fuzz_head_SOURCES = tests/fuzz/fuzz-head.c $(FUZZ_MAIN)
tests_fuzz_fuzz_head_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_head_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_head_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_head_LDADD = $(FUZZ_DAEMON)

tests_fuzz_fuzz_answer_SOURCES = tests/fuzz/fuzz-answer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_answer_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_answer_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_answer_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_answer_LDADD = $(FUZZ_DAEMON)

tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz-frame.c $(FUZZ_MAIN)
tests_fuzz_fuzz_frame_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_frame_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_frame_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_cbor_SOURCES = tests/fuzz/fuzz-cbor.c $(FUZZ_MAIN)
tests_fuzz_fuzz_cbor_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_cbor_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_cbor_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_cbor_LDADD = $(FUZZ_LIB)
tests_fuzz_fuzz_stream_SOURCES = tests/fuzz/fuzz-stream.c $(FUZZ_MAIN)
tests_fuzz_fuzz_stream_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_stream_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_stream_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_stream_LDADD = $(FUZZ_DAEMON)

tests_fuzz_fuzz_poll_SOURCES = tests/fuzz/fuzz-poll.c $(FUZZ_MAIN)
tests_fuzz_fuzz_poll_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_poll_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_poll_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_poll_LDADD = $(FUZZ_DAEMON)

tests_fuzz_fuzz_relay_SOURCES = tests/fuzz/fuzz-relay.c $(FUZZ_MAIN)
tests_fuzz_fuzz_relay_CPPFLAGS = $(FUZZ_CPPFLAGS) -I$(top_srcdir)/daemon
tests_fuzz_fuzz_relay_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_relay_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_relay_LDADD = $(FUZZ_DAEMON)

EXTRA_PROGRAMS += $(FUZZERS)
tests_fuzz_fuzz_view_SOURCES = tests/fuzz/fuzz-view.c $(FUZZ_MAIN)
tests_fuzz_fuzz_view_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_view_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_view_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_view_LDADD = $(FUZZ_LIB)

tests_fuzz_fuzz_gossip_SOURCES = tests/fuzz/fuzz-gossip.c $(FUZZ_MAIN)
tests_fuzz_fuzz_gossip_CPPFLAGS = $(FUZZ_CPPFLAGS)
tests_fuzz_fuzz_gossip_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_gossip_LDFLAGS = $(FUZZ_LINKER)
tests_fuzz_fuzz_gossip_LDADD = $(FUZZ_LIB)

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/replay.c

fuzzers: $(FUZZERS)
print-fuzzers:
	@echo $(FUZZERS)
