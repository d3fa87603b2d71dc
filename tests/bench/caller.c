// The guest of `./dev bench`: calls getppid for ever, and counts in an argument that the kernel does not look at.
// Whoever stops it in __x64_sys_getppid(struct pt_regs *) reads in pt_regs.di how many calls were made so far;
// a condition on it says how many more to make.  No libc: nothing else happens here.
static long call(long number, unsigned long argument) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(argument) : "rcx", "r11", "memory");
  return result;
}

void _start(void) {
  const long kGetppid = 110;
  for (unsigned long calls = 1;; ++calls) call(kGetppid, calls);
}
