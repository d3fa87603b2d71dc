"""A `ringside strace` beside a guest: its lines, while it runs and when it has ended."""

from __future__ import annotations

import signal
import subprocess

from harness.guest import Guest, Stream
from harness.place import ringside


class Strace:
    """Use it as a context, or call end(). What it prints is collected from the beginning."""

    def __init__(self, guest: Guest, *options: str) -> None:
        self.guest = guest
        self.argv = [str(ringside()), "strace", guest.target, *options]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self._out, self._err = Stream(self.process.stdout), Stream(self.process.stderr)

    @property
    def text(self) -> str:
        return self._out.text

    @property
    def stderr(self) -> str:
        return self._err.text

    def wait_for(self, pattern: str, timeout: float = 30, start: int = 0):
        match = self._out.find(pattern, self.guest.patience(timeout), start)
        if not match:
            raise AssertionError(f"{self.argv} does not show {pattern!r}:\n{self.text[-4000:]}\n{self.stderr}")
        return match

    def interrupt(self, timeout: float = 30) -> str:
        """^C, and all that it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.finish(timeout)

    def finish(self, timeout: float = 30) -> str:
        try:
            self.process.wait(self.guest.patience(timeout))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.argv} does not end:\n{self.text[-2000:]}\n{self.stderr}") from None
        self._out.join(10)
        self._err.join(10)
        return self.text

    def __enter__(self) -> "Strace":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self._out, self._err):
            pipe.join(5)
        self.process.stdout.close()
        self.process.stderr.close()
