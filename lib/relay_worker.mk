# choice of a relay
lib_libiicp_all_la_SOURCES += lib/elect.c
iicpinclude_HEADERS += lib/iicp/elect.h
