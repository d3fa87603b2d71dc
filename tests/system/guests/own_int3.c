// A program with int3 of its own, caught by a handler of its own: no debugger must get in between.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void handler(int number) {
  (void)number;
  caught++;
}

int main(void) {
  int lost = 0;
  signal(SIGTRAP, handler);
  for (int i = 1;; i++) {
    caught = 0;
    __asm__ volatile("int3");
    lost += caught != 1;
    if (i % 2 == 0) {
      printf("own int3: %d made, %d wrong\n", i, lost);
      fflush(stdout);
    }
    usleep(150000);
  }
}
