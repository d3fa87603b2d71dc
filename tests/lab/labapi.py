"""The lab for tests written in Python.

    with Lab.up() as lab:                      # boots L1, tied to this process
        lab.put("build/ringside", program=True)
        done = lab.exec(["ringside", "--version"], timeout=20)
        server = lab.popen(["ringside", ...])  # a local Popen whose end ends the command in L1
        connect(("127.0.0.1", lab.port(7000)))
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine  # noqa: E402
from cache import LabError  # noqa: E402, F401

_LAB = str(Path(__file__).resolve().parent / "lab")


class Lab:
    """One L1. Thread safety: every method may be called from any thread; each call is a connection of its own."""

    def __init__(self, name: str) -> None:
        self.machine = machine.Machine(name)
        self.name = name

    @classmethod
    def up(cls, name: str | None = None, emulator: str = "qemu", memory: int | None = None,
           forwards: dict[int, int] | None = None, lifetime: int = machine.LIFETIME, tied: bool = True) -> "Lab":
        import boot
        lab = cls(name or f"test-{os.getpid()}")
        boot.up(lab.machine, emulator, memory, forwards, lifetime, tied)
        return lab

    @classmethod
    def attach(cls, name: str) -> "Lab":
        """A lab that is up already, started by somebody else."""
        lab = cls(name)
        lab.machine.agent  # raises if it is not up
        return lab

    def exec(self, argv: list[str] | str, timeout: float | None = None, input: str | bytes | None = None,
             env: dict[str, str] | None = None, text: bool = True) -> subprocess.CompletedProcess:
        """Runs a command (a string: by sh) and collects its output. A timeout raises TimeoutExpired, as locally."""
        p = self.popen(argv, stdin=subprocess.PIPE if input is not None else None, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, env=env, text=text)
        try:
            out, err = p.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            p.terminate()
            p.communicate()
            raise
        return subprocess.CompletedProcess(argv, p.returncode, out, err)

    def popen(self, argv: list[str] | str, stdin: int | None = None, env: dict[str, str] | None = None,
              **options) -> subprocess.Popen:
        """A local process that stands for the one in L1: same streams, same exit status, killed together."""
        command = ["sh", "-c", argv] if isinstance(argv, str) else [str(a) for a in argv]
        settings = [f"--env={name}={value}" for name, value in (env or {}).items()]
        if stdin is not None:
            settings.append("--stdin")
        return subprocess.Popen([_LAB, "exec", self.name, *settings, "--", *command],
                                stdin=subprocess.DEVNULL if stdin is None else stdin, **options)

    def port(self, l1_port: int) -> int:
        return self.machine.port(l1_port)

    def put(self, source: str | Path, destination: str | None = None, program: bool = False) -> None:
        self.machine.put(source, destination, program)

    def get(self, source: str, destination: str | Path) -> None:
        self.machine.get(source, destination)

    def serial(self) -> str:
        """L1's own console so far."""
        return self.machine.serial()

    def down(self) -> None:
        self.machine.down()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
