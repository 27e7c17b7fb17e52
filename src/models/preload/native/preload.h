/*
 * libmodelserve_preload.so: lets a program open the files of a model before all of their bytes are there.
 *
 * Files that are still being fetched lie at their full size, sparse, with the sticky bit (placeholders). So whatever looks
 * at names, sizes and times is right without help. This library waits inside of every call that opens such a file for
 * reading until all of it is there (opens.c): read, mmap, sendfile and the rest find nothing but true bytes after that, in
 * whatever process. A file that cannot be had fails with EIO; zeros are never seen. A program into which it cannot be loaded
 * is started under a guard that does the same from outside (programs.c, guard.c).
 *
 * Who fills the files listens on a Unix socket (barrier-server.ts). Each question is one connection, so that threads and
 * forks share nothing, and is asked by raw system calls, so that no hook of this or another library is entered again
 * (question.c):
 *
 *   H PID            hello: this process has the library; nothing is answered
 *   O DEV INO        wait for the file with these numbers  ->  OK | NO (it is none of mine) | E why
 *   W                wait for all files                    ->  OK | E why
 *   P                is any of them not there?             ->  OK (none) | NO
 *   M PID            this process is to be served, too     ->  OK
 *
 * MODELSERVE_PRELOAD_SOCKET names the socket, MODELSERVE_PRELOAD_DIRS the folders, by their real paths, in which a
 * placeholder that nobody answers for is an error (MODEL_DIR where it is not set), and MODELSERVE_PRELOAD_PATIENCE_S
 * how many seconds somebody is waited for who does (0 where it is not set).
 *
 * The first process with ENABLE_CONNECTOR=1 starts the loader (loader.c) and waits for it before main (begin.c).
 */
#pragma once
#define _GNU_SOURCE
#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LIBRARY_NAME "libmodelserve_preload.so"
#define GUARD_NAME "modelserve_guard"
#define EXPORT __attribute__((visibility("default")))
#define SOCKET_VARIABLE "MODELSERVE_PRELOAD_SOCKET"
#define DIRS_VARIABLE "MODELSERVE_PRELOAD_DIRS"
#define PATIENCE_VARIABLE "MODELSERVE_PRELOAD_PATIENCE_S"

/* ---- question.c ---- */

/* Who answers, and for what. Written before main alone. */
struct place {
    struct sockaddr_un server; /* without a path: nobody */
    char dirs[4 * PATH_MAX];   /* with colons in between */
    char patience[24];         /* seconds, as text and as number */
    long patience_s;
};
extern struct place place;

/* Takes what variables say; NULL for one that is not set. */
void set_place(const char *socket, const char *dirs, const char *patience);
/* A system call. Returns its result, or the error below zero; errno is left as it was. */
long raw(long number, long a, long b, long c, long d);
/* The same for reads, which go on after a signal. */
long raw_read(int fd, void *to, size_t length);
/* A line to stderr. */
void say(const char *first, const char *second, const char *third);
/* Tells that this process has the library. */
void say_hello(void);
/* Whether an open file lacks bytes. */
int is_placeholder(int fd, struct stat *status);
/* Waits until an open placeholder has its bytes. Returns -1 where it cannot be had, and says why. */
int wait_for_file(int fd, const struct stat *status);
/* Waits until all files are there. Returns -1 where one cannot be had, and says why. */
int wait_for_all(void);
/* Whether it is known that all files are there. */
int are_all_there(void);

/* ---- opens.c ---- */

/* Whether there is anything to wait for at all: no call costs more than a look at this. Written before main alone. */
extern int is_active;
/* Waits where an open file is a placeholder. Returns -1 when it cannot be had. */
int barrier(int fd, int flags);

/* ---- program-kind.c ---- */

enum program_kind {
    TAKES_LIBRARY, /* where its environment names it */
    WITHOUT_IT,    /* does not load the library, or opens files without it */
    OTHER_RIGHTS,  /* does not load it, since it gets rights that this process has not */
    NO_PROGRAM,
};

/* What is started by running a file: a script's interpreter decides for it. */
enum program_kind kind_of_program(const char *path);

/* ---- begin.c ---- */

/* Where a file lies that belongs to this library: beside it, or along a path from there. Returns whether it is there. */
int find_beside(const char *relative, char path[PATH_MAX]);

/* ---- loader.c ---- */

/* Starts the loader and waits until all placeholders stand. Ends the process with code 1 where that fails. */
void start_loader(void);

/* ---- called once, before there are threads and forks: looking for a symbol takes a lock ---- */

void find_real_opens(void);
void find_real_execs(void);

void *find_next(void **known, const char *name);
#define NEXT(name) ((__typeof__(&name))find_next(&next_##name, #name))
