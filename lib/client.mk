# consumer pipeline
lib_libiicp_all_la_SOURCES +=
