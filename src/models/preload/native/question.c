/* What is asked of whoever fills the files, for the library and for the guard. */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ASKS_PER_S 5

struct place place;

void set_place(const char *socket, const char *dirs, const char *patience) {
    if (socket != NULL && strlen(socket) < sizeof place.server.sun_path) {
        place.server.sun_family = AF_UNIX;
        strcpy(place.server.sun_path, socket);
    }
    if (dirs != NULL && strlen(dirs) < sizeof place.dirs) strcpy(place.dirs, dirs);
    if (patience != NULL) place.patience_s = strtol(patience, NULL, 10);
    snprintf(place.patience, sizeof place.patience, "%ld", place.patience_s);
}

long raw(long number, long a, long b, long c, long d) {
    int before = errno;
    long result = syscall(number, a, b, c, d);
    if (result < 0) result = -errno;
    errno = before;
    return result;
}

long raw_read(int fd, void *to, size_t length) {
    long got;
    do got = raw(SYS_read, fd, (long)to, (long)length, 0);
    while (got == -EINTR); /* a handler has run; whoever opens a file does not expect to hear of it */
    return got;
}

void say(const char *first, const char *second, const char *third) {
    char line[2 * PATH_MAX];
    int length = snprintf(line, sizeof line, "modelserve: %s%s%s\n", first, second, third);
    if (length > 0) (void)raw(SYS_write, 2, (long)line, length < (int)sizeof line ? length : (int)sizeof line - 1, 0);
}

/* Returns a connection, or the error below zero. */
static int connected(void) {
    if (place.server.sun_path[0] == '\0') return -ENOENT;
    long fd = raw(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0);
    if (fd < 0) return (int)fd;
    long result;
    do result = raw(SYS_connect, fd, (long)&place.server, sizeof place.server, 0);
    while (result == -EINTR);
    if (result == 0) return (int)fd;
    (void)raw(SYS_close, fd, 0, 0, 0);
    return (int)result;
}

/* Sends a question. Returns the connection, or the error below zero when nobody is there. */
static int sent(const char *question) {
    int fd = connected();
    if (fd < 0) return fd;
    size_t length = strlen(question); /* so short that it goes in one piece */
    int before = errno;
    long result;
    do result = syscall(SYS_sendto, fd, question, length, MSG_NOSIGNAL, NULL, 0);
    while (result < 0 && errno == EINTR);
    errno = before;
    if (result == (long)length) return fd;
    (void)raw(SYS_close, fd, 0, 0, 0);
    return -EPIPE;
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

/* Asks once. Returns the length of the answer, 0 when there was none. */
static size_t ask(const char *question, char *answer, size_t size) {
    int connection = sent(question);
    return connection < 0 ? 0 : answered(connection, answer, size);
}

void say_hello(void) {
    char hello[32];
    snprintf(hello, sizeof hello, "H %d\n", (int)getpid());
    int connection = sent(hello);
    if (connection >= 0) (void)raw(SYS_close, connection, 0, 0, 0);
}

int is_placeholder(int fd, struct stat *status) {
    if (raw(SYS_fstat, fd, (long)status, 0, 0) != 0) return 0;
    return (status->st_mode & (S_IFMT | S_ISVTX)) == (S_IFREG | S_ISVTX);
}

/* Whether an open file lies in a folder whose placeholders must not be read, whoever answers for them. */
static int is_ours(const char *path) {
    for (const char *dir = place.dirs; *dir != '\0';) {
        size_t length = strcspn(dir, ":");
        if (length > 0 && strncmp(path, dir, length) == 0 && path[length] == '/') return 1;
        dir += length + (dir[length] == ':');
    }
    return 0;
}

/* Who answers may be about to come back, and not to know all files at once then. */
static void pause_before_next(void) {
    struct timespec pause = {0, 1000000000L / ASKS_PER_S};
    (void)raw(SYS_nanosleep, (long)&pause, 0, 0, 0);
}

__attribute__((noinline)) int wait_for_file(int fd, const struct stat *found) {
    char question[64], answer[1024], link[32], path[PATH_MAX];
    snprintf(question, sizeof question, "O %llu %llu\n", (unsigned long long)found->st_dev,
             (unsigned long long)found->st_ino);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long got = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)path, sizeof path - 1);
    path[got < 0 ? 0 : got] = '\0';
    struct stat now;
    size_t length = ask(question, answer, sizeof answer);
    for (long left = is_ours(path) ? place.patience_s * ASKS_PER_S : 0; left > 0; left -= 1) {
        if ((length > 0 && strcmp(answer, "NO") != 0) || !is_placeholder(fd, &now)) break;
        pause_before_next();
        length = ask(question, answer, sizeof answer);
    }
    if (length > 0 && strcmp(answer, "OK") == 0) return 0;
    if (length > 0 && answer[0] == 'E') {
        say(path, " cannot be read: ", answer + 2);
        return -1;
    }
    if (!is_placeholder(fd, &now)) return 0; /* its bytes came in between */
    if (!is_ours(path)) return 0;            /* somebody else's file with a sticky bit */
    say(path, " is not there yet, and nothing fetches it: ",
        length > 0 ? "the loader does not know it" : "the loader has ended");
    return -1;
}

int are_all_there(void) {
    char answer[16];
    int connection = sent("P\n");
    /* A loader that has ended by itself had nothing left to do; one that was killed leaves its socket behind. */
    if (connection < 0) return connection == -ENOENT && place.patience_s == 0;
    return answered(connection, answer, sizeof answer) > 0 && strcmp(answer, "OK") == 0;
}

int wait_for_all(void) {
    char answer[1024];
    if (are_all_there()) return 0;
    size_t length = ask("W\n", answer, sizeof answer);
    for (long left = place.patience_s * ASKS_PER_S; left > 0 && length == 0; left -= 1) {
        pause_before_next();
        length = ask("W\n", answer, sizeof answer);
    }
    if (length > 0 && strcmp(answer, "OK") == 0) return 0;
    if (length == 0 && are_all_there()) return 0;
    say("files of the model are not there: ", length > 0 ? answer + 2 : "the loader has ended", "");
    return -1;
}
