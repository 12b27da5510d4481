daemon_libiicpd_la_SOURCES += daemon/fetch.c daemon/fetch_curl.c daemon/fetch_plain.c daemon/fetch_reader.c
