# consumer pipeline
lib_libiicp_all_la_SOURCES += \
	lib/client-internal.h lib/client-object.h lib/client-resolve.h lib/client-submit.h \
	lib/client.c lib/client_breaker.c lib/client_classify.c lib/client_directory.c \
	lib/client_error.c lib/client_http.c lib/client_identity.c lib/client_nodes.c \
	lib/client_policy.c lib/client_project.c lib/client_resolve.c lib/client_select.c \
	lib/client_stream.c lib/client_submit.c lib/client_walk.c lib/response.c
lib_libiicp_all_la_LIBADD += -lm
