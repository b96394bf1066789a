/*
 * Makes the calls that a program sends to its disk fail, wait or kill, as a control file says.
 * Loaded with LD_PRELOAD; faults.py writes the control file, at any time, and reads the counts.
 *
 * SOAK_CONTROL names the control file (struct control). SOAK_ROOT is the directory whose files are
 * struck; calls on others pass untouched. The reader process only gets the clock.
 *
 * Owns:    the mapping of the control file and the names of the open files.
 * Lends:   nothing.
 * Threads: any; a rule's counters are atomic.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAGIC           0x4b414f53u
#define RULES           16
#define FILES           4096
#define PATTERN         200
#define NAME_MAX_OCTETS 512

/* The order is that of faults.py. */
enum op {
    OP_OPEN,
    OP_READ,
    OP_WRITE,
    OP_SYNC,
    OP_RENAME,
    OP_TRUNCATE,
    OP_ALLOCATE,
    OP_UNLINK,
    OP_MKDIR,
    OP_CHMOD
};

enum action { FAIL, SHORT, DELAY, KILL_BEFORE, KILL_AFTER };

struct rule {
    _Atomic uint32_t armed;
    uint32_t ops; /* a bit per enum op */
    uint32_t action;
    int32_t error;
    uint64_t nth;          /* the first call that is struck, from 1 */
    uint64_t most;         /* how many calls are struck; 0 for all */
    uint32_t per_million;  /* the chance of each */
    uint32_t delay_ms;     /* of DELAY */
    _Atomic uint64_t seen; /* calls that matched */
    _Atomic uint64_t hit;  /* calls that were struck */
    char pattern[PATTERN]; /* fnmatch of the path below the root; * crosses slashes */
};

struct control {
    uint32_t magic;
    _Atomic uint32_t unprivileged; /* read-only files refuse writers, as they do for all but root */
    _Atomic int64_t clock_us;      /* added to the wall clock */
    struct rule rules[RULES];
};

static struct control *control;
static char root[PATH_MAX];
static size_t root_length;
static bool muted;
static _Atomic(char *) names[FILES];

#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (real == NULL) {                                                                            \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                         \
    }

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SOAK_CONTROL"), *wanted = getenv("SOAK_ROOT");
    if (path == NULL || wanted == NULL || strlen(wanted) >= sizeof root) {
        return;
    }
    strcpy(root, wanted);
    root_length = strlen(root);
    char command[4096];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    long n = syscall(SYS_read, fd, command, sizeof command);
    syscall(SYS_close, fd);
    muted = n > 0 && memmem(command, (size_t)n, "sipflow.reader", 14) != NULL;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED
                      : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (at == MAP_FAILED || ((struct control *)at)->magic != MAGIC) {
        static const char what[] = "shim: the control file cannot be used\n";
        (void)!syscall(SYS_write, 2, what, sizeof what - 1);
        _exit(99);
    }
    control = at;
}

/* The part of a path below the root, or NULL when it is elsewhere. */
static const char *below(const char *path)
{
    if (control == NULL || muted || strncmp(path, root, root_length) != 0) {
        return NULL;
    }
    return path[root_length] == '/' ? path + root_length + 1 : path[root_length] == 0 ? "." : NULL;
}

static uint32_t dice(void)
{
    static _Thread_local uint64_t state;
    if (state == 0) {
        state = (uint64_t)syscall(SYS_gettid) * 0x9e3779b97f4a7c15u | 1;
    }
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % 1000000);
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

/* What befalls one call: an errno for it, how much of it is done, and whether the process survives.
 */
struct fate {
    int error;
    bool shortened;
    bool dies_after;
};

static struct fate judge(enum op op, const char *name)
{
    struct fate fate = {0};
    for (int i = 0; name != NULL && i < RULES; i++) {
        struct rule *rule = &control->rules[i];
        if (!rule->armed || (rule->ops >> op & 1) == 0 || fnmatch(rule->pattern, name, 0) != 0) {
            continue;
        }
        uint64_t number = atomic_fetch_add(&rule->seen, 1) + 1;
        if (number < rule->nth || dice() >= rule->per_million) {
            continue;
        }
        if (atomic_fetch_add(&rule->hit, 1) >= rule->most && rule->most != 0) {
            atomic_fetch_sub(&rule->hit, 1);
            continue;
        }
        if (rule->action == FAIL) {
            fate.error = rule->error;
        } else if (rule->action == SHORT) {
            fate.shortened = true;
        } else if (rule->action == DELAY) {
            nanosleep(&(struct timespec){.tv_sec = rule->delay_ms / 1000,
                                         .tv_nsec = (long)(rule->delay_ms % 1000) * 1000000},
                      NULL);
        } else if (rule->action == KILL_BEFORE) {
            die();
        } else {
            fate.dies_after = true;
        }
    }
    return fate;
}

static const char *name_of(int fd)
{
    return fd >= 0 && fd < FILES ? names[fd] : NULL;
}

static void forget(int fd)
{
    if (fd >= 0 && fd < FILES) {
        /* Never freed: another thread may be looking at it. */
        names[fd] = NULL;
    }
}

static int remember(int fd, const char *name)
{
    if (fd >= 0 && fd < FILES) {
        names[fd] = name != NULL ? strdup(name) : NULL;
    }
    return fd;
}

/* Does CALL as fate has it, the result of failure being -1. */
#define FATED(OP, NAME, CALL)                                                                      \
    do {                                                                                           \
        struct fate fate = judge(OP, NAME);                                                        \
        if (fate.error != 0) {                                                                     \
            errno = fate.error;                                                                    \
            return -1;                                                                             \
        }                                                                                          \
        __typeof__(CALL) done = CALL;                                                              \
        if (fate.dies_after) {                                                                     \
            die();                                                                                 \
        }                                                                                          \
        return done;                                                                               \
    } while (0)

/* --- open and close --- */

static bool refused(const char *path, int flags)
{
    struct stat st;
    return control->unprivileged && (flags & O_ACCMODE) != O_RDONLY && stat(path, &st) == 0 &&
           S_ISREG(st.st_mode) && (st.st_mode & 0200) == 0;
}

static int opened(const char *path, int flags, int fd)
{
    (void)flags;
    return remember(fd, below(path));
}

#define OPEN_BODY(PATH, FLAGS, CALL)                                                               \
    const char *name = below(PATH);                                                                \
    struct fate fate = judge(OP_OPEN, name);                                                       \
    if (fate.error == 0 && name != NULL && refused(PATH, FLAGS)) {                                 \
        fate.error = EACCES;                                                                       \
    }                                                                                              \
    if (fate.error != 0) {                                                                         \
        errno = fate.error;                                                                        \
        return -1;                                                                                 \
    }                                                                                              \
    int fd = opened(PATH, FLAGS, CALL);                                                            \
    if (fate.dies_after) {                                                                         \
        die();                                                                                     \
    }                                                                                              \
    return fd

#define MODE_OF(FLAGS)                                                                             \
    mode_t mode = 0;                                                                               \
    if (((FLAGS) & (O_CREAT | __O_TMPFILE)) != 0) {                                                \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode = va_arg(more, mode_t);                                                               \
        va_end(more);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    REAL(open)
    MODE_OF(flags)
    OPEN_BODY(path, flags, real(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    REAL(open64)
    MODE_OF(flags)
    OPEN_BODY(path, flags, real(path, flags, mode));
}

int openat(int directory, const char *path, int flags, ...)
{
    REAL(openat)
    MODE_OF(flags)
    OPEN_BODY(path, flags, real(directory, path, flags, mode));
}

int openat64(int directory, const char *path, int flags, ...)
{
    REAL(openat64)
    MODE_OF(flags)
    OPEN_BODY(path, flags, real(directory, path, flags, mode));
}

int close(int fd)
{
    REAL(close)
    forget(fd);
    return real(fd);
}

/* --- reading and writing --- */

static size_t part(struct fate fate, size_t n)
{
    return fate.shortened && n > 1 ? n / 2 : n;
}

#define MOVE_BODY(OP, FD, LENGTH, CALL)                                                            \
    struct fate fate = judge(OP, name_of(FD));                                                     \
    if (fate.error != 0) {                                                                         \
        errno = fate.error;                                                                        \
        return -1;                                                                                 \
    }                                                                                              \
    size_t some = part(fate, LENGTH);                                                              \
    ssize_t done = CALL;                                                                           \
    if (fate.dies_after) {                                                                         \
        die();                                                                                     \
    }                                                                                              \
    return done

ssize_t read(int fd, void *to, size_t n)
{
    REAL(read)
    MOVE_BODY(OP_READ, fd, n, real(fd, to, some));
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    REAL(pread)
    MOVE_BODY(OP_READ, fd, n, real(fd, to, some, at));
}

ssize_t pread64(int fd, void *to, size_t n, off64_t at)
{
    REAL(pread64)
    MOVE_BODY(OP_READ, fd, n, real(fd, to, some, at));
}

ssize_t write(int fd, const void *from, size_t n)
{
    REAL(write)
    MOVE_BODY(OP_WRITE, fd, n, real(fd, from, some));
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    REAL(pwrite)
    MOVE_BODY(OP_WRITE, fd, n, real(fd, from, some, at));
}

ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at)
{
    REAL(pwrite64)
    MOVE_BODY(OP_WRITE, fd, n, real(fd, from, some, at));
}

/* A shortened vector writes its first part only. */
#define VECTOR_BODY(FD, COUNT, CALL)                                                               \
    struct fate fate = judge(OP_WRITE, name_of(FD));                                               \
    if (fate.error != 0) {                                                                         \
        errno = fate.error;                                                                        \
        return -1;                                                                                 \
    }                                                                                              \
    int some = fate.shortened ? 1 : (COUNT);                                                       \
    ssize_t done = CALL;                                                                           \
    if (fate.dies_after) {                                                                         \
        die();                                                                                     \
    }                                                                                              \
    return done

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev)
    VECTOR_BODY(fd, count, real(fd, parts, some));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    REAL(pwritev)
    VECTOR_BODY(fd, count, real(fd, parts, some, at));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at)
{
    REAL(pwritev64)
    VECTOR_BODY(fd, count, real(fd, parts, some, at));
}

int fsync(int fd)
{
    REAL(fsync)
    FATED(OP_SYNC, name_of(fd), real(fd));
}

int fdatasync(int fd)
{
    REAL(fdatasync)
    FATED(OP_SYNC, name_of(fd), real(fd));
}

int sync_file_range(int fd, off64_t at, off64_t n, unsigned flags)
{
    REAL(sync_file_range)
    FATED(OP_SYNC, name_of(fd), real(fd, at, n, flags));
}

int ftruncate(int fd, off_t n)
{
    REAL(ftruncate)
    FATED(OP_TRUNCATE, name_of(fd), real(fd, n));
}

int ftruncate64(int fd, off64_t n)
{
    REAL(ftruncate64)
    FATED(OP_TRUNCATE, name_of(fd), real(fd, n));
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
    REAL(fallocate)
    FATED(OP_ALLOCATE, name_of(fd), real(fd, mode, at, n));
}

int fallocate64(int fd, int mode, off64_t at, off64_t n)
{
    REAL(fallocate64)
    FATED(OP_ALLOCATE, name_of(fd), real(fd, mode, at, n));
}

/* These give the errno instead of setting it. */
int posix_fallocate(int fd, off_t at, off_t n)
{
    REAL(posix_fallocate)
    struct fate fate = judge(OP_ALLOCATE, name_of(fd));
    return fate.error != 0 ? fate.error : real(fd, at, n);
}

int posix_fallocate64(int fd, off64_t at, off64_t n)
{
    REAL(posix_fallocate64)
    struct fate fate = judge(OP_ALLOCATE, name_of(fd));
    return fate.error != 0 ? fate.error : real(fd, at, n);
}

/* --- names --- */

int rename(const char *from, const char *to)
{
    REAL(rename)
    FATED(OP_RENAME, below(from), real(from, to));
}

int renameat(int a, const char *from, int b, const char *to)
{
    REAL(renameat)
    FATED(OP_RENAME, below(from), real(a, from, b, to));
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    REAL(renameat2)
    FATED(OP_RENAME, below(from), real(a, from, b, to, flags));
}

int unlink(const char *path)
{
    REAL(unlink)
    FATED(OP_UNLINK, below(path), real(path));
}

int unlinkat(int directory, const char *path, int flags)
{
    REAL(unlinkat)
    FATED(OP_UNLINK, below(path), real(directory, path, flags));
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir)
    FATED(OP_MKDIR, below(path), real(path, mode));
}

int mkdirat(int directory, const char *path, mode_t mode)
{
    REAL(mkdirat)
    FATED(OP_MKDIR, below(path), real(directory, path, mode));
}

int chmod(const char *path, mode_t mode)
{
    REAL(chmod)
    FATED(OP_CHMOD, below(path), real(path, mode));
}

int fchmodat(int directory, const char *path, mode_t mode, int flags)
{
    REAL(fchmodat)
    FATED(OP_CHMOD, below(path), real(directory, path, mode, flags));
}

int fchmod(int fd, mode_t mode)
{
    REAL(fchmod)
    FATED(OP_CHMOD, name_of(fd), real(fd, mode));
}

/* --- the wall clock, for the reader too: one machine has one clock --- */

static int64_t leap_us(void)
{
    return control != NULL ? control->clock_us : 0;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    long failed = syscall(SYS_clock_gettime, which, now);
    int64_t leap = leap_us();
    if (failed == 0 && leap != 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        int64_t ns = now->tv_nsec + leap % 1000000 * 1000;
        now->tv_sec += leap / 1000000;
        while (ns < 0) {
            ns += 1000000000;
            now->tv_sec--;
        }
        now->tv_sec += ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return (int)failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    if (failed == 0) {
        *now = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
    }
    return failed;
}

time_t time(time_t *to)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (to != NULL) {
        *to = exact.tv_sec;
    }
    return exact.tv_sec;
}
