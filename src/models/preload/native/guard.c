/*
 * modelserve_guard SOCKET FOLDERS PATIENCE FILE ARGUMENT...: becomes FILE, whose opens, and those of all that it starts, wait
 * for files of models as libmodelserve_preload.so has others wait (ARGUMENT... begins with the program's name).
 *
 * The kernel asks about each open (seccomp's user notification, Linux 5.5), and a watcher answers: a process of its own,
 * since what is watched cannot answer for itself, and nobody's child, so that no wait of the program meets it. Where the
 * kernel does not offer that, the guard waits for all files before the program begins.
 *
 * Without CAP_SYS_ADMIN the program, and what it starts, cannot get other rights (no_new_privs).
 */
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#define PAGE 4096UL

/* Numbers of the calls that open files. What a processor also runs in its older mode has others. */
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define CALLS SYS_open, SYS_openat, SYS_openat2
#define OLD_ARCH AUDIT_ARCH_I386
#define OLD_CALLS 5, 295, 437
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define CALLS -1, SYS_openat, SYS_openat2
#define OLD_ARCH AUDIT_ARCH_ARM
#define OLD_CALLS 5, 322, 437
#endif

/* ---- what is asked about ---- */

#ifdef ARCH
static const int calls[2][3] = {{CALLS}, {OLD_CALLS}};

/* Asks about each open; refuses io_uring, which opens files by itself. Returns the descriptor to listen at, or -1. */
static int begin_asking(void) {
    enum { NUMBER = offsetof(struct seccomp_data, nr), MODE = offsetof(struct seccomp_data, arch) };
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, MODE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OLD_ARCH, 6, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xbfffffff), /* x32 has one bit more */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[0][0], 9, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[0][1], 8, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[0][2], 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 5, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[1][0], 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[1][1], 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[1][2], 2, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    /* Signals do not interrupt a wait, where the kernel knows how (5.19): else each would begin another. */
    const unsigned long flags[] = {SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                                   SECCOMP_FILTER_FLAG_NEW_LISTENER};
    long fd = -1;
    for (int at = 0; at < 4 && fd < 0; at += 1) {
        if (at == 2 && (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)) break;
        fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[at % 2], &program);
    }
    return (int)fd;
}

/* ---- the watcher ---- */

/* As the kernel opens files: the library, which may be loaded here, would wait. */
static int open_now(const char *path, int flags) {
    return (int)raw(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0);
}

/* The path that a call names, in the memory of who makes it. Returns 0 where it cannot be read. */
static int read_path(const struct seccomp_notif *call, unsigned long address, char path[PATH_MAX]) {
    char memory[48];
    snprintf(memory, sizeof memory, "/proc/%u/mem", call->pid);
    int fd = open_now(memory, O_RDONLY);
    size_t length = 0;
    while (fd >= 0 && length < PATH_MAX && (length == 0 || memchr(path, '\0', length) == NULL)) {
        size_t more = PAGE - (address + length) % PAGE; /* the next page may not be there */
        if (more > PATH_MAX - length) more = PATH_MAX - length;
        long got = pread(fd, path + length, more, (off_t)(address + length));
        if (got <= 0) break;
        length += (size_t)got;
    }
    if (fd >= 0) close(fd);
    return length > 0 && memchr(path, '\0', length) != NULL;
}

/* The same path for this process: another has its own working folder, descriptors and root. */
static void seen_from_here(const struct seccomp_notif *call, int folder, const char *path, char *seen, size_t size) {
    const char *own[] = {"/proc/self/", "/proc/thread-self/", "/dev/"};
    for (int at = 0; at < 2; at += 1)
        if (strncmp(path, own[at], strlen(own[at])) == 0)
            return (void)snprintf(seen, size, "/proc/%u/%s", call->pid, path + strlen(own[at]));
    if (strncmp(path, "/dev/fd/", 8) == 0) return (void)snprintf(seen, size, "/proc/%u/%s", call->pid, path + 5);
    if (path[0] == '/') snprintf(seen, size, "/proc/%u/root%s", call->pid, path);
    else if (folder == AT_FDCWD) snprintf(seen, size, "/proc/%u/cwd/%s", call->pid, path);
    else snprintf(seen, size, "/proc/%u/fd/%d/%s", call->pid, folder, path);
}

static void answer(int listener, const struct seccomp_notif *call, int error) {
    struct seccomp_notif_resp response = {.id = call->id, .error = -error};
    if (error == 0) response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response); /* who asked may have gone */
}

/* Waits for what is needed, in a process of its own, which says on the asker's stderr what goes wrong. */
static void wait_and_answer(int listener, const struct seccomp_notif *call, int fd, const struct stat *status) {
    pid_t waiter = fork();
    if (waiter < 0) answer(listener, call, EIO);
    if (waiter != 0) return;
    long asker = raw(SYS_pidfd_open, call->pid, 0, 0, 0); /* not of a further thread */
    long out = asker < 0 ? -1 : raw(SYS_pidfd_getfd, asker, 2, 0, 0);
    if (out >= 0) dup2((int)out, 2);
    answer(listener, call, (fd < 0 ? wait_for_all() : wait_for_file(fd, status)) == 0 ? 0 : EIO);
    _exit(0);
}

static void judge(int listener, const struct seccomp_notif *call) {
    const struct seccomp_data *data = &call->data;
    int nr = data->nr & ~0x40000000, is_old = data->arch == OLD_ARCH, is_plain = nr == calls[is_old][0];
    int folder = is_plain ? AT_FDCWD : (int)data->args[0];
    long flags = nr == calls[is_old][2] ? 0 : (long)data->args[is_plain ? 1 : 2]; /* openat2 has them in memory */
    char path[PATH_MAX], seen[PATH_MAX + 64];
    struct stat status;
    if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH) != 0) return answer(listener, call, 0);
    if (!read_path(call, data->args[is_plain ? 0 : 1], path)) return wait_and_answer(listener, call, -1, NULL);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) != 0) return; /* that was another's memory */
    seen_from_here(call, folder, path, seen, sizeof seen);
    /* Without looking first an open could wait for the other end of a pipe, or move a tape. */
    int is_marked = stat(seen, &status) == 0 && (status.st_mode & (S_IFMT | S_ISVTX)) == (S_IFREG | S_ISVTX);
    int fd = is_marked ? open_now(seen, O_RDONLY) : -1;
    if (is_marked && (fd < 0 || is_placeholder(fd, &status))) wait_and_answer(listener, call, fd, &status);
    else answer(listener, call, 0);
    if (fd >= 0) close(fd);
}

/* Answers until nobody is left who could ask. */
static void watch(int listener) {
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) return;
    size_t size = sizes.seccomp_notif > sizeof(struct seccomp_notif) ? sizes.seccomp_notif : sizeof(struct seccomp_notif);
    struct seccomp_notif *call = malloc(size);
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    while (call != NULL) {
        if (poll(&waiting, 1, -1) < 0 && errno != EINTR) return;
        if ((waiting.revents & (POLLHUP | POLLERR)) != 0) return;
        memset(call, 0, size);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, call) == 0) judge(listener, call);
        else if (errno != EINTR && errno != ENOENT) return;
    }
}

/* ---- the program ---- */

/* Sends or takes a descriptor. Returns it, or -1. */
static int hand_over(int channel, int fd) {
    char byte = 0;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (fd >= 0) {
        *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
        return sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? fd : -1;
    }
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL) return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* Becomes the watcher: nothing of the program's stays open in it. */
static void become_watcher(int channel) {
    int nothing = open_now("/dev/null", O_RDWR);
    setsid();
    signal(SIGCHLD, SIG_IGN);
    int listener = hand_over(channel, -1);
    for (int fd = 0; fd < 3; fd += 1) dup2(nothing, fd);
    if (listener > 3) listener = dup2(listener, 3);
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 4, ~0U, 0) != 0)
#endif
        for (int fd = 4; fd < 1024; fd += 1) close(fd);
    if (listener >= 0) watch(listener);
    _exit(0);
}

/* Returns whether this process, and what it starts, is watched from now on. */
static int is_watched(void) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return 0;
    pid_t between = fork();
    if (between == 0) {
        close(ends[0]);
        if (fork() == 0) become_watcher(ends[1]);
        _exit(0);
    }
    close(ends[1]);
    while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR) continue;
    int listener = between > 0 ? begin_asking() : -1;
    /* Busy: it is watched already, since what started it is. */
    int result = listener >= 0 ? hand_over(ends[0], listener) >= 0 : between > 0 && errno == EBUSY;
    if (listener >= 0) close(listener);
    close(ends[0]);
    return result;
}
#else
static int is_watched(void) {
    return 0;
}
#endif

int main(int count, char **words) {
    if (count < 5) {
        say("this program is started by the preload library: see `modelserve preload`", "", "");
        return 2;
    }
    set_place(words[1], words[2], words[3]);
    if (!is_watched() && wait_for_all() != 0) return 5; /* EIO */
    /* Not execve: the library may be loaded here, and would start a guard for it. */
    syscall(SYS_execve, words[4], words + 5, environ);
    int error = errno;
    say(words[4], " cannot be run: ", strerror(error));
    return error == ENOENT ? 127 : 126;
}
