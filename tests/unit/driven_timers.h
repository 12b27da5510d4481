/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DRIVEN_TIMERS_H
#define TESTS_DRIVEN_TIMERS_H

/* The timers of daemon/loop.h on a clock that the test turns: link driven_timers.c, and none of them waits. */

#include <stdbool.h>
#include <stdint.h>

/* Nothing is armed; due times count from *now_ms, which must outlive the test. */
void driven_timers_begin(uint64_t *now_ms);
/* Sets *now_ms to the first due time up to end and fires that timer; false: there is none. */
bool driven_timers_fire(uint64_t end_ms);

#endif
