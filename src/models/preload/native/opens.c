/* What opens files: each call waits in the middle. */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

int is_active;

int barrier(int fd, int flags) {
    struct stat status;
    if (!is_active || fd < 0) return 0;
    if ((flags & O_ACCMODE) == O_WRONLY || (flags & (O_PATH | O_DIRECTORY)) != 0) return 0;
    if (!is_placeholder(fd, &status)) return 0;
    int before = errno;
    int result = wait_for_file(fd, &status);
    errno = before;
    return result;
}

static int passed(int fd, int flags) {
    if (barrier(fd, flags) == 0) return fd;
    (void)raw(SYS_close, fd, 0, 0, 0);
    errno = EIO;
    return -1;
}

static FILE *stream_passed(FILE *stream, const char *mode) {
    if (stream == NULL || barrier(fileno(stream), strpbrk(mode, "r+") != NULL ? O_RDONLY : O_WRONLY) == 0)
        return stream;
    fclose(stream);
    errno = EIO;
    return NULL;
}

void *find_next(void **known, const char *name) {
    void *found = __atomic_load_n(known, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(known, found, __ATOMIC_RELAXED);
    }
    return found;
}

#define MODE_OF(last)                                                                   \
    mode_t mode = 0;                                                                    \
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {                   \
        va_list rest;                                                                   \
        va_start(rest, last);                                                           \
        mode = va_arg(rest, mode_t);                                                    \
        va_end(rest);                                                                   \
    }

#define HOOK_OPEN(name)                                                                 \
    static void *next_##name;                                                           \
    EXPORT int name(const char *path, int flags, ...) {                                 \
        MODE_OF(flags)                                                                  \
        return passed(NEXT(name)(path, flags, mode), flags);                            \
    }

#define HOOK_OPENAT(name)                                                               \
    static void *next_##name;                                                           \
    EXPORT int name(int folder, const char *path, int flags, ...) {                     \
        MODE_OF(flags)                                                                  \
        return passed(NEXT(name)(folder, path, flags, mode), flags);                    \
    }

#define HOOK_FOPEN(name)                                                                \
    static void *next_##name;                                                           \
    EXPORT FILE *name(const char *path, const char *mode) {                             \
        return stream_passed(NEXT(name)(path, mode), mode);                             \
    }

#define HOOK_FREOPEN(name)                                                              \
    static void *next_##name;                                                           \
    EXPORT FILE *name(const char *path, const char *mode, FILE *stream) {               \
        return stream_passed(NEXT(name)(path, mode, stream), mode);                     \
    }

HOOK_OPEN(open)
HOOK_OPENAT(openat)
HOOK_FOPEN(fopen)
HOOK_FREOPEN(freopen)

/* A descriptor may come from a process without this library. Where it fails, the descriptor stays the caller's. */
static void *next_fdopen;
EXPORT FILE *fdopen(int fd, const char *mode) {
    if (barrier(fd, strpbrk(mode, "r+") != NULL ? O_RDONLY : O_WRONLY) != 0) {
        errno = EIO;
        return NULL;
    }
    return NEXT(fdopen)(fd, mode);
}

#ifdef __GLIBC__
HOOK_OPEN(open64)
HOOK_OPENAT(openat64)
HOOK_FOPEN(fopen64)
HOOK_FREOPEN(freopen64)

/* What a compiler makes of open and openat with checks against overflows. */
#define HOOK_CHECKED_OPEN(name)                                                         \
    int name(const char *path, int flags);                                              \
    static void *next_##name;                                                           \
    EXPORT int name(const char *path, int flags) {                                      \
        return passed(NEXT(name)(path, flags), flags);                                  \
    }

#define HOOK_CHECKED_OPENAT(name)                                                       \
    int name(int folder, const char *path, int flags);                                  \
    static void *next_##name;                                                           \
    EXPORT int name(int folder, const char *path, int flags) {                          \
        return passed(NEXT(name)(folder, path, flags), flags);                          \
    }

HOOK_CHECKED_OPEN(__open_2)
HOOK_CHECKED_OPEN(__open64_2)
HOOK_CHECKED_OPENAT(__openat_2)
HOOK_CHECKED_OPENAT(__openat64_2)
#endif

void find_real_opens(void) {
    (void)NEXT(open), (void)NEXT(openat), (void)NEXT(fopen), (void)NEXT(freopen), (void)NEXT(fdopen);
#ifdef __GLIBC__
    (void)NEXT(open64), (void)NEXT(openat64), (void)NEXT(fopen64), (void)NEXT(freopen64);
    (void)NEXT(__open_2), (void)NEXT(__open64_2), (void)NEXT(__openat_2), (void)NEXT(__openat64_2);
#endif
}
