/*
 * A disk that misbehaves on demand, by LD_PRELOAD:
 *   while the file named by SHIM_FULL exists, writes to SQLite's files fail with ENOSPC;
 *   while the file named by SHIM_BROKEN exists, fdatasync of a WAL file fails with EIO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_asked(const char *variable) {
  const char *path = getenv(variable);
  return path != NULL && access(path, F_OK) == 0;
}

static int ends_with(int file, const char *ending) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  ssize_t wanted = strlen(ending);
  if (length < wanted) return 0;
  path[length] = 0;
  return strcmp(path + length - wanted, ending) == 0;
}

static int is_full(int file) {
  return is_asked("SHIM_FULL") && (ends_with(file, ".db") || ends_with(file, "-wal"));
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
  if (is_full(file)) return errno = ENOSPC, -1;
  return real(file, bytes, length, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
  ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
  if (is_full(file)) return errno = ENOSPC, -1;
  return real(file, bytes, length, offset);
}

int fdatasync(int file) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  if (is_asked("SHIM_BROKEN") && ends_with(file, "-wal")) return errno = EIO, -1;
  return real(file);
}
