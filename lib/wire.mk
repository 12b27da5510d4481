# scanner, identifiers, envelope, refusals, intents, policy
lib_libiicp_all_la_SOURCES += lib/buf.c lib/codec.c lib/envelope.c lib/intents.c lib/json.c lib/lifecycle.c \
	lib/json-internal.h lib/json-value.c lib/payload.c lib/payload-internal.h lib/payload_schema.c lib/payload_audio.c lib/payload_limits.c \
	lib/cip.c lib/gossip.c lib/extended.c lib/extended_result.c lib/policy.c lib/refusal.c lib/trace.c lib/urn.c lib/uuid.c
