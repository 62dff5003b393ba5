/* Writes down every step that a process takes on the files below a folder, and every
   message that it sends; kills the process before a given step.

   VERITAG_TEST_STEPS     the file that is written to, a line for each step
   VERITAG_TEST_UNDER     the folder that is looked at
   VERITAG_TEST_KILL_AT   the number of the step before which to die, 0 for never; only
                          steps in the folders spool and archive count               */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int steps = -1;
static const char *under;
static long kill_at;
static atomic_long count;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("VERITAG_TEST_STEPS"), *at = getenv("VERITAG_TEST_KILL_AT");
  under = getenv("VERITAG_TEST_UNDER");
  kill_at = at ? atol(at) : 0;
  if (!path || !under) return;
  int file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0644);
  /* Out of the way of whoever counts or closes descriptors. */
  steps = fcntl(file, F_DUPFD_CLOEXEC, 900);
  syscall(SYS_close, file);
}

static void say(const char *step, ino_t inode, const char *path, const char *other) {
  char line[2 * PATH_MAX + 64];
  int size = snprintf(line, sizeof line, "%s\t%lu\t%s\t%s\n", step,
                      (unsigned long)inode, path, other);
  if (size < (int)sizeof line) syscall(SYS_write, steps, line, size);
}

static int counts(const char *path) {
  size_t length = strlen(under);
  if (strncmp(path, under, length)) return 0;
  return !strncmp(path + length, "/spool/", 7) || !strncmp(path + length, "/archive", 8);
}

/* To die after an fsync is to die before the next step; of writes in a row one counts. */
static int is_another(const char *name, ino_t inode) {
  static const char *last;
  static ino_t last_inode;
  if (!strcmp(name, "synced")) return 0;
  int is_same = last && !strcmp(name, last) && inode == last_inode;
  last = name;
  last_inode = inode;
  return !is_same || strcmp(name, "written");
}

static void step(const char *name, ino_t inode, const char *path, const char *other) {
  if (steps < 0 || strncmp(path, under, strlen(under))) return;
  if (kill_at && counts(path) && is_another(name, inode) && ++count == kill_at) {
    say("killed", inode, path, name);
    syscall(SYS_kill, getpid(), SIGKILL);
  }
  say(name, inode, path, other);
}

static void step_fd(const char *name, int fd) {
  if (steps < 0 || fd == steps) return;
  char link[64], path[PATH_MAX];
  struct stat told;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0 || path[0] != '/' || fstat(fd, &told)) return;
  path[size] = 0;
  step(name, told.st_ino, path, "");
}

static const char *full(int dir, const char *path, char *buffer) {
  if (path[0] == '/') return path;
  char link[64] = "/proc/self/cwd", base[PATH_MAX];
  if (dir != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
  ssize_t size = readlink(link, base, sizeof base - 1);
  base[size > 0 ? size : 0] = 0;
  if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return path;
  return buffer;
}

static ino_t inode_at(int dir, const char *path) {
  struct stat told;
  return fstatat(dir, path, &told, AT_SYMLINK_NOFOLLOW) ? 0 : told.st_ino;
}

#define REAL(type, name, ...)                                  \
  static type (*real)(__VA_ARGS__);                            \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

static int opened(int dir, const char *path, int flags, mode_t mode) {
  char buffer[PATH_MAX];
  int is_new = (flags & O_CREAT) && !inode_at(dir, path);
  const char *name = full(dir, path, buffer);
  if (steps >= 0 && is_new && counts(name) && kill_at)
    step("creating", 0, name, "");
  int fd = syscall(SYS_openat, dir, path, flags, mode);
  if (steps >= 0 && fd >= 0) {
    struct stat told;
    if (is_new && !fstat(fd, &told) && !strncmp(name, under, strlen(under)))
      say("created", told.st_ino, name, "");
    else if (flags & O_TRUNC)
      step_fd("written", fd);
  }
  return fd;
}

#define OPEN(name, ...)                                        \
  mode_t mode = 0;                                             \
  if (flags & (O_CREAT | O_TMPFILE)) {                         \
    va_list more;                                              \
    va_start(more, flags);                                     \
    mode = va_arg(more, mode_t);                               \
    va_end(more);                                              \
  }                                                            \
  return opened(__VA_ARGS__, path, flags | O_LARGEFILE, mode)

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD); }
int openat(int dir, const char *path, int flags, ...) { OPEN(openat, dir); }
int openat64(int dir, const char *path, int flags, ...) { OPEN(openat64, dir); }

ssize_t write(int fd, const void *data, size_t size) {
  REAL(ssize_t, write, int, const void *, size_t);
  step_fd("written", fd);
  return real(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int many) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  step_fd("written", fd);
  return real(fd, parts, many);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
  step_fd("written", fd);
  return real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
  step_fd("written", fd);
  return real(fd, data, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int many, off_t at) {
  REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
  step_fd("written", fd);
  return real(fd, parts, many, at);
}

int ftruncate(int fd, off_t size) {
  REAL(int, ftruncate, int, off_t);
  step_fd("written", fd);
  return real(fd, size);
}

int ftruncate64(int fd, off64_t size) {
  REAL(int, ftruncate64, int, off64_t);
  step_fd("written", fd);
  return real(fd, size);
}

/* Written down when it has happened: only then it holds. */
static int synced(int fd, int failed) {
  if (!failed) step_fd("synced", fd);
  return failed;
}

int fsync(int fd) {
  step_fd("syncing", fd);
  return synced(fd, (int)syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
  step_fd("syncing", fd);
  return synced(fd, (int)syscall(SYS_fdatasync, fd));
}

int syncfs(int fd) {
  step_fd("syncing", fd);
  int failed = (int)syscall(SYS_syncfs, fd);
  if (!failed && steps >= 0) say("all synced", 0, "", "");
  return failed;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
  char a[PATH_MAX], b[PATH_MAX];
  step("renamed", inode_at(from_dir, from), full(from_dir, from, a), full(to_dir, to, b));
  return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to) {
  return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  char a[PATH_MAX], b[PATH_MAX];
  step("linked", inode_at(from_dir, from), full(from_dir, from, a), full(to_dir, to, b));
  return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to) {
  return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags) {
  char a[PATH_MAX];
  ino_t inode = inode_at(dir, path);
  if (inode) step("unlinked", inode, full(dir, path, a), "");
  return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int mkdir(const char *path, mode_t mode) {
  char a[PATH_MAX];
  int failed = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  if (!failed) step("created", inode_at(AT_FDCWD, path), full(AT_FDCWD, path, a), "");
  return failed;
}

/* A send to a peer; the sends of a socket pair wake threads of the same process. */
static void note_sent(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (steps < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size)) return;
  if (domain != AF_UNIX) say("sent", 0, "", "");
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
  REAL(ssize_t, send, int, const void *, size_t, int);
  note_sent(fd);
  return real(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags,
               const struct sockaddr *to, socklen_t length) {
  REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  note_sent(fd);
  return real(fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
  note_sent(fd);
  return real(fd, message, flags);
}
