// Process 1 for the strace's load: at "go N" eight processes make N rounds of calls each, and what was made is said.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kProcesses = 8 };

static void rounds(long count) {
  for (long i = 0; i < count; ++i) {
    syscall(SYS_getppid);
    const long fd = syscall(SYS_openat, AT_FDCWD, "/etc/greeting", O_RDONLY);
    if (fd < 0) _exit(1);
    if (syscall(SYS_close, fd) != 0) _exit(2);
    if (syscall(SYS_close, fd) != -1) _exit(3);
  }
  _exit(0);
}

int main(void) {
  char line[64];
  printf("callers: ready, %ld cpus\n", sysconf(_SC_NPROCESSORS_ONLN));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strncmp(line, "go ", 3) != 0) continue;
    const long count = atol(line + 3);
    int wrong = 0;
    for (int i = 0; i < kProcesses; ++i) {
      if (fork() == 0) rounds(count);
    }
    for (int i = 0; i < kProcesses; ++i) {
      int status = 0;
      if (wait(&status) < 0 || status != 0) ++wrong;
    }
    printf("callers: %ld rounds done, %d wrong\n", kProcesses * count, wrong);
    fflush(stdout);
  }
  return 0;
}
