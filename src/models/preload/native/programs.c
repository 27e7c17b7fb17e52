/*
 * What starts programs. One that would read files without waiting for them, because it does not load this library (it is
 * linked statically, or its environment does not name the library) or makes its own system calls (Go's), is started by the
 * guard (guard.c), which waits for it. Calls may come from a child of vfork: nothing is allocated, nothing is kept.
 */
#include "preload.h"

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARD_WORDS 5 /* guard, socket, folders, patience, file */

enum way { AS_IT_IS, UNDER_GUARD, NOT_AT_ALL };

static char guard[PATH_MAX];
static struct stat library;

static void *next_execve, *next_execvpe, *next_fexecve, *next_posix_spawn, *next_posix_spawnp;
static void *next_system, *next_popen;

/* The value of a variable of an environment, or NULL. */
static const char *value_in(char *const *environment, const char *name) {
    size_t length = strlen(name);
    for (; environment != NULL && *environment != NULL; environment += 1)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') return *environment + length + 1;
    return NULL;
}

/* Whether one of the libraries that LD_PRELOAD names is this one. */
static int names_library(const char *list) {
    char name[PATH_MAX];
    struct stat found;
    for (list += strspn(list, " :"); *list != '\0'; list += strspn(list, " :")) {
        size_t length = strcspn(list, " :");
        if (length < sizeof name) {
            memcpy(name, list, length);
            name[length] = '\0';
            if (strcmp(name, LIBRARY_NAME) == 0) return 1; /* found where the system has its libraries */
            if (fstatat(AT_FDCWD, name, &found, 0) == 0 && found.st_dev == library.st_dev && found.st_ino == library.st_ino)
                return 1;
        }
        list += length;
    }
    return 0;
}

/* Whether a program with this environment would wait for files as this one does. */
static int is_passed_on(char *const *environment) {
    const char *preloaded = value_in(environment, "LD_PRELOAD"), *socket = value_in(environment, SOCKET_VARIABLE);
    if (preloaded == NULL || !names_library(preloaded)) return 0;
    if (place.server.sun_path[0] != '\0' && (socket == NULL || strcmp(socket, place.server.sun_path) != 0)) return 0;
    return value_in(environment, DIRS_VARIABLE) != NULL || value_in(environment, "MODEL_DIR") != NULL;
}

/* Waits here for what cannot wait itself. */
static enum way when_all_are_there(void) {
    return wait_for_all() == 0 ? AS_IT_IS : NOT_AT_ALL;
}

static enum way judged(const char *path, char *const *environment) {
    if (raw(SYS_faccessat, AT_FDCWD, (long)path, X_OK, 0) != 0) return AS_IT_IS; /* it fails by itself */
    enum program_kind kind = kind_of_program(path);
    if ((kind == TAKES_LIBRARY || kind == NO_PROGRAM) && is_passed_on(environment)) return AS_IT_IS;
    if (are_all_there()) return AS_IT_IS;
    /* What is no program is run by a shell, if at all. */
    if (kind == OTHER_RIGHTS || kind == NO_PROGRAM || guard[0] == '\0') return when_all_are_there();
    return UNDER_GUARD;
}

static enum way way_of(const char *path, char *const *environment) {
    if (!is_active || path == NULL) return AS_IT_IS;
    int before = errno;
    enum way way = judged(path, environment);
    errno = way == NOT_AT_ALL ? EIO : before;
    return way;
}

/* Where a program is found that has no folder in its name; NULL where it is not. */
static const char *on_path(const char *file, char found[PATH_MAX]) {
    if (!is_active || file == NULL || strchr(file, '/') != NULL) return file;
    const char *path = getenv("PATH");
    for (const char *at = path == NULL ? "/bin:/usr/bin" : path;; at += 1) {
        size_t length = strcspn(at, ":");
        int written = snprintf(found, PATH_MAX, "%.*s/%s", length == 0 ? 1 : (int)length, length == 0 ? "." : at, file);
        if (written < PATH_MAX && raw(SYS_faccessat, AT_FDCWD, (long)found, X_OK, 0) == 0) return found;
        at += length;
        if (*at == '\0') return NULL;
    }
}

static size_t count_of(char *const *arguments) {
    size_t count = 0;
    while (arguments != NULL && arguments[count] != NULL) count += 1;
    return count;
}

/* The guard's arguments, in an array that has room for them. */
static char **guarded(char **words, const char *path, char *const *arguments) {
    char *const first[GUARD_WORDS] = {guard, place.server.sun_path, place.dirs, place.patience, (char *)path};
    size_t count = count_of(arguments);
    memcpy(words, first, sizeof first);
    if (count > 0) memcpy(words + GUARD_WORDS, arguments, count * sizeof *words);
    words[GUARD_WORDS + count] = NULL;
    return words;
}
#define GUARDED(path, arguments) \
    guarded(alloca((count_of(arguments) + GUARD_WORDS + 1) * sizeof(char *)), path, arguments)

EXPORT int execve(const char *path, char *const arguments[], char *const environment[]) {
    enum way way = way_of(path, environment);
    if (way == NOT_AT_ALL) return -1;
    if (way == UNDER_GUARD) return NEXT(execve)(guard, GUARDED(path, arguments), environment);
    return NEXT(execve)(path, arguments, environment);
}

EXPORT int execv(const char *path, char *const arguments[]) {
    return execve(path, arguments, environ);
}

EXPORT int execvpe(const char *file, char *const arguments[], char *const environment[]) {
    char found[PATH_MAX];
    const char *path = on_path(file, found);
    enum way way = way_of(path, environment);
    if (way == NOT_AT_ALL) return -1;
    if (way == UNDER_GUARD) return NEXT(execve)(guard, GUARDED(path, arguments), environment);
    return NEXT(execvpe)(file, arguments, environment);
}

EXPORT int execvp(const char *file, char *const arguments[]) {
    return execvpe(file, arguments, environ);
}

/* Arguments up to NULL as an array of this function's own. */
#define LISTED(arguments, first, rest)                                                  \
    size_t count = 1;                                                                   \
    va_list rest;                                                                       \
    va_start(rest, first);                                                              \
    for (const char *one = first; one != NULL; one = va_arg(rest, char *)) count += 1;  \
    va_end(rest);                                                                       \
    char **arguments = alloca(count * sizeof *arguments);                               \
    va_start(rest, first);                                                              \
    arguments[0] = (char *)first;                                                       \
    for (size_t at = 1; at < count; at += 1) arguments[at] = va_arg(rest, char *);

EXPORT int execl(const char *path, const char *first, ...) {
    LISTED(arguments, first, rest)
    va_end(rest);
    return execve(path, arguments, environ);
}

EXPORT int execlp(const char *file, const char *first, ...) {
    LISTED(arguments, first, rest)
    va_end(rest);
    return execvpe(file, arguments, environ);
}

EXPORT int execle(const char *path, const char *first, ...) {
    LISTED(arguments, first, rest)
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, arguments, environment);
}

/* Its file may be open in no process but this, so that the guard would not find it. */
EXPORT int fexecve(int fd, char *const arguments[], char *const environment[]) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum way way = way_of(path, environment);
    if (way == NOT_AT_ALL || (way == UNDER_GUARD && wait_for_all() != 0)) return errno = EIO, -1;
    return NEXT(fexecve)(fd, arguments, environment);
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    enum way way = way_of(path, environment);
    if (way == NOT_AT_ALL) return EIO;
    if (way == UNDER_GUARD)
        return NEXT(posix_spawn)(pid, guard, actions, attributes, GUARDED(path, arguments), environment);
    return NEXT(posix_spawn)(pid, path, actions, attributes, arguments, environment);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const arguments[], char *const environment[]) {
    char found[PATH_MAX];
    const char *path = on_path(file, found);
    enum way way = way_of(path, environment);
    if (way == NOT_AT_ALL) return EIO;
    if (way == UNDER_GUARD)
        return NEXT(posix_spawn)(pid, guard, actions, attributes, GUARDED(path, arguments), environment);
    return NEXT(posix_spawnp)(pid, file, actions, attributes, arguments, environment);
}

/* The shell that the next two start waits as any program, if it loads the library. */
static int may_start_shell(void) {
    enum way way = way_of("/bin/sh", environ);
    if (way == AS_IT_IS || (way == UNDER_GUARD && wait_for_all() == 0)) return 1;
    errno = EIO;
    return 0;
}

EXPORT int system(const char *command) {
    return command == NULL || may_start_shell() ? NEXT(system)(command) : -1;
}

EXPORT FILE *popen(const char *command, const char *mode) {
    return may_start_shell() ? NEXT(popen)(command, mode) : NULL;
}

void find_real_execs(void) {
    Dl_info self;
    (void)NEXT(execve), (void)NEXT(execvpe), (void)NEXT(fexecve), (void)NEXT(posix_spawn), (void)NEXT(posix_spawnp);
    (void)NEXT(system), (void)NEXT(popen);
    if (dladdr((void *)&place, &self) != 0) (void)fstatat(AT_FDCWD, self.dli_fname, &library, 0);
    if (!find_beside(GUARD_NAME, guard)) guard[0] = '\0';
}
