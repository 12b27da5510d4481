daemon_libiicpd_la_SOURCES += daemon/fetch.c daemon/curl_library.c \
	daemon/fetch_curl.c daemon/fetch_plain.c daemon/fetch_reader.c
