/* Preloaded into a process under test: counts its calls that change files below one folder, and at the n-th of them kills the
 * process, lets half a write through and kills it, or reports an error instead. Linux; see faults.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT, KILL, TEAR, FAIL_ONCE, FAIL_ON };

static char folder[PATH_MAX];
static long calls, nth;
static int action, error_number;

void faults_arm(const char *path, long at, int what, int error) {
    strncpy(folder, path, sizeof folder - 1);
    calls = 0, nth = at, action = what, error_number = error;
}

void faults_disarm(void) { folder[0] = 0; }

long faults_calls(void) { return calls; }

static int below(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }

static int open_below(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!folder[0] || descriptor < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}

/* 0: go on · 1: fail with errno set · 2: write half, then die */
static int met(int counted) {
    if (!counted) return 0;
    calls++;
    int due = calls == nth || (action == FAIL_ON && calls > nth);
    if (!due || action == COUNT) return 0;
    if (action == KILL) kill(getpid(), SIGKILL);
    if (action == TEAR) return 2;
    errno = error_number;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void die(void) { kill(getpid(), SIGKILL); }

ssize_t write(int fd, const void *data, size_t size) {
    int what = met(open_below(fd));
    if (what == 1) return -1;
    ssize_t done = REAL(write)(fd, data, what == 2 ? size / 2 : size);
    if (what == 2) die();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    int what = met(open_below(fd));
    if (what == 1) return -1;
    ssize_t done = REAL(pwrite)(fd, data, what == 2 ? size / 2 : size, at);
    if (what == 2) die();
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    int what = met(open_below(fd));
    if (what == 1) return -1;
    ssize_t done = REAL(pwrite64)(fd, data, what == 2 ? size / 2 : size, at);
    if (what == 2) die();
    return done;
}

#define AROUND(condition, call)    \
    int what = met(condition);     \
    if (what == 1) return -1;      \
    if (what == 2) die();          \
    return call

int fsync(int fd) { AROUND(open_below(fd), REAL(fsync)(fd)); }
int fdatasync(int fd) { AROUND(open_below(fd), REAL(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { AROUND(open_below(fd), REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { AROUND(open_below(fd), REAL(ftruncate64)(fd, size)); }
int rename(const char *from, const char *to) { AROUND(below(to), REAL(rename)(from, to)); }
int unlink(const char *path) { AROUND(below(path), REAL(unlink)(path)); }
