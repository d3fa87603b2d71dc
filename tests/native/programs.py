"""The programs that are run under both tracers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_TREE = {"one.txt": "one\ntwo\nthree\n", "two.txt": "z\ny\nx\n", "empty": "", "hello.c": """#include <stdio.h>
int main(void) { puts("hello"); return 0; }
"""}


@dataclass
class Program:
    name: str
    command: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)  # for both tracers
    luck: str = "(?!)"  # lines whose number is a matter of luck: not compared

    def prepare(self, place: Path) -> None:
        for name, text in _TREE.items():
            (place / name).write_text(text)

    def argv(self, place: Path) -> list[str]:
        return [word.replace("@", str(place)) for word in self.command]


def shell(name: str, script: str, *options: str) -> Program:
    return Program(name, ["/bin/dash", "-c", script], list(options))


def python(name: str, script: str, *options: str) -> Program:
    return Program(name, ["/usr/bin/python3", "-S", "-E", "-I", "-c", script], list(options))


COREUTILS = [
    Program("ls", ["/bin/ls", "-l", "@"]), Program("ls fds", ["/bin/ls", "-l", "@"], ["-y"]),
    Program("cat", ["/bin/cat", "one.txt", "two.txt", "missing"]), Program("cp", ["/bin/cp", "-a", "one.txt", "copy"]),
    Program("stat", ["/usr/bin/stat", "one.txt"]), Program("stat -f", ["/usr/bin/stat", "-f", "/"]),
    Program("touch", ["/usr/bin/touch", "-d", "2001-02-03 04:05:06.7", "one.txt", "new"]),
    Program("mkdir", ["/bin/mkdir", "-p", "a/b/c"]), Program("rm", ["/bin/rm", "-rf", "one.txt", "@/two.txt"]),
    Program("mv", ["/bin/mv", "one.txt", "moved"]), Program("ln", ["/bin/ln", "-s", "one.txt", "link"]),
    Program("chmod", ["/bin/chmod", "u+s,o-r", "one.txt"]), Program("chown", ["/bin/chown", "1:2", "one.txt"]),
    Program("mkfifo", ["/usr/bin/mkfifo", "fifo"]), Program("readlink", ["/bin/readlink", "-f", "/proc/self/exe"]),
    Program("dd", ["/bin/dd", "if=/dev/zero", "of=zeros", "bs=1000", "count=3", "seek=1", "status=none"]),
    Program("truncate", ["/usr/bin/truncate", "-s", "12345", "one.txt"]), Program("sort", ["/usr/bin/sort", "two.txt"]),
    Program("date", ["/bin/date", "-u"]), Program("sleep", ["/bin/sleep", "0.01"]), Program("id", ["/usr/bin/id"]),
    Program("uname", ["/bin/uname", "-a"]), Program("df", ["/bin/df", "/"]), Program("env", ["/usr/bin/env", "-i", "/bin/true"]),
    Program("nice", ["/usr/bin/nice", "-n", "3", "/bin/true"]), Program("timeout", ["/usr/bin/timeout", "5", "/bin/true"]),
    Program("tail", ["/usr/bin/tail", "-n", "1", "one.txt"]), Program("wc", ["/usr/bin/wc", "one.txt", "two.txt"]),
    Program("hexadecimal", ["/bin/cat", "/bin/true"], ["-x", "-s", "20"]), Program("all hexadecimal", ["/bin/cat", "one.txt"], ["-xx"]),
    Program("long strings", ["/bin/cat", "one.txt"], ["-s", "1000"]), Program("find", ["/usr/bin/find", "@", "-name", "*.txt"]),
    Program("tar", ["/bin/tar", "cf", "t.tar", "one.txt", "two.txt"]), Program("stty", ["/bin/stty", "-a"]),
]

SHELL = [
    shell("pipe", "echo hello | tr a-z A-Z | cat"), shell("redirect", "exec 3>out; echo x >&3; cat <one.txt >>out 2>&1; exec 3>&-"),
    shell("wait", "false & wait $!; exit 7"), shell("signals", "trap 'echo usr1' USR1; kill -USR1 $$; trap '' TERM; kill -TERM $$"),
    shell("killed", "sh -c 'kill -KILL $$'; sh -c 'kill -SEGV $$'; :"), shell("here", "cat <<X\nhere\nX\n"),
    shell("glob", "for f in *.txt; do wc -l \"$f\"; done"), shell("umask", "umask 027; : >made; cd /; pwd"),
]

PYTHON = [
    python("files", "import os; f = open('one.txt'); f.readline(); os.rename('one.txt', 'b'); os.listdir('.'); "
           "os.pipe2(os.O_CLOEXEC); os.lseek(f.fileno(), -3, 2); os.pread(f.fileno(), 10, 2)"),
    python("subprocess", "import os; p = os.fork()\nif p == 0: os._exit(3)\nos.wait4(p, 0)"),
    python("sockets", "import socket, os\na, b = socket.socketpair()\na.send(b'hello'); b.recv(10)\n"
           "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', 0)); s.listen(5)\n"
           "c = socket.socket(); c.connect(s.getsockname()); d, _ = s.accept(); c.sendall(b'x' * 100); d.recv(50); c.shutdown(1)\n"
           "d.getpeername(); d.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR); d.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
           "u = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); u.bind('sock'); v = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
           "v.sendto(b'dgram', 'sock'); u.recvfrom(100); a.sendmsg([b'ab', b'cd'], [(1, 1, (0).to_bytes(4, 'little'))]); b.recvmsg(10, 100)\n"
           "n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); n.bind((0, 0)); n.getsockname()\n"
           "i = socket.socket(socket.AF_INET6); i.bind(('::1', 0)); i.listen()"),
    python("polls", "import select, os\nr, w = os.pipe(); p = select.poll(); p.register(r, select.POLLIN); p.poll(1); os.write(w, b'x'); p.poll()\n"
           "select.select([r], [w], [], 0.001); select.select([r], [], [], 0)\ne = select.epoll(); e.register(r, select.EPOLLIN | select.EPOLLET); e.poll(1); e.modify(r, 0); e.unregister(r)"),
    python("signals", "import signal, time, os\nsignal.signal(signal.SIGALRM, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05)\n"
           "signal.pthread_sigmask(signal.SIG_BLOCK, [1, 2]); os.kill(os.getpid(), 1); signal.sigtimedwait([1], 1); signal.sigpending(); signal.getitimer(0); signal.alarm(0)"),
    python("resources", "import resource, os, time\nresource.getrlimit(7); resource.setrlimit(7, (512, 1024)); resource.getrusage(0); os.getgroups(); os.getresuid(); os.umask(18)\n"
           "os.sched_getaffinity(0); os.getpriority(0, 0); os.sched_getscheduler(0); os.sched_getparam(0); os.times(); time.clock_gettime(4); os.getpgid(0); os.getsid(0); os.uname(); os.statvfs('.')"),
    python("network", "import socket, os\ns = socket.create_server(('127.0.0.1', 0)); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
           "u.bind(('127.0.0.1', 0)); there, also = s.getsockname(), u.getsockname()\nif os.fork() == 0:\n"
           " c = socket.create_connection(there); c.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); data = b''\n"
           " while more := c.recv(1000): data += more\n"
           " d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); d.sendto(data[:20], also); os._exit(len(data) % 100)\n"
           "d, who = s.accept(); d.recv(1000); d.sendmsg([b'HTTP/1.0 200 OK\\r\\n\\r\\n', b'x' * 3000]); d.shutdown(socket.SHUT_WR); d.recv(1)\n"
           "u.recvfrom(100); os.wait()"),
    Program("threads", ["/usr/bin/python3", "-S", "-E", "-I", "-c",
                        "import threading\nt = threading.Thread(target=lambda: None); t.start(); t.join()"], luck=r"futex\("),
]

COMPILER = [Program("gcc", ["/usr/bin/gcc", "-o", "hello", "hello.c"], luck=r"getrandom\(")]

# A 32-bit program without a library needs no 32-bit compiler.
FREESTANDING_32 = ["-m32", "-nostdlib", "-static", "-ffreestanding", "-no-pie", "-fno-pie", "-fno-stack-protector"]


@dataclass
class Compiled(Program):
    """A program of tests/guest, made in the place where it runs."""

    how: list[str] = field(default_factory=lambda: ["-static"])

    def make(self, into: Path) -> Path:
        source = Path(__file__).parents[1] / "guest" / f"{self.name}.c"
        subprocess.run(["gcc", "-O1", "-w", *self.how, "-o", str(into / self.name), str(source)], check=True)
        return into / self.name

    def prepare(self, place: Path) -> None:
        super().prepare(place)
        self.make(place)


COMPAT = Compiled("compat", ["@/compat"], luck=r"write\(1, ", how=FREESTANDING_32)
GUEST = [Compiled("calls", ["@/calls"]), Compiled("calls", ["@/calls"], ["-y", "-s", "5"]), COMPAT]

SUITES = {"guest programs": GUEST, "coreutils": COREUTILS, "shell": SHELL, "python": PYTHON, "compiler": COMPILER}
