/* Loaded before the C library (LD_PRELOAD): sees what the program under test does, and interferes at a chosen moment.
 *
 * HOOK_LOG    a file that gets a line for each fsync: the path, and after a tab the names in its folder
 * HOOK_AT     the moment: "open" or "fsync", and the end of the path after a colon
 * HOOK_RUN    a shell's command that is run when this moment first comes
 * HOOK_ERRNO  what fsync fails with at this moment, each time
 * HOOK_LINKS  "no": linkat fails as where no file may have two names
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_moment(const char *call, const char *path) {
  const char *at = getenv("HOOK_AT"), *colon = at ? strchr(at, ':') : NULL;
  size_t name = colon ? (size_t)(colon - at) : at ? strlen(at) : 0;
  if (!at || strlen(call) != name || strncmp(at, call, name)) return 0;
  if (!colon) return 1;
  size_t end = strlen(colon + 1), all = strlen(path);
  return all >= end && !strcmp(path + all - end, colon + 1);
}

static void run_once(void) {
  static int ran;
  const char *command = getenv("HOOK_RUN");
  if (!command || ran++) return;
  unsetenv("LD_PRELOAD");
  if (system(command)) abort();
}

static void note(const char *path) {
  const char *log = getenv("HOOK_LOG");
  if (!log) return;
  char folder[PATH_MAX];
  struct stat what;
  strcpy(folder, path);
  if (stat(path, &what) || !S_ISDIR(what.st_mode)) dirname(folder);
  struct dirent **names;
  int count = scandir(folder, &names, NULL, alphasort);
  FILE *file = fopen(log, "a");
  if (count < 0 || !file) abort();
  fprintf(file, "%s\t", path);
  for (int index = 0; index < count; index++)
    if (names[index]->d_name[0] != '.' || names[index]->d_name[1] == 'j') fprintf(file, "%s ", names[index]->d_name);
  fprintf(file, "\n");
  fclose(file);
}

int fsync(int fd) {
  char link[64], path[PATH_MAX] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, path, sizeof path - 1) < 0) abort();
  note(path);
  if (is_moment("fsync", path)) {
    run_once();
    if (getenv("HOOK_ERRNO")) {
      errno = atoi(getenv("HOOK_ERRNO"));
      return -1;
    }
  }
  int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  return next(fd);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (is_moment("open", path)) run_once();
  int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
  return next(path, flags, mode);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  const char *links = getenv("HOOK_LINKS");
  if (links && !strcmp(links, "no")) {
    errno = EPERM;
    return -1;
  }
  int (*next)(int, const char *, int, const char *, int) =
      (int (*)(int, const char *, int, const char *, int))dlsym(RTLD_NEXT, "linkat");
  return next(from_folder, from, to_folder, to, flags);
}
