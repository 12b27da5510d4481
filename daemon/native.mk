# native frames on the task port
daemon_libiicpd_la_SOURCES += daemon/door_native.h daemon/door_native_internal.h daemon/door_native.c \
	daemon/native_link.h daemon/native_link.c daemon/native_call.c daemon/native_request.c daemon/native_answer.c daemon/native_stream.c daemon/native_voice.h daemon/native_voice.c \
	daemon/tls.h daemon/tls.c daemon/tls_library.h daemon/tls_library.c daemon/tls_port.h daemon/tls_port.c
