"""Stock gdb, without any of our scripts: in one go (`gdb`), or kept at its prompt (`Gdb`)."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from harness import kernels
from harness.guest import Guest, Stream

import cache  # noqa: E402  (the lab's; harness.place has it on the path)

PRELUDE = ["set confirm off", "set pagination off", "set width 0", "set style enabled off", "set height 0",
           "set debuginfod enabled off", "set print thread-events off",
           "set remotetimeout 30"]  # with 2 s gdb asks again where the place is slow, and is confused by two answers
# Reading 590 MB of DWARF costs a gdb 2 s, each time; an index kept in the cache a quarter of that.
_INDEX = ["set index-cache directory {}", "set index-cache enabled on"]
_MARK = "@@ringside-test"


def program() -> str:
    return os.environ.get("RINGSIDE_GDB", "gdb")


def _command(vmlinux: Path | None, arguments: list[str]) -> list[str]:
    argv = [program(), "-nx", "-q"]
    index = cache.root() / "gdb-index"
    index.mkdir(exist_ok=True)
    for setting in [*PRELUDE, *(line.format(index) for line in _INDEX)]:
        argv += ["-iex", setting]
    return [*argv, *arguments, *([str(vmlinux)] if vmlinux else [])]


class Output(dict[str, str]):
    """What gdb printed in each section, and all of it as `text`."""

    text = ""


def gdb(guest: Guest, sections: dict[str, list[str]] | list[str], vmlinux: Path | None | bool = True,
        timeout: float = 60, attach: bool = True) -> Output:
    """Runs gdb once. Commands are a list, or lists by section names; an error in one does not stop the next."""
    if vmlinux is True:
        vmlinux = kernels.vmlinux()
    if isinstance(sections, list):
        sections = {"all": sections}
    arguments = ["-batch"]
    if attach:
        sections = {"attach": [f"target remote {guest.target}"], **sections}
    for name, commands in sections.items():
        arguments += ["-ex", f"echo \\n{_MARK} {name}\\n"]
        for command in commands:
            arguments += ["-ex", command]
    process = subprocess.Popen(_command(vmlinux or None, arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    late = ""
    try:
        text, _ = process.communicate(timeout=guest.patience(timeout))
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        late = f"\n(gdb was killed after {guest.patience(timeout):.0f} s)"
    output = Output()
    output.text = text + late
    for part in re.split(rf"^{_MARK} ", output.text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        output[name] = body
    for name in sections:
        output.setdefault(name, f"(not reached; gdb said: {output.text[-2000:]})")
    return output


class Gdb:
    """A gdb at its prompt, fed through a pipe. One command at a time; interrupt() is ^C."""

    def __init__(self, guest: Guest, vmlinux: Path | None | bool = True, attach: bool = True) -> None:
        if vmlinux is True:
            vmlinux = kernels.vmlinux()
        self.guest = guest
        self.process = subprocess.Popen(_command(vmlinux or None, []), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, bufsize=0)
        self._out = Stream(self.process.stdout)
        self._numbers = itertools.count(1)
        self._pending: tuple[int, str] | None = None
        if attach:
            self.attached = self.run(f"target remote {guest.target}")

    def start(self, command: str) -> None:
        """Types a command and does not wait for its end; finish() does."""
        assert self._pending is None, "the command before is not finished"
        mark = f"{_MARK} {next(self._numbers)}@"
        self._pending = (len(self._out.text), mark)
        self.process.stdin.write(f"{command}\necho \\n{mark}\\n\n".encode())

    def finish(self, timeout: float = 30) -> str:
        assert self._pending is not None
        start, mark = self._pending
        match = self._out.find(re.escape(mark), self.guest.patience(timeout), start)
        if not match:
            raise AssertionError(f"gdb does not come back; it said: {self._out.text[start:]}")
        self._pending = None
        return self._out.text[start:match.start()].replace("(gdb) ", "").strip()

    def run(self, command: str, timeout: float = 30) -> str:
        self.start(command)
        return self.finish(timeout)

    @property
    def busy(self) -> bool:
        """Whether the command started last is still under way."""
        assert self._pending is not None
        return self._out.find(re.escape(self._pending[1]), 0, self._pending[0]) is None

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def start_continue(self, settle: float = 0.3) -> None:
        """`continue`, and a moment for gdb to have sent it, so that interrupt() meets a running guest."""
        seen = len(self._out.text)
        self.start("continue")
        self._out.find(r"Continuing\.", self.guest.patience(10), seen)
        time.sleep(settle)

    def kill(self) -> None:
        self.process.kill()
        self._close()

    def quit(self, timeout: float = 20) -> int:
        """EOF at the prompt: gdb detaches and ends."""
        self.process.stdin.close()
        try:
            return self.process.wait(self.guest.patience(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"gdb does not quit; it said: {self._out.text[-2000:]}") from None
        finally:
            self.kill()

    def _close(self) -> None:
        self.process.wait()
        self._out.join(5)
        self.process.stdout.close()
        self.process.stdin.close()

    def __enter__(self) -> "Gdb":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
