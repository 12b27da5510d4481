# programs of the NAT lab
check_PROGRAMS += tests/lab/nat/ask-gateway
tests_lab_nat_ask_gateway_SOURCES = tests/lab/nat/ask-gateway.c
tests_lab_nat_ask_gateway_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_lab_nat_ask_gateway_CFLAGS = $(UNIT_CFLAGS)
tests_lab_nat_ask_gateway_LDADD = $(UNIT_DAEMON_LIBS)
EXTRA_DIST += tests/lab/nat/echo.py tests/lab/nat/fake_gateway.py tests/lab/nat/home.sh tests/lab/nat/table.py tests/lab/nat/router.conf
