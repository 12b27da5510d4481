# scanner, identifiers, envelope, refusals, intents, policy
lib_libiicp_all_la_SOURCES += lib/buf.c lib/codec.c lib/envelope.c lib/intents.c lib/json.c lib/lifecycle.c \
	lib/json-internal.h lib/json-value.c lib/payload.c lib/policy.c lib/refusal.c lib/trace.c lib/urn.c lib/uuid.c
