"""The host's side of agent.c: one connection runs one command, or moves one file.

The frames are described in agent.c. Everything here blocks; callers that want several things at once use several
connections.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import struct
import time
from pathlib import Path
from typing import BinaryIO

from cache import LabError

CHUNK = 64 << 10
GRACE_SECONDS = 3.0


class Gone(LabError):
    """The connection ended before the answer."""


class Channel:
    """A connection that the agent has greeted."""

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        # The user-mode network accepts before L1 does, so only the greeting proves that somebody is there.
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pending = b""
            if self.receive()[0] != "h":
                raise Gone("this is not the lab's agent")
        except OSError as e:
            raise Gone(f"the lab's agent does not answer: {e}") from e
        self.socket.settimeout(None)

    def send(self, kind: str, body: bytes = b"") -> None:
        try:
            self.socket.sendall(kind.encode() + struct.pack("<I", len(body)) + body)
        except OSError as e:
            raise Gone(f"the lab does not take data any more: {e}") from e

    def try_frame(self) -> tuple[str, bytes] | None:
        """One frame, if it has come in completely."""
        if len(self.pending) < 5:
            return None
        size = 5 + struct.unpack("<I", self.pending[1:5])[0]
        if len(self.pending) < size:
            return None
        frame = chr(self.pending[0]), self.pending[5:size]
        self.pending = self.pending[size:]
        return frame

    def fill(self) -> None:
        """Waits for some bytes."""
        try:
            data = self.socket.recv(256 << 10)
        except OSError as e:
            raise Gone(f"the lab's agent does not answer: {e}") from e
        if not data:
            raise Gone("the lab closed the connection")
        self.pending += data

    def receive(self) -> tuple[str, bytes]:
        while (frame := self.try_frame()) is None:
            self.fill()
        return frame

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _status(body: bytes) -> int:
    return struct.unpack("<I", body)[0]


def ping(port: int, timeout: float) -> bool:
    try:
        Channel(port, timeout).close()
        return True
    except LabError:
        return False


def put(port: int, source: Path, destination: str, mode: int | None = None) -> None:
    with Channel(port) as channel, open(source, "rb") as f:
        if mode is None:
            mode = os.fstat(f.fileno()).st_mode & 0o7777
        channel.send("p", struct.pack("<I", mode) + os.fsencode(destination))
        while data := f.read(CHUNK):
            channel.send("i", data)
        channel.send("i")
        _answer(channel, None)


def get(port: int, source: str, destination: Path) -> None:
    part = destination.with_name(f"{destination.name}.part{os.getpid()}")
    try:
        with Channel(port) as channel, open(part, "wb") as f:
            channel.send("g", os.fsencode(source))
            _answer(channel, f)
        part.rename(destination)
    finally:
        part.unlink(missing_ok=True)


def power_off(port: int) -> None:
    try:
        with Channel(port, 3.0) as channel:
            channel.send("z")
            channel.socket.settimeout(3.0)
            channel.receive()
    except LabError:
        pass


def _answer(channel: Channel, out: BinaryIO | None) -> None:
    complaint = b""
    while True:
        kind, body = channel.receive()
        if kind == "o" and out:
            out.write(body)
        elif kind == "r":
            complaint += body
        elif kind == "q":
            if _status(body):
                raise LabError(complaint.decode(errors="replace").strip())
            return


class Signals:
    """While entered, SIGINT and SIGTERM become bytes in a pipe, so that they can be waited for with the rest."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.old: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.old[number] = signal.signal(number, lambda n, _: os.write(self.write_fd, bytes([n])))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)
        os.close(self.read_fd)
        os.close(self.write_fd)


def run(port: int, argv: list[str], *, stdin: int | None = None, out: int = 1, err: int = 2,
        env: dict[str, str] | None = None, directory: str | None = None, timeout: float | None = None) -> int:
    """Runs a command in L1, its streams joined to ours, and returns its status; 124 if it took too long."""
    deadline = None if timeout is None else time.monotonic() + timeout
    stopping = 0  # the status to return once the command is gone, after a signal or the timeout
    with Channel(port) as channel, Signals() as signals, selectors.DefaultSelector() as ready:
        for a in argv:
            channel.send("a", os.fsencode(a))
        for name, value in (env or {}).items():
            channel.send("e", os.fsencode(f"{name}={value}"))
        if directory:
            channel.send("d", os.fsencode(directory))
        channel.send("x")
        if stdin is None:
            channel.send("i")
        else:
            try:
                ready.register(stdin, selectors.EVENT_READ)
            except PermissionError:  # a plain file is always ready, and epoll refuses to say so
                _send_file(channel, stdin)
        ready.register(channel.socket, selectors.EVENT_READ)
        ready.register(signals.read_fd, selectors.EVENT_READ)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            events = {key.fd for key, _ in ready.select(left)}
            if deadline is not None and time.monotonic() >= deadline:
                if stopping:
                    return stopping  # asked to end, it did not: dropping the connection kills it
                stopping, deadline = 124, time.monotonic() + GRACE_SECONDS
                channel.send("s", struct.pack("<I", signal.SIGTERM))
            if signals.read_fd in events:
                number = os.read(signals.read_fd, 1)[0]
                if stopping:
                    return stopping
                stopping, deadline = 128 + number, time.monotonic() + GRACE_SECONDS
                channel.send("s", struct.pack("<I", number))
            if stdin is not None and stdin in events:
                data = os.read(stdin, CHUNK)
                channel.send("i", data)
                if not data:
                    ready.unregister(stdin)
            if channel.socket.fileno() in events:
                channel.fill()
                while frame := channel.try_frame():
                    kind, body = frame
                    if kind == "q":
                        return stopping or _status(body)
                    _write(out if kind == "o" else err, body)


def _send_file(channel: Channel, fd: int) -> None:
    while data := os.read(fd, CHUNK):
        channel.send("i", data)
    channel.send("i")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]
