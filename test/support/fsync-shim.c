/*
 * Watches, by LD_PRELOAD, the system calls that durability is made of, and slows fdatasync down.
 * Each line of the file named by SHIM_LOG is one call, in the order in which they happened:
 *   W <marker>   a write to a WAL file whose bytes hold "marker-<number>;" (one line per marker)
 *   S            fdatasync of a WAL file begins
 *   E            that fdatasync has returned
 *   R <id>       bytes that hold an HTTP 200 with an event id leave by a socket
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int log_file = -1;

static void note(const char *line) {
  if (log_file == -1) {
    const char *path = getenv("SHIM_LOG");
    if (path == NULL) return;
    log_file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  }
  /* One write per line: lines of several threads do not mix. */
  ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  real(log_file, line, strlen(line));
}

static int is_wal(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 4) return 0;
  path[length] = 0;
  return strcmp(path + length - 4, "-wal") == 0;
}

static int is_socket(int file) {
  struct stat info;
  return fstat(file, &info) == 0 && S_ISSOCK(info.st_mode);
}

static void look_for_markers(const char *bytes, size_t length) {
  static const char word[] = "marker-";
  const char *at = bytes, *end = bytes + length;
  while ((at = memmem(at, end - at, word, sizeof word - 1)) != NULL) {
    char line[64];
    size_t digits = 0;
    const char *number = at + sizeof word - 1;
    while (number + digits < end && digits < 20 && number[digits] >= '0' && number[digits] <= '9') digits++;
    snprintf(line, sizeof line, "W %.*s\n", (int)digits, number);
    note(line);
    at = number + digits;
  }
}

static void look_for_answer(const char *bytes, size_t length) {
  static const char word[] = "\"event_id\":\"";
  if (length < 15 || memcmp(bytes, "HTTP/1.1 200 OK", 15) != 0) return;
  const char *at = memmem(bytes, length, word, sizeof word - 1);
  if (at == NULL) return;
  char line[400];
  at += sizeof word - 1;
  const char *quote = memchr(at, '"', bytes + length - at);
  if (quote == NULL) return;
  snprintf(line, sizeof line, "R %.*s\n", (int)(quote - at), at);
  note(line);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
  ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
  if (is_wal(file)) look_for_markers(bytes, length);
  return real(file, bytes, length, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
  ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
  if (is_wal(file)) look_for_markers(bytes, length);
  return real(file, bytes, length, offset);
}

int fdatasync(int file) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  const char *delay = getenv("SHIM_DELAY_US");
  int wal = is_wal(file);
  if (wal) note("S\n");
  if (delay != NULL) usleep(atoi(delay));
  int result = real(file);
  if (wal) note("E\n");
  return result;
}

ssize_t write(int file, const void *bytes, size_t length) {
  ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  if (is_socket(file)) look_for_answer(bytes, length);
  return real(file, bytes, length);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
  if (is_socket(file)) {
    size_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    char *whole = malloc(length + 1), *at = whole;
    for (int part = 0; part < count; part++) {
      memcpy(at, parts[part].iov_base, parts[part].iov_len);
      at += parts[part].iov_len;
    }
    look_for_answer(whole, length);
    free(whole);
  }
  return real(file, parts, count);
}
