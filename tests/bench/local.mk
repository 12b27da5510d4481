# The bench: a stub backend and a load generator; tests/bench/run starts them beside nginx and iicpd.
EXTRA_PROGRAMS += tests/bench/stub tests/bench/load tests/bench/streams
tests_bench_stub_SOURCES = tests/bench/stub.c
tests_bench_stub_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_streams_SOURCES = tests/bench/streams.c
tests_bench_streams_CFLAGS = $(AM_CFLAGS) -O2
EXTRA_DIST += tests/bench/run
CLEANFILES += tests/bench/stub tests/bench/load tests/bench/streams

bench-programs: tests/bench/stub tests/bench/load tests/bench/streams
