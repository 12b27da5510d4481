# checks and reports of the operator's day
daemon_iicpctl_iicpctl_SOURCES += daemon/iicpctl/doctor.h daemon/iicpctl/doctor.c daemon/iicpctl/doctor_files.c \
	daemon/iicpctl/doctor_node.c daemon/iicpctl/bugreport.c daemon/iicpctl/pseudonym.h daemon/iicpctl/pseudonym.c
