"""A bare client of the remote protocol, for what gdb would never send."""

from __future__ import annotations

import re
import socket

from harness.guest import Guest


class RawClient:
    """`acks=False` leaves acknowledgements behind at once, as gdb does. A packet's body is str in Latin-1."""

    def __init__(self, guest: Guest, acks: bool = False, timeout: float = 10) -> None:
        self.socket = socket.create_connection(guest.address, guest.patience(timeout))
        self.socket.settimeout(guest.patience(timeout))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = b""
        self.acks = True
        if not acks:
            assert self.ask("QStartNoAckMode") == "OK"
            self.socket.sendall(b"+")
            self.acks = False

    @staticmethod
    def frame(body: str) -> bytes:
        data = body.encode("latin-1")
        return b"$" + data + b"#%02x" % (sum(data) & 0xFF)

    def send(self, body: str) -> None:
        self.socket.sendall(self.frame(body))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the stub closed the connection")
        self._input += data

    def receive(self) -> str:
        """The next packet's body, run lengths and escapes undone; acknowledgements are skipped."""
        while not (match := re.match(rb"[+-]*[$%]([^#]*)#([0-9a-f]{2})", self._input, re.DOTALL)):
            self._fill()
        self._input = self._input[match.end():]
        if self.acks:
            self.socket.sendall(b"+")
        body, total = match.group(1), int(match.group(2), 16)
        assert sum(body) & 0xFF == total, f"wrong checksum on {body!r}"
        return self._decode(body)

    @staticmethod
    def _decode(body: bytes) -> str:
        out = bytearray()
        i = 0
        while i < len(body):
            if body[i] == ord("*"):
                out += bytes([out[-1]]) * (body[i + 1] - 29)
                i += 2
            elif body[i] == ord("}"):
                out.append(body[i + 1] ^ 0x20)
                i += 2
            else:
                out.append(body[i])
                i += 1
        return out.decode("latin-1")

    def ask(self, body: str) -> str:
        self.send(body)
        return self.receive()

    def monitor(self, line: str) -> str:
        """A monitor command's output."""
        self.send("qRcmd," + line.encode().hex())
        text = ""
        while (reply := self.receive()) != "OK":
            if not reply.startswith("O"):
                raise AssertionError(f"monitor {line}: {reply!r}")
            text += bytes.fromhex(reply[1:]).decode(errors="replace")
        return text

    def symbol(self, name: str) -> int:
        """Where the guest's kernel has it."""
        return int(re.match(r"0x([0-9a-f]+)", self.monitor(f"sym {name}"))[1], 16)

    def attach(self) -> str:
        """The usual opening; returns the stop reply, after which the guest is held for this client."""
        self.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+")
        return self.ask("?")

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for that long."""
        if self._input.lstrip(b"+-"):
            return False
        old = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self._fill()
            return not self._input.lstrip(b"+-")
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(old)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
