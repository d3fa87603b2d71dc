// Makes system calls from one process on each CPU, and says how many: "go N" on stdin, "done TOTAL in T us" out.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void hammer(int cpu, long calls) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
  const long expected = syscall(SYS_getppid);
  for (long i = 1; i < calls; i++) {
    if (syscall(SYS_getppid) != expected) _exit(1);
  }
  _exit(0);
}

int main(void) {
  char line[64];
  const int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
  printf("hammer: ready, %d cpus\n", cpus);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    long calls = 0;
    if (sscanf(line, "go %ld", &calls) != 1) continue;
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int cpu = 0; cpu < cpus; cpu++) {
      if (fork() == 0) hammer(cpu, calls);
    }
    int wrong = 0, status;
    while (wait(&status) > 0) wrong += status != 0;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    const long us = (ended.tv_sec - began.tv_sec) * 1000000 + (ended.tv_nsec - began.tv_nsec) / 1000;
    printf("hammer: %ld calls done, %d wrong, in %ld us\n", calls * cpus, wrong, us);
    fflush(stdout);
  }
  return 0;
}
