// The guest's program of the strace lines: `loops getppid|open COUNT` makes that many rounds and says how long one took.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const long count = atol(argv[2]);
  const int opens = strcmp(argv[1], "open") == 0;
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (long i = 0; i < count; ++i) {
    if (opens) {
      close(open("/etc/greeting", O_RDONLY));
    } else {
      syscall(SYS_getppid);
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  const double ns = (ended.tv_sec - began.tv_sec) * 1e9 + (ended.tv_nsec - began.tv_nsec);
  printf("loops: %s %.1f ns\n", argv[1], ns / count);
  return 0;
}
