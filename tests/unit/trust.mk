# tokens, delegations, manifests, receipts
UNIT_TESTS += tests/unit/lib/test-admission
tests_unit_lib_test_admission_SOURCES = tests/unit/lib/test-admission.c
tests_unit_lib_test_admission_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_admission_CFLAGS = $(UNIT_CFLAGS)
tests_unit_lib_test_admission_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS)
UNIT_TESTS += tests/unit/lib/test-canonical
tests_unit_lib_test_canonical_SOURCES = tests/unit/lib/test-canonical.c
tests_unit_lib_test_canonical_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_canonical_CFLAGS = $(UNIT_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_lib_test_canonical_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS) $(OPENSSL_LIBS)
UNIT_TESTS += tests/unit/lib/test-token
tests_unit_lib_test_token_SOURCES = tests/unit/lib/test-token.c
tests_unit_lib_test_token_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_token_CFLAGS = $(UNIT_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_lib_test_token_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS) $(OPENSSL_LIBS)
UNIT_TESTS += tests/unit/lib/test-operator
tests_unit_lib_test_operator_SOURCES = tests/unit/lib/test-operator.c
tests_unit_lib_test_operator_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_operator_CFLAGS = $(UNIT_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_lib_test_operator_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS) $(OPENSSL_LIBS)
UNIT_TESTS += tests/unit/lib/test-manifest
tests_unit_lib_test_manifest_SOURCES = tests/unit/lib/test-manifest.c
tests_unit_lib_test_manifest_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_manifest_CFLAGS = $(UNIT_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_lib_test_manifest_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS) $(OPENSSL_LIBS)
UNIT_TESTS += tests/unit/lib/test-receipt
tests_unit_lib_test_receipt_SOURCES = tests/unit/lib/test-receipt.c
tests_unit_lib_test_receipt_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_lib_test_receipt_CFLAGS = $(UNIT_CFLAGS) $(OPENSSL_CFLAGS)
tests_unit_lib_test_receipt_LDADD = tests/unit/libvectors.la $(UNIT_LIB_LIBS) $(OPENSSL_LIBS)
UNIT_TESTS += tests/unit/daemon/task/test-principal
tests_unit_daemon_task_test_principal_SOURCES = tests/unit/daemon/task/test-principal.c
tests_unit_daemon_task_test_principal_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_task_test_principal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_task_test_principal_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-key
tests_unit_daemon_directory_test_key_SOURCES = tests/unit/daemon/directory/test-key.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_key_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_key_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_key_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-vouch
tests_unit_daemon_directory_test_vouch_SOURCES = tests/unit/daemon/directory/test-vouch.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_vouch_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_vouch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_vouch_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-award
tests_unit_daemon_directory_test_award_SOURCES = tests/unit/daemon/directory/test-award.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_award_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_award_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_award_LDADD = $(UNIT_DAEMON_LIBS)
UNIT_TESTS += tests/unit/daemon/directory/test-credits
tests_unit_daemon_directory_test_credits_SOURCES = tests/unit/daemon/directory/test-credits.c \
	tests/unit/daemon/directory/world.c tests/unit/daemon/directory/world.h \
	tests/unit/driven_timers.c tests/unit/driven_timers.h
tests_unit_daemon_directory_test_credits_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_daemon_directory_test_credits_CFLAGS = $(UNIT_CFLAGS)
tests_unit_daemon_directory_test_credits_LDADD = $(UNIT_DAEMON_LIBS)
