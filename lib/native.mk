# native frames: header, fragments, CBOR, messages
lib_libiicp_all_la_SOURCES += lib/cbor.c lib/cbor_json.c lib/cbor_msg-internal.h lib/cbor_msg.c lib/cbor_msg_relay.c lib/cbor_msg_task.c \
	lib/fragment.c lib/frame.c lib/gzip.c lib/native.c
lib_libiicp_all_la_LIBADD += $(CBOR_LIBS) $(ZLIB_LIBS)
iicpinclude_HEADERS += lib/iicp/cbor.h lib/iicp/cbor_msg.h lib/iicp/fragment.h lib/iicp/frame.h \
	lib/iicp/native.h lib/iicp/relay_msg.h
