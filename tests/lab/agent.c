// The lab's hands inside L1: runs commands, takes files in and hands files out, over TCP.
//
// Built with `gcc -static -Os`, started by L1's init as process 1. One connection is one task, served by a forked
// child; the listener does nothing but accept and reap. Both sides speak frames: a type byte, a little-endian u32
// length, that many bytes. The peer of this file is wire.py.
//
//   agent speaks first   'h' hello
//   run a command        'a' one argument (repeated), 'e' NAME=value (repeated), 'd' directory, then 'x'
//     while it runs      in: 'i' bytes for stdin, empty = end of file; 's' signal number (u32)
//                        out: 'o' stdout, 'r' stderr, at last 'q' exit status (u32; 128 + signal if killed)
//   put a file           'p' mode (u32) and path, then 'i' frames up to an empty one; answer 'q', after 'r' if it failed
//   get a file           'g' path; answer 'o' frames, then 'q'
//   power off            'z'
//
// A connection that drops kills the process group of its command: no test leaves a process behind by dying. A command
// that ends leaves its background children alone: that is how a test starts a server.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMaxFrame = 1 << 20, kMaxStrings = 1024, kChunk = 64 << 10, kGraceMs = 1000 };

static char frame[kMaxFrame + 1];
static int conn;

// ---- frames -------------------------------------------------------------------------------------------------------

static int write_all(int fd, const void* from, size_t n) {
  for (const char* p = from; n > 0;) {
    ssize_t did = write(fd, p, n);
    if (did < 0 && errno == EINTR) continue;
    if (did <= 0) return -1;
    p += did;
    n -= (size_t)did;
  }
  return 0;
}

static int read_all(int fd, void* to, size_t n) {
  for (char* p = to; n > 0;) {
    ssize_t did = read(fd, p, n);
    if (did < 0 && errno == EINTR) continue;
    if (did <= 0) return -1;
    p += did;
    n -= (size_t)did;
  }
  return 0;
}

static int send_frame(char type, const void* body, uint32_t n) {
  char head[5] = {type};
  memcpy(head + 1, &n, 4);
  return write_all(conn, head, 5) || write_all(conn, body, n) ? -1 : 0;
}

static void send_status(uint32_t status) { send_frame('q', &status, 4); }

// Reads one frame into `frame` (with a NUL after it); returns its type, or 0 if the connection is over.
static char recv_frame(uint32_t* n) {
  char head[5];
  if (read_all(conn, head, 5)) return 0;
  memcpy(n, head + 1, 4);
  if (*n > kMaxFrame || read_all(conn, frame, *n)) return 0;
  frame[*n] = 0;
  return head[0];
}

static void fail(const char* what, const char* which) {
  char text[512];
  int n = snprintf(text, sizeof text, "lab agent: %s %s: %s\n", what, which, strerror(errno));
  send_frame('r', text, (uint32_t)n);
  send_status(125);
}

// ---- files --------------------------------------------------------------------------------------------------------

static void make_parents(char* path) {
  for (char* p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
    *p = 0;
    mkdir(path, 0755);
    *p = '/';
  }
}

// Written beside its place and renamed, so that a program that is running can be replaced.
static void put_file(uint32_t n) {
  uint32_t mode;
  if (n < 5) return;
  memcpy(&mode, frame, 4);
  char* path = strdup(frame + 4);
  char* part;
  if (asprintf(&part, "%s.part%d", path, getpid()) < 0) return;
  make_parents(path);
  int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int bad = fd < 0 ? errno : 0;
  for (;;) {
    if (recv_frame(&n) != 'i') {
      unlink(part);
      return;
    }
    if (n == 0) break;
    if (!bad && write_all(fd, frame, n)) bad = errno;
  }
  if (!bad && (fchmod(fd, mode) || close(fd) || rename(part, path))) bad = errno;
  if (!bad) return send_status(0);
  unlink(part);
  errno = bad;
  fail("put", path);
}

static void get_file(void) {
  char* path = strdup(frame);
  int fd = open(path, O_RDONLY);
  if (fd < 0) return fail("get", path);
  ssize_t n;
  while ((n = read(fd, frame, kChunk)) > 0)
    if (send_frame('o', frame, (uint32_t)n)) return;
  if (n < 0) return fail("get", path);
  send_status(0);
}

// ---- commands -----------------------------------------------------------------------------------------------------

static const char* args[kMaxStrings + 1];
static int arg_count;

static pid_t spawn(int in, int out, int err, const char* dir) {
  pid_t child = fork();
  if (child) return child;
  setsid();
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  if (!dir || chdir(dir) == 0) execvp(args[0], (char**)args);
  dprintf(2, "lab agent: %s: %s\n", dir && errno == ENOENT && access(dir, F_OK) ? dir : args[0], strerror(errno));
  _exit(errno == ENOENT ? 127 : 126);
}

// The peer went away: ask the whole group to end, give it a moment, then make it.
static void kill_group(pid_t child) {
  kill(-child, SIGTERM);
  for (int waited = 0; waited < kGraceMs && waitpid(child, NULL, WNOHANG) == 0; waited += 20) usleep(20000);
  kill(-child, SIGKILL);
}

// Moves what there is from a pipe to the peer. Returns 0 at the pipe's end, -1 if the peer is gone.
static int forward(int fd, char type) {
  ssize_t n = read(fd, frame, kChunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return 1;
  if (n <= 0) return 0;
  return send_frame(type, frame, (uint32_t)n) ? -1 : 1;
}

struct Stdin {  // bytes the command has not taken yet; no more frames are read meanwhile
  int fd;
  char* bytes;
  size_t at, end;
};

static void feed(struct Stdin* in) {
  ssize_t n = write(in->fd, in->bytes + in->at, in->end - in->at);
  if (n > 0) in->at += (size_t)n;
  if (n < 0 && errno != EAGAIN && errno != EINTR) in->at = in->end;  // it does not read any more: drop
}

// Returns 0 if the connection is over.
static int take_frame(struct Stdin* in, pid_t child) {
  uint32_t n, signal_number;
  char type = recv_frame(&n);
  if (type == 'i' && in->fd >= 0) {
    if (n == 0) {
      close(in->fd);
      in->fd = -1;
    } else {
      memcpy(in->bytes, frame, n);
      in->at = 0;
      in->end = n;
    }
  } else if (type == 's' && n == 4) {
    memcpy(&signal_number, frame, 4);
    kill(-child, (int)signal_number);
  }
  return type != 0;
}

static void serve_command(const char* dir) {
  int in[2], out[2], err[2], status = 0, waited = 0;
  if (arg_count == 0 || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) return;
  struct Stdin feedable = {in[1], malloc(kMaxFrame), 0, 0};
  pid_t child = spawn(in[0], out[1], err[1], dir);
  close(in[0]), close(out[1]), close(err[1]);
  fcntl(in[1], F_SETFL, O_NONBLOCK), fcntl(out[0], F_SETFL, O_NONBLOCK), fcntl(err[0], F_SETFL, O_NONBLOCK);
  int outs[2] = {out[0], err[0]};
  for (;;) {
    int busy = feedable.at < feedable.end;
    struct pollfd p[4] = {{conn, (short)((busy ? 0 : POLLIN) | POLLRDHUP), 0},
                          {outs[0], POLLIN, 0},
                          {outs[1], POLLIN, 0},
                          {busy ? feedable.fd : -1, POLLOUT, 0}};
    int closed = outs[0] < 0 && outs[1] < 0;  // else the timeout notices an end whose pipes a grandchild still holds
    int ready = poll(p, 4, waited ? 0 : closed ? 1 : 20);
    if (p[0].revents & (POLLRDHUP | POLLHUP | POLLERR)) return kill_group(child);
    if ((p[0].revents & POLLIN) && !take_frame(&feedable, child)) return kill_group(child);
    if (p[3].revents) feed(&feedable);
    int moved = 0;
    for (int i = 0; i < 2; i++) {
      if (!p[1 + i].revents) continue;
      int r = forward(outs[i], i ? 'r' : 'o');
      if (r < 0) return kill_group(child);
      if (r == 0) close(outs[i]), outs[i] = -1;
      moved = 1;
    }
    if (waited && (ready == 0 || !moved)) break;
    if (!waited && waitpid(child, &status, WNOHANG) == child) waited = 1;
  }
  send_status(WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status));
}

// ---- connections --------------------------------------------------------------------------------------------------

static void serve(void) {
  uint32_t n;
  char* dir = NULL;
  send_frame('h', "", 0);
  for (;;) switch (recv_frame(&n)) {
      case 'a':
        if (arg_count < kMaxStrings) args[arg_count++] = strdup(frame);
        break;
      case 'e': putenv(strdup(frame)); break;
      case 'd': dir = strdup(frame); break;
      case 'x': return serve_command(dir);
      case 'p': return put_file(n);
      case 'g': return get_file();
      case 'z':
        send_status(0);
        sync();
        reboot(RB_POWER_OFF);
        return;
      default: return;
    }
}

static void reap(int unused) {
  (void)unused;
  int saved = errno;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
  errno = saved;
}

int main(int argc, char** argv) {
  int one = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "6999"))};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) || listen(listener, 64)) {
    perror("lab agent: listen");
    return 1;
  }
  struct sigaction act = {.sa_handler = reap, .sa_flags = SA_RESTART};
  sigaction(SIGCHLD, &act, NULL);
  signal(SIGPIPE, SIG_IGN);
  for (;;) {
    conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0) continue;
    setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fork() == 0) {
      signal(SIGCHLD, SIG_DFL);
      close(listener);
      serve();
      shutdown(conn, SHUT_WR);
      _exit(0);
    }
    close(conn);
  }
}
