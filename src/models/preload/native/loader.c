/* The loader of a program that runs by itself. */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the build found them; what lies beside the library, or on PATH, is taken where these are not there. */
#ifndef MODELSERVE_NODE
#define MODELSERVE_NODE "node"
#endif
#ifndef MODELSERVE_LOADER
#define MODELSERVE_LOADER ""
#endif

static void die(const char *what, const char *more) {
    say(what, more, "");
    _exit(1);
}

/* The loader's program lies beside this library, whatever link leads there, or else where it was built. */
static void find_loader(char path[PATH_MAX]) {
    if (find_beside("../roles/preload-loader-main.js", path) || realpath(MODELSERVE_LOADER, path) != NULL) return;
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
 * It reports lines: WARN what, then READY socket, tab, folders; or FAIL why. What else it says is shown when it ends without
 * either.
 */
void start_loader(void) {
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
