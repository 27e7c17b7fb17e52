/*
 * libmodelserve_preload.so: lets a program open the files of a model before all of their bytes are there.
 *
 * Files that are still being fetched lie at their full size, sparse, with the sticky bit (placeholders). So whatever looks
 * at names, sizes and times is right without help. This library waits inside of every call that opens such a file for
 * reading until all of it is there: read, mmap, sendfile and the rest find nothing but true bytes after that, in whatever
 * process. A file that cannot be had fails with EIO; zeros are never seen.
 *
 * Who fills the files listens on a Unix socket (barrier-server.ts). Each question is one connection, so that threads and
 * forks share nothing, and is asked by raw system calls, so that no hook of this or another library is entered again:
 *
 *   H PID            hello: this process has the library; nothing is answered
 *   O DEV INO        wait for the file with these numbers  ->  OK | NO (it is none of mine) | E why
 *   M PID            this process is to be served, too     ->  OK
 *
 * MODELSERVE_PRELOAD_SOCKET names the socket, MODELSERVE_PRELOAD_DIRS the folders, by their real paths, in which a
 * placeholder that nobody answers for is an error (MODEL_DIR where it is not set), and MODELSERVE_PRELOAD_PATIENCE_S
 * how many seconds somebody is waited for who does (0 where it is not set).
 *
 * The first process with ENABLE_CONNECTOR=1 starts the loader (see start_loader) and waits for it before main.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where the build found them; what lies beside the library, or on PATH, is taken where these are not there. */
#ifndef MODELSERVE_NODE
#define MODELSERVE_NODE "node"
#endif
#ifndef MODELSERVE_LOADER
#define MODELSERVE_LOADER ""
#endif

#define EXPORT __attribute__((visibility("default")))
#define SOCKET_VARIABLE "MODELSERVE_PRELOAD_SOCKET"
#define DIRS_VARIABLE "MODELSERVE_PRELOAD_DIRS"
#define PATIENCE_VARIABLE "MODELSERVE_PRELOAD_PATIENCE_S"
#define ASKS_PER_S 5
#define LOADER_FROM_LIBRARY "/../roles/preload-loader-main.js"

/* Written by the constructor alone. Not active: no call costs more than a look at this. */
static int is_active;
static struct sockaddr_un server;
static char dirs[4 * PATH_MAX];
static long patience_s;

/* ---- raw system calls: errno is left as it was ---- */

static long raw(long number, long a, long b, long c, long d) {
    int before = errno;
    long result = syscall(number, a, b, c, d);
    if (result < 0) result = -errno;
    errno = before;
    return result;
}

static long raw_read(int fd, void *to, size_t length) {
    long got;
    do got = raw(SYS_read, fd, (long)to, (long)length, 0);
    while (got == -EINTR); /* a handler has run; whoever opens a file does not expect to hear of it */
    return got;
}

static void say(const char *first, const char *second, const char *third) {
    char line[2 * PATH_MAX];
    int length = snprintf(line, sizeof line, "modelserve: %s%s%s\n", first, second, third);
    if (length > 0) (void)raw(SYS_write, 2, (long)line, length < (int)sizeof line ? length : (int)sizeof line - 1, 0);
}

/* ---- the question ---- */

static int connected(void) {
    long fd = raw(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0);
    if (fd < 0) return -1;
    long result;
    do result = raw(SYS_connect, fd, (long)&server, sizeof server, 0);
    while (result == -EINTR);
    if (result == 0) return (int)fd;
    (void)raw(SYS_close, fd, 0, 0, 0);
    return -1;
}

/* Sends a question. Returns the connection, or -1 when nobody is there. */
static int sent(const char *question) {
    int fd = connected();
    if (fd < 0) return -1;
    size_t length = strlen(question); /* so short that it goes in one piece */
    long result;
    do result = syscall(SYS_sendto, fd, question, length, MSG_NOSIGNAL, NULL, 0) < 0 ? -errno : (long)length;
    while (result == -EINTR);
    if (result == (long)length) return fd;
    (void)raw(SYS_close, fd, 0, 0, 0);
    return -1;
}

/* Waits for the line that answers. Returns its length, 0 when the connection ended without one. */
static size_t answered(int fd, char *answer, size_t size) {
    size_t length = 0;
    while (length < size - 1) {
        long got = raw_read(fd, answer + length, size - 1 - length);
        if (got <= 0) break;
        length += (size_t)got;
        if (answer[length - 1] == '\n') break;
    }
    (void)raw(SYS_close, fd, 0, 0, 0);
    if (length == 0 || answer[length - 1] != '\n') return 0;
    answer[length - 1] = '\0';
    return length;
}

static int is_placeholder(int fd, struct stat *status) {
    if (raw(SYS_fstat, fd, (long)status, 0, 0) != 0) return 0;
    return (status->st_mode & (S_IFMT | S_ISVTX)) == (S_IFREG | S_ISVTX);
}

/* Whether an open file lies in a folder whose placeholders must not be read, whoever answers for them. */
static int is_ours(const char *path) {
    for (const char *dir = dirs; *dir != '\0';) {
        size_t length = strcspn(dir, ":");
        if (length > 0 && strncmp(path, dir, length) == 0 && path[length] == '/') return 1;
        dir += length + (dir[length] == ':');
    }
    return 0;
}

/* Asks once. Returns the length of the answer, 0 when there was none. */
static size_t ask(const char *question, char *answer, size_t size) {
    int connection = server.sun_path[0] == '\0' ? -1 : sent(question);
    return connection < 0 ? 0 : answered(connection, answer, size);
}

static __attribute__((noinline)) int wait_for(int fd, const struct stat *found) {
    char question[64], answer[1024], link[32], path[PATH_MAX];
    snprintf(question, sizeof question, "O %llu %llu\n", (unsigned long long)found->st_dev,
             (unsigned long long)found->st_ino);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long got = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)path, sizeof path - 1);
    path[got < 0 ? 0 : got] = '\0';
    struct stat now;
    size_t length = ask(question, answer, sizeof answer);
    /* Who answers may be about to come back, and not to know all files at once then. */
    for (long left = is_ours(path) ? patience_s * ASKS_PER_S : 0; left > 0; left -= 1) {
        if ((length > 0 && strcmp(answer, "NO") != 0) || !is_placeholder(fd, &now)) break;
        struct timespec pause = {0, 1000000000L / ASKS_PER_S};
        (void)raw(SYS_nanosleep, (long)&pause, 0, 0, 0);
        length = ask(question, answer, sizeof answer);
    }
    if (length > 0 && strcmp(answer, "OK") == 0) return 0;
    if (length == 0 && !is_placeholder(fd, &now)) return 0; /* it was the last, and who filled it has ended */
    if (length > 0 && answer[0] == 'E') {
        say(path, " cannot be read: ", answer + 2);
        return -1;
    }
    if (!is_ours(path)) return 0; /* somebody else's file with a sticky bit */
    say(path, " is not there yet, and nothing fetches it: ",
        length > 0 ? "the loader does not know it" : "the loader has ended");
    return -1;
}

/* Waits where it is needed. Returns -1 when the file cannot be had. */
static inline int barrier(int fd, int flags) {
    struct stat status;
    if (!is_active || fd < 0) return 0;
    if ((flags & O_ACCMODE) == O_WRONLY || (flags & (O_PATH | O_DIRECTORY)) != 0) return 0;
    if (!is_placeholder(fd, &status)) return 0;
    int before = errno;
    int result = wait_for(fd, &status);
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

/* ---- what opens files ---- */

#define NEXT(name) ((__typeof__(&name))next(&next_##name, #name))

static void *next(void **known, const char *name) {
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

/* ---- the loader of a program that runs by itself ---- */

static void die(const char *what, const char *more) {
    say(what, more, "");
    _exit(1);
}

/* The loader's program lies beside this library, whatever link leads there, or else where it was built. */
static void find_loader(char *path) {
    Dl_info self;
    char real[PATH_MAX], candidate[PATH_MAX + sizeof LOADER_FROM_LIBRARY];
    if (dladdr((void *)&server, &self) != 0 && realpath(self.dli_fname, real) != NULL) {
        *strrchr(real, '/') = '\0';
        snprintf(candidate, sizeof candidate, "%s%s", real, LOADER_FROM_LIBRARY);
        if (realpath(candidate, path) != NULL) return;
    }
    if (realpath(MODELSERVE_LOADER, path) == NULL)
        die("the loader's program is neither beside the preloaded library nor at ", MODELSERVE_LOADER);
}

/* The environment of the loader: this one without what would preload the library into it, and with the process to serve. */
static char **loader_environment(char *served) {
    size_t count = 0, kept = 0;
    while (environ[count] != NULL) count += 1;
    char **copy = malloc((count + 2) * sizeof *copy);
    if (copy == NULL) die("no memory", "");
    for (size_t at = 0; at < count; at += 1)
        if (strncmp(environ[at], "LD_PRELOAD=", 11) != 0) copy[kept++] = environ[at];
    copy[kept++] = served;
    copy[kept] = NULL;
    return copy;
}

/* Becomes the loader: in a session of its own, with nothing open but the pipe to whom waits. */
static void become_loader(const char *program, char **environment, int report) {
    char *const arguments[] = {"node", (char *)program, NULL};
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    dup2(report, 1);
    dup2(report, 2);
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3, ~0U, 0) != 0)
#endif
        for (int fd = 3; fd < 1024; fd += 1) close(fd);
    if (access(MODELSERVE_NODE, X_OK) == 0) execve(MODELSERVE_NODE, arguments, environment);
    execvpe("node", arguments, environment);
    dprintf(1, "FAIL node was found neither at %s nor on PATH\n", MODELSERVE_NODE);
    _exit(1);
}

/* Begins the loader as nobody's child, so that no wait of the program ever meets it. Returns where it reports. */
static int begin_loader(void) {
    char program[PATH_MAX], served[64];
    int report[2];
    find_loader(program);
    snprintf(served, sizeof served, "MODELSERVE_PRELOAD_SERVES=%d", (int)getpid());
    char **environment = loader_environment(served);
    if (pipe2(report, O_CLOEXEC) != 0) die("no pipe to the loader: ", strerror(errno));
    pid_t between = fork();
    if (between < 0) die("the loader cannot be started: ", strerror(errno));
    if (between == 0) {
        setsid();
        pid_t loader = fork();
        if (loader == 0) become_loader(program, environment, report[1]);
        _exit(loader < 0);
    }
    close(report[1]);
    free(environment);
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR) continue;
    return report[0];
}

/*
 * Starts the loader and waits until it has listed the model and all placeholders stand. It reports lines: WARN what,
 * then READY socket, tab, folders; or FAIL why. What else it says is shown when it ends without either.
 */
static void start_loader(void) {
    static char output[64 * 1024];
    size_t length = 0, line = 0;
    int report = begin_loader();
    for (;;) {
        long got = length < sizeof output - 1 ? raw_read(report, output + length, sizeof output - 1 - length) : 0;
        if (got <= 0) die("the loader ended before it was ready; it said: ", output + line);
        length += (size_t)got;
        output[length] = '\0';
        for (char *end; (end = strchr(output + line, '\n')) != NULL; line = (size_t)(end - output) + 1) {
            *end = '\0';
            char *text = output + line, *folders = strchr(text, '\t');
            if (strncmp(text, "FAIL ", 5) == 0) die(text + 5, "");
            if (strncmp(text, "WARN ", 5) == 0) say(text + 5, "", "");
            if (strncmp(text, "READY ", 6) == 0 && folders != NULL) {
                *folders = '\0';
                setenv(SOCKET_VARIABLE, text + 6, 1);
                setenv(DIRS_VARIABLE, folders + 1, 1);
                close(report);
                return;
            }
            *end = '\n';
        }
    }
}

/* A variable that is set to something, or NULL. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? NULL : value;
}

/* Found before there are threads and forks: looking for a symbol takes a lock. */
static void find_real_calls(void) {
    (void)NEXT(open), (void)NEXT(openat), (void)NEXT(fopen), (void)NEXT(freopen), (void)NEXT(fdopen);
#ifdef __GLIBC__
    (void)NEXT(open64), (void)NEXT(openat64), (void)NEXT(fopen64), (void)NEXT(freopen64);
    (void)NEXT(__open_2), (void)NEXT(__open64_2), (void)NEXT(__openat_2), (void)NEXT(__openat64_2);
#endif
}

__attribute__((constructor)) static void begin(void) {
    find_real_calls();
    const char *enabled = variable("ENABLE_CONNECTOR");
    if (enabled != NULL && strcmp(enabled, "1") == 0 && variable(SOCKET_VARIABLE) == NULL) start_loader();
    const char *path = variable(SOCKET_VARIABLE), *folders = variable(DIRS_VARIABLE), *folder = variable("MODEL_DIR");
    if (path != NULL && strlen(path) < sizeof server.sun_path) {
        char hello[32];
        server.sun_family = AF_UNIX;
        strcpy(server.sun_path, path);
        snprintf(hello, sizeof hello, "H %d\n", (int)getpid());
        int connection = sent(hello);
        if (connection >= 0) close(connection);
    }
    if (folders != NULL && strlen(folders) < sizeof dirs) strcpy(dirs, folders);
    else if (folder != NULL && realpath(folder, dirs) == NULL) dirs[0] = '\0';
    const char *patience = variable(PATIENCE_VARIABLE);
    if (patience != NULL) patience_s = strtol(patience, NULL, 10);
    is_active = server.sun_path[0] != '\0' || dirs[0] != '\0';
}
