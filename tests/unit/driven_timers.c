/* SPDX-License-Identifier: Apache-2.0 */
#include "driven_timers.h"

#include "loop.h"
#include "util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct timer *armed[2048];
static uint64_t due[ARRAY_SIZE(armed)];
static uint64_t *now;

void driven_timers_begin(uint64_t *now_ms) {
        memset(armed, 0, sizeof armed);
        now = now_ms;
}

static size_t slot_of(const struct timer *t) {
        size_t i = 0;

        while (i < ARRAY_SIZE(armed) && armed[i] != t)
                i++;
        return i;
}

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg) {
        (void) l;
        *t = (struct timer){.fn = fn, .arg = arg, .made = true};
}

void timer_set_ms(struct timer *t, uint64_t delay_ms) {
        size_t i = slot_of(t);

        if (i == ARRAY_SIZE(armed))
                i = slot_of(NULL);
        assert_true(i < ARRAY_SIZE(armed));
        armed[i] = t;
        due[i] = *now + delay_ms;
}

void timer_clear(struct timer *t) {
        size_t i = slot_of(t);

        if (i < ARRAY_SIZE(armed))
                armed[i] = NULL;
}

bool timer_armed(const struct timer *t) {
        return slot_of(t) < ARRAY_SIZE(armed);
}

bool driven_timers_fire(uint64_t end_ms) {
        size_t first = ARRAY_SIZE(armed);
        struct timer *t;

        for (size_t i = 0; i < ARRAY_SIZE(armed); i++)
                if (armed[i] && due[i] <= end_ms && (first == ARRAY_SIZE(armed) || due[i] < due[first]))
                        first = i;
        if (first == ARRAY_SIZE(armed))
                return false;
        t = TAKE_PTR(armed[first]);
        *now = MAX(*now, due[first]);
        t->fn(t->arg);
        return true;
}
