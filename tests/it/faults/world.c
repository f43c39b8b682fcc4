/* Stands between the daemon and its system, so that a test can set the clock, break the disk, and silence names and
 * watches, for that one process. Preloaded; what is wrong at the moment stands in the file that LISTEND_TEST_WORLD names,
 * as eight-byte numbers in the order below. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct world {
    int64_t clock;   /* Seconds that the clock is ahead. */
    int64_t steady;  /* Seconds that have passed unseen on the steady clock, and on the other. */
    int64_t error;   /* What calls to the disk fail with; 0 for none. */
    int64_t every;   /* Of those calls, each so many-th fails; reading, too, where it is more than 1. */
    int64_t names;   /* 1: no name can be resolved. */
    int64_t watches; /* 1: watching directories is refused; 2: it is granted, and nothing is told. */
    int64_t calls;   /* Calls to the disk since it began to fail. */
    int64_t failed;  /* Those that failed. */
};

static volatile struct world *world;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("LISTEND_TEST_WORLD");
    int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC) : -1;
    void *found = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found == MAP_FAILED) abort();
    world = found;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && world) now->tv_sec += world->steady + (clock == CLOCK_REALTIME ? world->clock : 0);
    return result;
}

/* Whether this call to the disk is one that fails; errno says how. */
static int fails(const char *path, int reads) {
    int64_t every = world->every;
    if (!strstr(path, "/state/") || (reads && every < 2)) return 0;
    int64_t call = __atomic_add_fetch((int64_t *)&world->calls, 1, __ATOMIC_RELAXED);
    if (every > 1 && call % every) return 0;
    __atomic_add_fetch((int64_t *)&world->failed, 1, __ATOMIC_RELAXED);
    errno = (int)world->error;
    return 1;
}

static int fails_at(int fd, int reads) {
    if (!world || !world->error) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path, reads);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return fails_at(fd, 0) ? -1 : syscall(SYS_write, fd, bytes, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    return fails_at(fd, 0) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}
ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    return fails_at(fd, 1) ? -1 : syscall(SYS_pread64, fd, bytes, count, at);
}
int ftruncate64(int fd, off64_t length) { return fails_at(fd, 0) ? -1 : (int)syscall(SYS_ftruncate, fd, length); }
int fsync(int fd) { return fails_at(fd, 0) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails_at(fd, 0) ? -1 : (int)syscall(SYS_fdatasync, fd); }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (world && world->error == EROFS && writes && fails(path, 0)) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

/* n7.test is 127.0.9.7. */
int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    int (*ask)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    int number;
    char address[32];
    if (world->names) return EAI_AGAIN;
    if (!name || sscanf(name, "n%d.test", &number) != 1) return ask(name, port, hints, found);
    snprintf(address, sizeof address, "127.0.9.%d", number);
    return ask(address, port, hints, found);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask) {
    if (world->watches == 1) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_inotify_add_watch, fd, path, world->watches == 2 ? IN_DELETE_SELF : mask);
}
