// A program whose instructions enter the kernel in every way, again and again, and which looks at what each left
// behind: TF in saved flags, a fault that came twice or never.  It says where the instructions are.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { kTf = 0x100 };
extern const char at_syscall[], at_touch[], at_ud2[], at_int3[], at_pushf[];
static volatile sig_atomic_t undefined, trapped, flags_wrong;

static void on_undefined(int number, siginfo_t *info, void *context) {
  greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  (void)number, (void)info;
  undefined++;
  flags_wrong += (regs[REG_EFL] & kTf) != 0;
  regs[REG_RIP] += 2;
}

static void on_trap(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  trapped++;
  flags_wrong += (((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] & kTf) != 0;
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(number, &action, 0);
}

int main(void) {
  handle(SIGILL, on_undefined);
  handle(SIGTRAP, on_trap);
  char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("steps: syscall=%p touch=%p ud2=%p int3=%p pushf=%p\n", (void *)at_syscall, (void *)at_touch,
         (void *)at_ud2, (void *)at_int3, (void *)at_pushf);
  for (int round = 1, wrong = 0;; round++) {
    long number = SYS_getppid, saved;
    undefined = trapped = 0;
    __asm__ volatile(".globl at_syscall\nat_syscall: syscall\n mov %%r11, %1"
                     : "+a"(number), "=r"(saved) : : "rcx", "r11", "memory");
    wrong += (saved & kTf) != 0;
    __asm__ volatile(".globl at_pushf\nat_pushf: pushfq\n pop %0" : "=r"(saved) : : "memory");
    wrong += (saved & kTf) != 0;
    madvise(page, 4096, MADV_DONTNEED);
    __asm__ volatile(".globl at_touch\nat_touch: movb $1, (%0)\n nop" : : "D"(page) : "memory");
    __asm__ volatile(".globl at_ud2\nat_ud2: ud2");
    // The first nop is for RF, which sigreturn brings back: debug registers do not see it.
    __asm__ volatile(".globl at_int3\n nop\nat_int3: nop\n int3");
    wrong += undefined != 1 || trapped != 1;
    printf("steps: round %d, %d wrong\n", round, wrong + (int)flags_wrong);
    fflush(stdout);
    usleep(50000);
  }
}
