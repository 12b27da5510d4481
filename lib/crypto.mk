# cryptography, endpoints, directory texts
lib_libiicp_all_la_SOURCES += \
	lib/cx-internal.h \
	lib/cx.c \
	lib/cx_consumer.c \
	lib/cx_event.c \
	lib/cx_provider.c \
	lib/directory.c \
	lib/directory_error.c \
	lib/address.c \
	lib/directory_read.c \
	lib/endpoint.c \
	lib/hmac.c \
	lib/redirect.c \
	lib/selftest.c
