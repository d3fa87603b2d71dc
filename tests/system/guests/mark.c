// A first process that marks places of its own run for the debugger outside: bytes to port 0xe9.
#include <sys/io.h>
#include <unistd.h>

int main(void) {
  if (ioperm(0xe9, 1, 1) != 0) return 1;
  for (unsigned char mark = 0x41;; mark++) {
    outb(mark, 0xe9);
    usleep(200000);
  }
}
