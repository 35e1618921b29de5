/* A wall clock that jumps by up to a week either way, for `LD_PRELOAD`. The monotonic clock is left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static unsigned seed;
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (failed == 0 && clock == CLOCK_REALTIME) {
        if (seed == 0) {
            const char *given = getenv("CLOCK_SEED");
            seed = given ? (unsigned)atoi(given) : 1;
        }
        now->tv_sec += (long)(rand_r(&seed) % (14 * 86400)) - 7 * 86400;
    }
    return (int)failed;
}
