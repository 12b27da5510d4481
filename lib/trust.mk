# tokens, delegations, manifests, receipts
iicpinclude_HEADERS += \
	lib/iicp/admission.h lib/iicp/bind_ticket.h lib/iicp/canonical.h lib/iicp/manifest.h lib/iicp/operator.h lib/iicp/receipt.h lib/iicp/sign.h \
	lib/iicp/time.h lib/iicp/token.h
lib_libiicp_all_la_SOURCES += \
	lib/admission.c lib/bind_ticket.c lib/canonical.c lib/delegation.c lib/manifest.c lib/manifest_lint.c lib/operator.c lib/operator_seal.c \
	lib/receipt.c lib/sign.c lib/time.c lib/token.c
