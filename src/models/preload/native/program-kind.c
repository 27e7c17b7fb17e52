/* What a file is that is about to be run: whether the program behind it would load this library, and open files with it. */
#include "preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_INTERPRETERS 5 /* a script's interpreter may be a script; the kernel follows no more */
#define MOST_HEADERS 64
#define HEAD_BYTES 512

struct program {
    unsigned machine;
    int is_native;     /* of this word size */
    int is_go;         /* makes its system calls itself, also where it is linked to a C library */
    char loader[256];  /* name of its dynamic loader; '' where it is linked statically */
};

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static long read_at(int fd, void *to, size_t length, off_t position) {
    return raw(SYS_pread64, fd, (long)to, (long)length, (long)position);
}

static int has_go_note(int fd, const ElfW(Phdr) *notes) {
    char bytes[512];
    size_t size = notes->p_filesz < sizeof bytes ? notes->p_filesz : sizeof bytes;
    if (read_at(fd, bytes, size, (off_t)notes->p_offset) != (long)size) return 0;
    for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
        ElfW(Nhdr) note;
        memcpy(&note, bytes + at, sizeof note);
        size_t name = at + sizeof note, padded = ((size_t)note.n_namesz + 3) & ~(size_t)3;
        if (note.n_namesz >= 3 && name + 3 <= size && memcmp(bytes + name, "Go", 3) == 0) return 1;
        at = name + padded + (((size_t)note.n_descsz + 3) & ~(size_t)3);
    }
    return 0;
}

/* Reads what an ELF file says of itself. Returns 0 for any other. */
static int read_program(int fd, const char *head, size_t size, struct program *program) {
    ElfW(Ehdr) header;
    ElfW(Phdr) entries[MOST_HEADERS];
    if (size < sizeof header || memcmp(head, ELFMAG, SELFMAG) != 0) return 0;
    memcpy(&header, head, sizeof header);
    memset(program, 0, sizeof *program);
    program->machine = header.e_machine;
    program->is_native = header.e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
    if (!program->is_native || header.e_phentsize != sizeof *entries) return 1;
    size_t count = header.e_phnum < MOST_HEADERS ? header.e_phnum : MOST_HEADERS;
    if (read_at(fd, entries, count * sizeof *entries, (off_t)header.e_phoff) < 0) return 1;
    for (size_t at = 0; at < count; at += 1) {
        char path[PATH_MAX] = "";
        if (entries[at].p_type == PT_NOTE && has_go_note(fd, &entries[at])) program->is_go = 1;
        if (entries[at].p_type != PT_INTERP) continue;
        size_t length = entries[at].p_filesz < sizeof path ? entries[at].p_filesz : sizeof path;
        if (read_at(fd, path, length, (off_t)entries[at].p_offset) <= 0) continue;
        path[sizeof path - 1] = '\0';
        snprintf(program->loader, sizeof program->loader, "%.*s", (int)sizeof program->loader - 1, last_part(path));
    }
    return 1;
}

/* The program that runs this. */
static const struct program *own_program(void) {
    static struct program own;
    static int is_known;
    if (__atomic_load_n(&is_known, __ATOMIC_ACQUIRE)) return &own;
    char head[HEAD_BYTES];
    struct program found = {0};
    int fd = (int)raw(SYS_openat, AT_FDCWD, (long)"/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
    long size = fd < 0 ? 0 : read_at(fd, head, sizeof head, 0);
    if (size > 0) (void)read_program(fd, head, (size_t)size, &found);
    if (fd >= 0) (void)raw(SYS_close, fd, 0, 0, 0);
    own = found; /* whoever comes at the same time writes the same */
    __atomic_store_n(&is_known, 1, __ATOMIC_RELEASE);
    return &own;
}

static int loads_library(const struct program *program) {
    const struct program *own = own_program();
    if (!program->is_native || program->machine != own->machine) return 0;
    if (program->is_go || program->loader[0] == '\0') return 0;
    /* Run by its loader's name, this program names none itself. */
    return own->loader[0] == '\0' || strcmp(program->loader, own->loader) == 0;
}

/* Whether a program gets rights that this process has not; the dynamic loader then takes no libraries from the environment. */
static int gets_rights(int fd, const struct stat *status) {
    char capabilities[64];
    uid_t user = geteuid();
    if ((status->st_mode & S_ISUID) != 0 && status->st_uid != user) return 1;
    if ((status->st_mode & S_ISGID) != 0 && status->st_gid != getegid()) return 1;
    if (user == 0) return 0;
    return raw(SYS_fgetxattr, fd, (long)"security.capability", (long)capabilities, sizeof capabilities) > 0;
}

/* The interpreter that a script names. Returns 0 for what is no script. */
static int interpreter_of(char *head, size_t size, char *path) {
    if (size < 3 || head[0] != '#' || head[1] != '!') return 0;
    head[size] = '\0';
    char *name = head + 2 + strspn(head + 2, " \t");
    name[strcspn(name, " \t\r\n")] = '\0';
    if (*name == '\0') return 0;
    strcpy(path, name);
    return 1;
}

/* Looks at one file. Returns 1 where the file at `path`, which is written anew, decides in its place. */
static int look_at(char *path, enum program_kind *kind) {
    char head[HEAD_BYTES + 1];
    struct stat status;
    struct program program;
    int fd = (int)raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        *kind = fd == -EACCES ? WITHOUT_IT : NO_PROGRAM; /* one that may be run and not read may be anything */
        return 0;
    }
    long size = read_at(fd, head, HEAD_BYTES, 0);
    int is_script = size > 0 && interpreter_of(head, (size_t)size, path);
    if (!is_script) {
        *kind = NO_PROGRAM;
        if (size > 0 && read_program(fd, head, (size_t)size, &program)) {
            *kind = loads_library(&program) ? TAKES_LIBRARY : WITHOUT_IT;
            if (raw(SYS_fstat, fd, (long)&status, 0, 0) == 0 && gets_rights(fd, &status)) *kind = OTHER_RIGHTS;
        }
    }
    (void)raw(SYS_close, fd, 0, 0, 0);
    return is_script;
}

enum program_kind kind_of_program(const char *path) {
    char name[PATH_MAX];
    enum program_kind kind = NO_PROGRAM;
    if (strlen(path) >= sizeof name) return NO_PROGRAM;
    strcpy(name, path);
    for (int left = MOST_INTERPRETERS; left > 0 && look_at(name, &kind); left -= 1) continue;
    return kind;
}
