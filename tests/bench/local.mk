# The bench: a stub backend and a load generator; tests/bench/run starts them beside nginx and iicpd.
EXTRA_PROGRAMS += tests/bench/stub tests/bench/load tests/bench/streams tests/bench/relay_workers
tests_bench_stub_SOURCES = tests/bench/stub.c
tests_bench_stub_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_streams_SOURCES = tests/bench/streams.c
tests_bench_streams_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_relay_workers_SOURCES = tests/bench/relay_workers.c
tests_bench_relay_workers_CFLAGS = $(AM_CFLAGS) -O2
EXTRA_DIST += tests/bench/run tests/bench/relay
CLEANFILES += tests/bench/stub tests/bench/load tests/bench/streams tests/bench/relay_workers

bench-programs: tests/bench/stub tests/bench/load tests/bench/streams tests/bench/relay_workers
