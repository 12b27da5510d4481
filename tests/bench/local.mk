# The bench: a stub backend and a load generator; tests/bench/run starts them beside nginx and iicpd.
BENCH_PROGRAMS = tests/bench/stub tests/bench/load
EXTRA_PROGRAMS += $(BENCH_PROGRAMS)
tests_bench_stub_SOURCES = tests/bench/stub.c
tests_bench_stub_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_CFLAGS = $(AM_CFLAGS) -O2
EXTRA_DIST += tests/bench/run
CLEANFILES += $(BENCH_PROGRAMS)

bench-programs: $(BENCH_PROGRAMS)
