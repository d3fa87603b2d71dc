// A 32-bit program without any library, which makes its calls in each way that there is: int $0x80, the vDSO's
// (sysenter or syscall, whichever this CPU has) and, on AMD, its own syscall instruction. At its end it prints the lines
// that strace shows of them, each after "want: ". Built with -m32 -nostdlib -static -ffreestanding (see programs.py).
typedef unsigned u32;
typedef int (*Way)(int number, int a, int b, int c, int d, int e, int f);

enum {
  kExit = 1, kFork = 2, kRead = 3, kWrite = 4, kOpen = 5, kClose = 6, kExecve = 11, kGetpid = 20, kKill = 37, kGetppid = 64,
  kSigaction = 67, kMunmap = 91, kWait4 = 114, kPrctl = 172, kRtSigaction = 174, kRtSigprocmask = 175, kRtSigqueueinfo = 178, kMmap2 = 192,
  kStat64 = 195, kGetuid32 = 199, kExitGroup = 252, kPselect6 = 308, kSeccomp = 354, kNone = 9999
};

// ---- the ways

int by_int80(int number, int a, int b, int c, int d, int e, int f);
int by_vdso(int number, int a, int b, int c, int d, int e, int f);
int by_syscall(int number, int a, int b, int c, int d, int e, int f);
void return_old(void);
void return_rt(void);
u32 vsyscall;

// Seven words on the stack behind four registers and the return address.
#define REGISTERS                                                                                       \
  "  push %ebx\n  push %esi\n  push %edi\n  push %ebp\n"                                                \
  "  mov 20(%esp), %eax\n  mov 24(%esp), %ebx\n  mov 28(%esp), %ecx\n  mov 32(%esp), %edx\n"           \
  "  mov 36(%esp), %esi\n  mov 40(%esp), %edi\n  mov 44(%esp), %ebp\n"
#define BACK "  pop %ebp\n  pop %edi\n  pop %esi\n  pop %ebx\n  ret\n"

__asm__(
    ".text\n.globl _start\n_start:\n  xor %ebp, %ebp\n  push %esp\n  call start\n"
    "by_int80:\n" REGISTERS "  int $0x80\n" BACK
    "by_vdso:\n" REGISTERS "  call *vsyscall\n" BACK
    // The kernel returns behind the vDSO's own instruction, where these three are popped.
    "by_syscall:\n" REGISTERS "  call 1f\n" BACK
    "1: push %ecx\n  push %edx\n  push %ebp\n  mov %ecx, %ebp\n  syscall\n"
    "return_old:\n  pop %eax\n  mov $119, %eax\n  int $0x80\n"
    "return_rt:\n  mov $173, %eax\n  int $0x80\n");

static int on_amd(void) {
  u32 a = 0, b, c, d;
  __asm__("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
  return b == 0x68747541 || b == 0x6f677948;  // AuthenticAMD, HygonGenuine
}

// ---- what is expected

static char wanted[16384];
static u32 used;

static void put(char c) {
  if (used < sizeof wanted) wanted[used++] = c;
}
static void put_text(const char* text) {
  while (*text) put(*text++);
}
static void put_number(u32 value, u32 base) {
  char digits[12];
  int count = 0;
  do digits[count++] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  while (count > 0) put(digits[--count]);
}

// %d %x %s
static void want(const char* how, ...) {
  __builtin_va_list rest;
  __builtin_va_start(rest, how);
  put_text("want: ");
  for (; *how; ++how) {
    if (*how != '%') {
      put(*how);
    } else if (*++how == 's') {
      put_text(__builtin_va_arg(rest, const char*));
    } else {
      put_number(__builtin_va_arg(rest, u32), *how == 'x' ? 16 : 10);
    }
  }
  put('\n');
  __builtin_va_end(rest);
}

// ---- the calls

static const char* self;
static int pid;

struct stat64 {
  unsigned long long dev;
  u32 pad, low_ino, mode, links, uid, gid;
  unsigned long long rdev;
  u32 pad2;
  unsigned char size[8];
  u32 block_size;
  unsigned char rest[40];
} __attribute__((packed));

static u32 size_of(const struct stat64* s) {
  return s->size[0] | s->size[1] << 8 | s->size[2] << 16 | (u32)s->size[3] << 24;
}

static void plain(Way way) {
  static struct stat64 status;
  static char bytes[16];
  struct { int seconds, nanoseconds; } zero = {0, 0};
  u32 set[2] = {1 << 9, 0};
  struct { void* set; u32 size; } mask = {set, 8};

  pid = way(kGetpid, 0, 0, 0, 0, 0, 0);
  want("getpid() = %d", pid);
  int at = way(kMmap2, 0, 8192, 3, 0x22, -1, 0);
  want("mmap2(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x%x", at);
  way(kMunmap, at, 8192, 0, 0, 0, 0);
  want("munmap(0x%x, 8192) = 0", at);
  way(kPselect6, 0, 0, 0, 0, (int)&zero, (int)&mask);
  want("pselect6(0, NULL, NULL, NULL, {tv_sec=0, tv_nsec=0}, {sigmask=[USR1], sigsetsize=8}) = 0 (Timeout)");
  way(kStat64, (int)self, (int)&status, 0, 0, 0, 0);
  want("stat64(\"%s\", {st_mode=S_IFREG|0755, st_size=%d, ...}) = 0", self, size_of(&status));
  int fd = way(kOpen, (int)self, 0, 0, 0, 0, 0);
  want("open(\"%s\", O_RDONLY) = %d", self, fd);
  way(kRead, fd, (int)bytes, 16, 0, 0, 0);
  want("read(%d, \"\\177ELF\\1\\1\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\", 16) = 16", fd);
  at = way(kMmap2, 0, 4096, 1, 2, fd, 1);
  want("mmap2(NULL, 4096, PROT_READ, MAP_PRIVATE, %d, 0x1000) = 0x%x", fd, at);
  way(kClose, fd, 0, 0, 0, 0, 0);
  want("close(%d) = 0", fd);
  way(kClose, fd, 0, 0, 0, 0, 0);
  want("close(%d) = -1 EBADF (Bad file descriptor)", fd);
  way(kOpen, (int)"/missing", 0, 0, 0, 0, 0);
  want("open(\"/missing\", O_RDONLY) = -1 ENOENT (No such file or directory)");
  way(kNone, 1, 2, 3, 4, 5, 6);
  want("syscall_0x270f(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)");
}

// ---- signals

struct action { void* handler; u32 flags; void* restorer; u32 mask[2]; };
struct old_action { void* handler; u32 mask, flags; void* restorer; };
static void on_old(int number) { (void)number; }
static void on_rt(int number, void* info, void* context) { (void)number, (void)info, (void)context; }
static u32 call_address;
static void on_sys(int number, void* info, void* context) { (void)number, (void)context, call_address = ((u32*)info)[3]; }
// The instruction that faults has two bytes.
static void on_fault(int number, void* info, void* context) {
  (void)number, (void)info;
  ((u32*)context)[5 + 14] += 2;  // eip, in the sigcontext behind flags, link and stack
}

static void handle(Way way, int number, const char* name, void (*handler)(int, void*, void*)) {
  struct action action = {handler, 0x04000004, return_rt, {1 << 11, 0}};
  way(kRtSigaction, number, (int)&action, 0, 8, 0, 0);
  want("rt_sigaction(%s, {sa_handler=0x%x, sa_mask=[USR2], sa_flags=SA_RESTORER|SA_SIGINFO, sa_restorer=0x%x}, NULL, 8) = 0",
       name, handler, return_rt);
}

static void mask(Way way, int how, const char* said, u32 low, u32 high, const char* set) {
  u32 words[2] = {low, high};
  way(kRtSigprocmask, how, (int)words, 0, 8, 0, 0);
  want("rt_sigprocmask(%s, [%s], NULL, 8) = 0", said, set);
}

static void signals(Way way) {
  struct old_action old = {on_old, 1 << 11, 0x04000000, return_old};
  way(kSigaction, 10, (int)&old, 0, 0, 0, 0);
  want("sigaction(SIGUSR1, {sa_handler=0x%x, sa_mask=[USR2], sa_flags=SA_RESTORER, sa_restorer=0x%x}, NULL) = 0", on_old,
       return_old);
  mask(way, 0, "SIG_BLOCK", 1 << 14, 1 << 7, "TERM RT_8");
  way(kKill, pid, 10, 0, 0, 0, 0);
  want("kill(%d, SIGUSR1) = 0", pid);
  want("--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=%d, si_uid=0} ---", pid);
  want("sigreturn({mask=[TERM RT_8]}) = 0");
  handle(way, 10, "SIGUSR1", on_rt);
  int info[32] = {10, 0, -1, pid, 0, 0x12345678};
  way(kRtSigqueueinfo, pid, 10, (int)info, 0, 0, 0);
  want("rt_sigqueueinfo(%d, SIGUSR1, {si_signo=SIGUSR1, si_code=SI_QUEUE, si_pid=%d, si_uid=0, si_int=305419896, "
       "si_ptr=0x12345678}) = 0", pid, pid);
  want("--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_QUEUE, si_pid=%d, si_uid=0, si_int=305419896, si_ptr=0x12345678} ---", pid);
  want("rt_sigreturn({mask=[TERM RT_8]}) = 0");
  mask(way, 1, "SIG_UNBLOCK", 1 << 14, 1 << 7, "TERM RT_8");
  handle(way, 11, "SIGSEGV", on_fault);
  __asm__ volatile("mov (%%ecx), %%edx" : : "a"(77), "c"(0xfffff000) : "edx", "memory");
  want("--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0xfffff000} ---");
  want("rt_sigreturn({mask=[]}) = 77");
}

static void children(Way way) {
  int status = 0;
  handle(way, 17, "SIGCHLD", on_rt);
  mask(way, 0, "SIG_BLOCK", 1 << 16, 0, "CHLD");
  int child = way(kFork, 0, 0, 0, 0, 0, 0);
  if (child == 0) way(kExit, 3, 0, 0, 0, 0, 0);
  want("fork() = %d", child);
  way(kWait4, -1, (int)&status, 0, 0, 0, 0);
  want("wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = %d", child);
  mask(way, 1, "SIG_UNBLOCK", 1 << 16, 0, "CHLD");
  want("--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=%d, si_uid=0, si_status=3, si_utime=0, si_stime=0} ---",
       child);
  want("rt_sigreturn({mask=[]}) = 0");
}

// ---- seccomp: one call is refused, another sends SIGSYS

static void refused(Way way) {
  static struct { unsigned short code; unsigned char yes, no; u32 k; } filter[] = {
      {0x20, 0, 0, 0}, {0x15, 0, 1, kGetppid}, {0x06, 0, 0, 0x00050001}, {0x15, 0, 1, kGetuid32}, {0x06, 0, 0, 0x00030000},
      {0x06, 0, 0, 0x7fff0000}};
  struct { unsigned short count; void* filter; } program = {6, filter};
  handle(way, 31, "SIGSYS", on_sys);
  way(kPrctl, 38, 1, 0, 0, 0, 0);
  want("prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) = 0");
  way(kSeccomp, 1, 0, (int)&program, 0, 0, 0);
  want("seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=6, filter=0x%x}) = 0", filter);
}

static void refuse(Way way) {
  way(kGetppid, 0, 0, 0, 0, 0, 0);
  want("getppid() = -1 EPERM (Operation not permitted)");
  way(kNone, 1, 2, 3, 4, 5, 6);
  want("syscall_0x270f(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)");
  way(kGetuid32, 0, 0, 0, 0, 0, 0);
  want("getuid32() = 199");
  want("--- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP, si_call_addr=0x%x, si_syscall=__NR_getuid32, "
       "si_arch=AUDIT_ARCH_I386} ---", call_address);
  want("rt_sigreturn({mask=[]}) = 199");
}

static u32 find_vsyscall(u32* at) {
  while (*at++) {}
  for (; at[0] != 0; at += 2) {
    if (at[0] == 32) return at[1];  // AT_SYSINFO
  }
  return 0;
}

// Becomes another program by a path in a page that has not been touched.
static void end(char** arguments) {
  int fd = by_int80(kOpen, (int)"path", 0102, 0600, 0, 0, 0);
  by_int80(kWrite, fd, (int)arguments[0], 10, 0, 0, 0);
  const char* path = (const char*)by_int80(kMmap2, 0, 4096, 1, 2, fd, 0);
  by_int80(kExecve, (int)path, (int)arguments, 0, 0, 0, 0);
  by_int80(kExitGroup, 8, 0, 0, 0, 0, 0);
}

void start(u32* stack) {
  char** arguments = (char**)(stack + 1);
  self = arguments[0];
  if (stack[0] == 3) end(&arguments[2]);
  vsyscall = find_vsyscall(stack + 1 + stack[0] + 1);
  Way ways[3] = {by_int80, by_vdso, by_syscall};
  int count = on_amd() ? 3 : 2;
  for (int i = 0; i < count; ++i) {
    plain(ways[i]);
    signals(ways[i]);
    children(ways[i]);
  }
  refused(by_vdso);
  for (int i = 0; i < count; ++i) refuse(ways[i]);
  by_int80(kWrite, 1, (int)wanted, used, 0, 0, 0);
  const char* again[] = {self, "again", "/bin/true", 0};
  by_int80(kExecve, (int)self, (int)again, 0, 0, 0, 0);
  by_int80(kExitGroup, 9, 0, 0, 0, 0, 0);
}
