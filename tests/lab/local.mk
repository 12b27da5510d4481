# drives the library's native client, for the integration tests
noinst_PROGRAMS += tests/lab/native-call
tests_lab_native_call_SOURCES = tests/lab/native_call.c
tests_lab_native_call_LDADD = lib/libiicp-all.la
