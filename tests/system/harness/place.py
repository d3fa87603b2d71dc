"""Where guests run: on this host if its KVM will do, else in the lab. Tests do not see the difference.

`python3 -m harness.place up|down` is the ctest fixture: it brings one lab up for a whole ctest run, and several where
RINGSIDE_PLACE_NUMBER says which. A test started by hand attaches to the first if it is up, and has a lab of its own for as
long as it lives if it is not.
RINGSIDE_PLACE=host|lab decides instead of `ringside doctor`; RINGSIDE_LAB_EMULATOR names the emulator.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tests/lab"))

import labapi  # noqa: E402
import machine  # noqa: E402

EMULATOR = os.environ.get("RINGSIDE_LAB_EMULATOR", "qemu")
KVM_OF = {"qemu": "kvm-amd", "bochs": "kvm-intel"}
LIFETIME = int(os.environ.get("RINGSIDE_LAB_LIFETIME", "3600"))  # seconds, after which a lab ends by itself


def ringside() -> Path:
    """The program under test."""
    path = Path(os.environ.get("RINGSIDE_BINARY", TOP / "build-dev/bin/ringside"))
    if not path.exists():
        raise SystemExit(f"{path} is not built; ./dev build, or set RINGSIDE_BINARY")
    return path.absolute()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class Host:
    """This machine."""

    name = "host"
    slowness = 1.0  # what patience is multiplied by

    def put(self, path: Path) -> str:
        return str(path)

    def program(self) -> list[str]:
        return [str(ringside())]

    def popen(self, argv: list[str], **options) -> subprocess.Popen:
        return subprocess.Popen(argv, **options)

    def listen(self) -> tuple[str, tuple[str, int]]:
        """What to give --gdb, and where that is reached from here."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        return f"127.0.0.1:{port}", ("127.0.0.1", port)


class InLab:
    """An emulated machine with a real KVM."""

    slowness = 4.0

    def __init__(self, lab: labapi.Lab) -> None:
        self.lab = lab
        self.name = f"lab {EMULATOR} {KVM_OF.get(EMULATOR, '')}".strip()
        self._ports = itertools.cycle(machine.PORTS)
        for _ in range(os.getpid() % len(machine.PORTS)):
            next(self._ports)
        threading.Thread(target=self._nudge, daemon=True).start()

    def _nudge(self) -> None:
        """L1 on QEMU now and then misses its own timer while a guest's CPU spins, once in some thirty boots of a guest
        with 16 CPUs: then nothing goes on in it, the guest's other CPUs neither, until some other interrupt comes."""
        address = ("127.0.0.1", self.lab.port(machine.AGENT_PORT))
        while True:
            time.sleep(1)
            try:
                socket.create_connection(address, 1).close()
            except OSError:
                pass  # it ends, or is just busy

    @functools.cache
    def put(self, path: Path) -> str:
        there = f"/files/{digest(path)}/{path.name}"
        if self.lab.exec(["test", "-e", there]).returncode:
            self.lab.put(path, there)
        return there

    @functools.cache
    def program(self) -> list[str]:
        there = f"/files/{digest(ringside())}/ringside"
        if self.lab.exec(["test", "-e", there]).returncode:
            self.lab.put(ringside(), there, program=True)
        return [there]

    def popen(self, argv: list[str], **options) -> subprocess.Popen:
        return self.lab.popen(argv, **options)

    def listen(self) -> tuple[str, tuple[str, int]]:
        port = next(self._ports)
        return f"0.0.0.0:{port}", ("127.0.0.1", self.lab.port(port))


def wanted() -> str:
    """host or lab."""
    asked = os.environ.get("RINGSIDE_PLACE")
    if asked in ("host", "lab"):
        return asked
    try:
        done = subprocess.run([ringside(), "doctor"], capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        return "host" if done.returncode == 0 else "lab"
    except subprocess.TimeoutExpired:
        return "lab"


def shared_name() -> str:
    """One lab per build directory, emulator and place."""
    number = os.environ.get("RINGSIDE_PLACE_NUMBER", "1")
    return "system-" + hashlib.sha256(f"{ringside().parent} {EMULATOR} {number}".encode()).hexdigest()[:10]


def boot_lab(name: str | None, tied: bool) -> labapi.Lab:
    lab = labapi.Lab.up(name, emulator=EMULATOR, lifetime=LIFETIME, tied=tied)
    lab.exec("echo 1 >/proc/sys/vm/overcommit_memory")  # a guest may have more memory than L1, if it does not use it
    return lab


@functools.cache
def the_place() -> Host | InLab:
    if wanted() == "host":
        place: Host | InLab = Host()
    else:
        named = os.environ.get("RINGSIDE_LAB", shared_name())
        try:
            lab = labapi.Lab.attach(named)
        except labapi.LabError:
            lab = boot_lab(None, tied=True)
            atexit.register(lab.down)
        place = InLab(lab)
    print(f"place: {place.name}", flush=True)
    return place


def fixture_up() -> int:
    from harness import kernels
    if wanted() == "host":
        print("place: host")
        return 0
    name = shared_name()
    try:
        labapi.Lab.attach(name).down()  # left over, perhaps with an older L1
    except labapi.LabError:
        pass
    place = InLab(boot_lab(name, tied=False))
    place.program()
    for suite in kernels.SUITES:
        place.put(kernels.get(suite).vmlinuz)
    print(f"place: {place.name}, up after {place.lab.machine.state['boot_seconds']} s")
    return 0


def fixture_down() -> int:
    try:
        labapi.Lab.attach(shared_name()).down()
    except labapi.LabError:
        pass
    return 0


if __name__ == "__main__":
    sys.exit({"up": fixture_up, "down": fixture_down}[sys.argv[1]]())
