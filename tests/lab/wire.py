"""The host's side of agent.c: the frames, and moving files. Running a command is in remote.py.

The frames are described in agent.c. One connection is one task; what wants several things at once uses several.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import BinaryIO

from cache import LabError

CHUNK = 64 << 10


class Gone(LabError):
    """The connection ended before the answer."""


class Channel:
    """A connection that the agent has greeted."""

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        # The user-mode network accepts before L1 does, so only the greeting proves that somebody is there.
        self.pending = b""
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as e:
            raise Gone(f"the lab's agent does not answer: {e}") from e
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.receive()[0] != "h":
                raise Gone("this is not the lab's agent")
            self.socket.settimeout(None)
        except BaseException:
            self.socket.close()
            raise

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
        except BlockingIOError:
            return
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


def status_of(body: bytes) -> int:
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
            if status_of(body):
                raise LabError(complaint.decode(errors="replace").strip())
            return
