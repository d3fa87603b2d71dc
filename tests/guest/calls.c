// Calls that programs make, one after the other, with results that do not change from run to run: for tracers to
// be compared on, on this machine and in a guest. Runs in a folder of its own; needs no privileges.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void files(void) {
  char text[64];
  int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0640);
  struct iovec parts[2] = {{"ab\n", 3}, {"\0\1\377", 3}};
  writev(fd, parts, 2);
  pwrite(fd, "tail", 4, 6);
  lseek(fd, 1, SEEK_SET);
  parts[0] = (struct iovec){text, 4}, parts[1] = (struct iovec){text + 10, 20};
  readv(fd, parts, 2);
  ftruncate(fd, 100);
  fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
  fcntl(fd, F_SETLK, &lock);
  fcntl(fd, F_GETLK, &lock);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_GETFD);
  fcntl(fd, F_GETFL);
  flock(fd, LOCK_EX | LOCK_NB);
  fchmod(fd, 04600);
  struct timespec times[2] = {{1000000000, 5}, {0, UTIME_OMIT}};
  futimens(fd, times);
  posix_fadvise(fd, 0, 100, POSIX_FADV_DONTNEED);
  fsetxattr(fd, "user.a", "value", 5, XATTR_CREATE);
  close(fcntl(fd, F_DUPFD_CLOEXEC, 10));
  close(fd);
  symlink("file", "link"), readlink("link", text, sizeof text), link("file", "other"), rename("other", "third");
  mkdir("folder", 0700), rmdir("folder"), mkfifo("fifo", 0600), access("file", R_OK | W_OK);
  unlinkat(AT_FDCWD, "third", 0), unlink("missing"), chdir("missing");
  open("missing", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  open((const char*)0xffffffff81000000, O_RDONLY);  // the kernel's: nobody may show what is there
  open((const char*)0xffff888000001000, O_RDONLY);
}

static void memory(void) {
  char* at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(at, 4096, PROT_READ);
  madvise(at, 8192, MADV_DONTNEED);
  msync(at, 4096, MS_ASYNC);
  at = mremap(at, 8192, 4096, MREMAP_MAYMOVE);
  munmap(at, 4096);
  close(memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  write(1, (void*)16, 3);
}

static void nothing(int signal) { (void)signal; }

static void signals(void) {
  struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART | SA_NODEFER};
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN + 1);
  sigaddset(&action.sa_mask, SIGINT);
  sigaction(SIGUSR2, &action, NULL);
  kill(getpid(), SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGUSR1);
  sigpending(&set);
  siginfo_t info;
  struct timespec soon = {0, 1000};
  sigtimedwait(&set, &info, &soon);
  close(signalfd(-1, &set, SFD_NONBLOCK));
  struct itimerval timer = {{0, 0}, {100, 5}};
  setitimer(ITIMER_REAL, &timer, NULL);
  alarm(0);
}

static void waiting(void) {
  int ends[2];
  pipe2(ends, O_CLOEXEC);
  struct pollfd polled[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
  poll(polled, 2, 0);
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  struct timeval zero = {0, 0};
  select(ends[0] + 1, &in, NULL, NULL, &zero);
  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 77};
  epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event);
  write(ends[1], "x", 1);
  epoll_wait(set, &event, 1, 0);
  close(eventfd(3, EFD_NONBLOCK));
  close(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  int watch = inotify_init1(IN_NONBLOCK);
  inotify_add_watch(watch, ".", IN_CREATE | IN_MODIFY);
  close(watch);
}

static void sockets(void) {
  int pair[2];
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
  char data[16], control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {"msg", 3};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* first = CMSG_FIRSTHDR(&message);
  first->cmsg_level = SOL_SOCKET, first->cmsg_type = SCM_RIGHTS, first->cmsg_len = CMSG_LEN(sizeof(int));
  sendmsg(pair[0], &message, MSG_NOSIGNAL);
  part = (struct iovec){data, sizeof data};
  recvmsg(pair[1], &message, MSG_DONTWAIT);
  recv(pair[1], data, sizeof data, MSG_DONTWAIT);
  int size = 4096, error;
  socklen_t length = sizeof error;
  setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length);
  struct sockaddr_un name = {AF_UNIX, "address"};
  int server = socket(AF_UNIX, SOCK_DGRAM, 0);
  bind(server, (struct sockaddr*)&name, sizeof name);
  sendto(pair[0], "x", 1, 0, (struct sockaddr*)&name, sizeof name);
  length = sizeof name;
  getsockname(server, (struct sockaddr*)&name, &length);
  shutdown(pair[0], SHUT_RDWR);
}

static void processes(void) {
  struct rusage usage;
  struct rlimit limit;
  int status;
  if (fork() == 0) _exit(7);
  wait4(-1, &status, 0, &usage);
  getrlimit(RLIMIT_NOFILE, &limit), setrlimit(RLIMIT_NOFILE, &limit);
  prctl(PR_SET_NAME, "renamed"), prctl(PR_GET_DUMPABLE), prctl(PR_SET_PDEATHSIG, SIGHUP);
  sched_yield(), getpriority(PRIO_PROCESS, 0), umask(027), setpgid(0, 0);
  syscall(SYS_futex, &status, 133, 1, 1, &status, 0);
  syscall(400, 1, 2, 3, 4, 5, 6);
}

int main(void) {
  files(), memory(), signals(), waiting(), sockets(), processes();
  return 3;
}
