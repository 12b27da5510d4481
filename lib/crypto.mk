# cryptography, endpoints, directory texts
lib_libiicp_all_la_SOURCES +=
