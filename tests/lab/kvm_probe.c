// Asks this machine's KVM whether guest debugging works: int3, single-step, hardware execute, write and read
// breakpoints must each leave the guest with KVM_EXIT_DEBUG, at the right place. Prints a line per check, exits 0 if all
// hold. Real-mode guests of a few bytes: what is tried is the processor (or who emulates it), not a kernel.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kCode = 0x1000, kData = 0x2000, kMemory = 0x10000, kDb = 1, kBp = 3 };

static uint8_t* memory;
static struct kvm_run* run;
static int kvm, vcpu, failures;

static void die(const char* what) {
  perror(what);
  exit(2);
}

static void make_machine(void) {
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) die("KVM_CREATE_VM");
  memory = mmap(NULL, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct kvm_userspace_memory_region region = {.memory_size = kMemory, .userspace_addr = (uintptr_t)memory};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) die("KVM_SET_USER_MEMORY_REGION");
  vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) die("KVM_CREATE_VCPU");
  run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) die("mmap of kvm_run");
}

static void restart(const void* code, size_t n) {
  struct kvm_sregs sregs;
  struct kvm_regs regs = {.rip = kCode, .rflags = 2, .rsp = 0x8000, .rbx = kData};
  memset(memory, 0, kMemory);
  memcpy(memory + kCode, code, n);
  if (ioctl(vcpu, KVM_GET_SREGS, &sregs)) die("KVM_GET_SREGS");
  sregs.cs.base = sregs.cs.selector = 0;
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs)) die("KVM_SET_REGS");
}

static void debug(uint32_t control, uint64_t dr7, uint64_t address) {
  struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | control};
  d.arch.debugreg[0] = address;
  d.arch.debugreg[7] = dr7;
  if (ioctl(vcpu, KVM_SET_GUEST_DEBUG, &d)) die("KVM_SET_GUEST_DEBUG");
}

// Runs to the next exit and says whether it is a debug exit of that exception, with the guest at that address.
static void expect(const char* what, uint32_t exception, uint64_t rip) {
  struct kvm_regs regs;
  if (ioctl(vcpu, KVM_RUN, 0)) die("KVM_RUN");
  if (ioctl(vcpu, KVM_GET_REGS, &regs)) die("KVM_GET_REGS");
  int good = run->exit_reason == KVM_EXIT_DEBUG && run->debug.arch.exception == exception && regs.rip == rip;
  printf("%-28s %s", what, good ? "ok\n" : "FAILED");
  if (!good) {
    printf(": exit %u exception %u rip 0x%llx (wanted exit %d exception %u rip 0x%llx)\n", run->exit_reason,
           run->exit_reason == KVM_EXIT_DEBUG ? run->debug.arch.exception : 0, regs.rip, KVM_EXIT_DEBUG, exception,
           (unsigned long long)rip);
    failures++;
  }
}

int main(void) {
  static const uint8_t int3[] = {0x90, 0xcc, 0xf4};              // nop; int3; hlt
  static const uint8_t nops[] = {0x90, 0x90, 0x90, 0xf4};        // nop; nop; nop; hlt
  static const uint8_t store[] = {0x90, 0x89, 0x07, 0x90, 0xf4};  // nop; mov [bx],ax; nop; hlt
  static const uint8_t load[] = {0x90, 0x8b, 0x07, 0x90, 0xf4};   // nop; mov ax,[bx]; nop; hlt
  setvbuf(stdout, NULL, _IOLBF, 0);
  kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) die("/dev/kvm");
  make_machine();

  restart(int3, sizeof int3);
  debug(KVM_GUESTDBG_USE_SW_BP, 0, 0);
  expect("int3", kBp, kCode + 1);

  restart(nops, sizeof nops);
  debug(KVM_GUESTDBG_SINGLESTEP, 0, 0);
  expect("single-step", kDb, kCode + 1);
  debug(KVM_GUESTDBG_SINGLESTEP, 0, 0);
  expect("single-step again", kDb, kCode + 2);

  restart(nops, sizeof nops);
  debug(KVM_GUESTDBG_USE_HW_BP, 0x402, kCode + 2);
  expect("hardware execute breakpoint", kDb, kCode + 2);

  restart(store, sizeof store);
  debug(KVM_GUESTDBG_USE_HW_BP, 0x402 | 0x5 << 16, kData);  // write, 2 bytes
  expect("hardware write breakpoint", kDb, kCode + 3);

  restart(load, sizeof load);
  debug(KVM_GUESTDBG_USE_HW_BP, 0x402 | 0x7 << 16, kData);  // read or write, 2 bytes
  expect("hardware read breakpoint", kDb, kCode + 3);

  restart(store, sizeof store);
  debug(0, 0, 0);
  if (ioctl(vcpu, KVM_RUN, 0)) die("KVM_RUN");
  int quiet = run->exit_reason == KVM_EXIT_HLT;
  printf("%-28s %s\n", "nothing armed, nothing fires", quiet ? "ok" : "FAILED");
  return failures || !quiet ? 1 : 0;
}
