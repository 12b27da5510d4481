# scanner, identifiers, envelope, refusals, intents, policy
lib_libiicp_all_la_SOURCES +=
