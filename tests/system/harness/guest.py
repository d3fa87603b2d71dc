"""One ringside with its guest: what its console shows, what it says on stderr, how it ends."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import threading
import time
import weakref
from pathlib import Path

from harness import kernels
from harness.place import the_place

QUIET = "console=ttyS0 quiet panic=-1"
# Seconds to wait for a guest that spins with interrupts off, where one of its own takes an emulator minutes.
SPINNING = 300
# An init that shows that it lives, and opens a file each time.
TICKING = """i=0
while :; do
  i=$((i+1))
  echo tick $i
  cat /etc/greeting >/dev/null
  usleep 100000
done"""
_living: "weakref.WeakSet[Guest]" = weakref.WeakSet()


class Stream:
    """Collects what a pipe brings, and wakes who waits for some of it."""

    def __init__(self, pipe) -> None:
        self._pipe = pipe
        self._text = ""
        self._closed = False
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        while data := os.read(self._pipe.fileno(), 65536):
            with self._more:
                self._text += data.decode(errors="replace")
                self._more.notify_all()
        with self._more:
            self._closed = True
            self._more.notify_all()

    @property
    def text(self) -> str:
        with self._more:
            return self._text

    def find(self, pattern: str, timeout: float, start: int = 0) -> re.Match[str] | None:
        """The first match after `start`, waiting for it; None if the time or the stream ends first."""
        regex, end = re.compile(pattern), time.monotonic() + timeout
        with self._more:
            while True:
                if match := regex.search(self._text, start):
                    return match
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    return None
                self._more.wait(left)

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)


class Guest:
    """Starts at once. Use it as a context, or call end(). `init` is a piece of sh, or a static program."""

    def __init__(self, *options: str, kernel: str | Path = "6.1", init: str | Path = "poweroff -f", append: str = "",
                 files: tuple[tuple[Path, str], ...] = (), gdb: bool = False, wait: bool = False,
                 cpus: int = 1, memory: str = "256M", raw_argv: list[str] | None = None) -> None:
        self.place = the_place()
        self.address: tuple[str, int] | None = None
        argv = [*self.place.program(), "run"]
        if raw_argv is not None:
            argv = [*self.place.program(), *raw_argv]
        else:
            image = kernels.get(kernel).vmlinuz if isinstance(kernel, str) else kernel
            initrd = kernels.initrd(init, files) if isinstance(init, str) else kernels.bare_initrd(init)
            argv += [self.place.put(image), "--initrd", self.place.put(initrd),
                     "--append", f"{QUIET} {append}".strip(), "--cpus", str(cpus), "--memory", memory]
            if gdb or wait:
                listen, self.address = self.place.listen()
                argv += ["--gdb", listen]
            if wait:
                argv.append("--wait")
            argv += options
        self.argv = argv
        self.started = time.monotonic()
        self.process = self.place.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _living.add(self)
        self._out, self._err = Stream(self.process.stdout), Stream(self.process.stderr)
        if self.address and not self._err.find(r"listening for gdb: .*\n", self.patience(30)):
            self.end()
            raise AssertionError(f"ringside does not listen: {self._err.text}")

    def patience(self, seconds: float) -> float:
        return seconds * self.place.slowness

    @property
    def target(self) -> str:
        assert self.address
        return "{}:{}".format(*self.address)

    @property
    def console(self) -> str:
        return self._out.text.replace("\r\n", "\n")

    @property
    def stderr(self) -> str:
        return self._err.text

    def wait_for(self, pattern: str, timeout: float = 30, start: int = 0) -> re.Match[str]:
        """Waits until the console shows that; `start` is a length of raw console text to look after."""
        match = self._out.find(pattern, self.patience(timeout), start)
        if not match:
            raise AssertionError(f"the console does not show {pattern!r}:\n{self._tail()}")
        return match

    @property
    def shown(self) -> int:
        """How much the console has shown: a place to look from, for wait_for()."""
        return len(self._out.text)

    def console_from(self, start: int) -> str:
        """What it has shown since `shown` was that."""
        return self._out.text[start:]

    def next(self, pattern: str, timeout: float = 30) -> re.Match[str]:
        """Waits until the console shows that after all it shows by now."""
        return self.wait_for(pattern, timeout, start=len(self._out.text))

    def shows_nothing_new(self, seconds: float) -> bool:
        before = len(self._out.text)
        time.sleep(seconds)
        return len(self._out.text) == before

    def wait_for_stderr(self, pattern: str, timeout: float = 30) -> re.Match[str]:
        match = self._err.find(pattern, self.patience(timeout))
        if not match:
            raise AssertionError(f"stderr does not show {pattern!r}:\n{self._tail()}")
        return match

    def type(self, text: str) -> None:
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def status(self, timeout: float = 30) -> int:
        """Waits for the end of ringside and returns its exit status."""
        try:
            self.process.wait(self.patience(timeout))
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"ringside does not end:\n{self._tail()}") from None
        self._out.join(10)
        self._err.join(10)
        return self.process.returncode

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def _tail(self) -> str:
        return (f"$ {' '.join(self.argv)}\n--- console:\n{self.console[-3000:]}\n--- stderr:\n{self.stderr[-3000:]}\n"
                f"--- after {time.monotonic() - self.started:.1f} s, status {self.process.poll()}")

    def end(self) -> None:
        """Ends it, however it feels about that."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                if pipe is self.process.stdin:
                    pipe.close()
            except OSError:
                pass
        self._out.join(5)
        self._err.join(5)
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self) -> "Guest":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@atexit.register
def _end_all() -> None:
    for guest in list(_living):
        if guest.process.poll() is None:
            guest.end()
