"""Runs one command in L1 with its streams, signals and exit status joined to this process's.

One loop waits for everything: stdin, the connection in both directions, signals, the deadline. Nothing in it waits for
one thing alone, or two sides that both want to send first would stand still.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import struct
import threading
import time
from collections.abc import Iterator

from cache import LabError
from wire import CHUNK, Channel, Gone, status_of

GRACE_SECONDS = 3.0
TIMED_OUT = 124
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@contextlib.contextmanager
def signals_as_bytes() -> Iterator[int]:
    """While entered, signals that mean "end" become bytes in the pipe it gives, to be waited for with the rest."""
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    old = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            old[number] = signal.signal(number, lambda n, _: os.write(write_fd, bytes([n])))
    try:
        yield read_fd
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(read_fd)
        os.close(write_fd)


class _Run:
    def __init__(self, channel: Channel, ready: selectors.BaseSelector, stdin: int | None, out: int, err: int,
                 timeout: float | None) -> None:
        self.channel, self.ready, self.stdin, self.out, self.err = channel, ready, stdin, out, err
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.ended_by = 0  # the status to return once the command is gone, after a signal or the timeout
        self.unsent = b""
        channel.socket.setblocking(False)
        ready.register(channel.socket, _READ)
        self.plain_file = False
        if stdin is not None:
            try:
                ready.register(stdin, _READ)
                ready.unregister(stdin)
            except PermissionError:  # a plain file is always ready, and epoll refuses to say so
                self.plain_file = True

    def queue(self, kind: str, body: bytes = b"") -> None:
        self.unsent += kind.encode() + struct.pack("<I", len(body)) + body

    def end(self, number: int, status: int) -> bool:
        """Asks the command to end; the second time there is nothing left to ask, and it returns False."""
        if self.ended_by:
            return False
        self.ended_by, self.deadline = status, time.monotonic() + GRACE_SECONDS
        self.queue("s", struct.pack("<I", number))
        return True

    def wait(self) -> set[int]:
        """What can be done now: the numbers of descriptors to read from, after having sent what could be sent."""
        want_stdin = self.stdin is not None and not self.unsent
        self.ready.modify(self.channel.socket, _READ | (_WRITE if self.unsent else 0))
        watch_stdin = want_stdin and not self.plain_file
        if watch_stdin:
            self.ready.register(self.stdin, _READ)
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        events = self.ready.select(0 if want_stdin and self.plain_file else left)
        if watch_stdin:
            self.ready.unregister(self.stdin)
        if any(mask & _WRITE for _, mask in events):
            self._send()
        found = {key.fd for key, mask in events if mask & _READ}
        return found | {self.stdin} if want_stdin and self.plain_file else found

    def _send(self) -> None:
        try:
            self.unsent = self.unsent[self.channel.socket.send(self.unsent):]
        except BlockingIOError:
            pass
        except OSError as e:
            raise Gone(f"the lab does not take data any more: {e}") from e

    def take_stdin(self) -> None:
        data = os.read(self.stdin, CHUNK)
        self.queue("i", data)
        if not data:
            self.stdin = None

    def take_frames(self) -> int | None:
        """Writes what came; returns the status if that came, too."""
        self.channel.fill()
        while frame := self.channel.try_frame():
            kind, body = frame
            if kind == "q":
                return self.ended_by or status_of(body)
            _write(self.out if kind == "o" else self.err, body)
        return None


def run(port: int, argv: list[str], *, stdin: int | None = None, out: int = 1, err: int = 2,
        env: dict[str, str] | None = None, directory: str | None = None, timeout: float | None = None) -> int:
    """Runs a command and returns its status: 124 if it took too long, 128 + n if signal n ended either side."""
    if not argv:
        raise LabError("no command given")
    with Channel(port) as channel, signals_as_bytes() as signals, selectors.DefaultSelector() as ready:
        task = _Run(channel, ready, stdin, out, err, timeout)
        ready.register(signals, _READ)
        for a in argv:
            task.queue("a", os.fsencode(a))
        for name, value in (env or {}).items():
            task.queue("e", os.fsencode(f"{name}={value}"))
        if directory:
            task.queue("d", os.fsencode(directory))
        task.queue("x")
        if stdin is None:
            task.queue("i")
        while True:
            events = task.wait()
            # Leaving drops the connection, and the agent then kills the command's group.
            if task.deadline is not None and time.monotonic() >= task.deadline:
                if not task.end(signal.SIGTERM, TIMED_OUT):
                    return task.ended_by
            if signals in events:
                number = os.read(signals, 1)[0]
                if not task.end(number, 128 + number):
                    return task.ended_by
            if task.stdin in events:
                task.take_stdin()
            if channel.socket.fileno() in events:
                status = task.take_frames()
                if status is not None:
                    return status


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]
