# state directory: lock, identity, keyring
daemon_libiicpd_la_SOURCES += \
	daemon/state.c daemon/state_file.h daemon/state_file.c daemon/state_point.c daemon/keyring.h daemon/keyring.c \
	daemon/state_seal.h daemon/state_seal.c daemon/rotation.h daemon/rotation.c
