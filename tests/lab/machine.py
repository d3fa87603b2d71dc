"""A running L1: starting the emulator, finding it again by name, ending it.

A machine is a directory in the cache with its state and its serial log. The emulator runs under timeout(1) in a
session of its own, so an upper bound of its life holds even if everybody forgets about it.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import ModuleType

import bochs
import cache
import l1image
import qemu
import wire
from cache import LabError

EMULATORS: dict[str, ModuleType] = {"qemu": qemu, "bochs": bochs}
LIFETIME = 5400
PORTS = range(7000, 7016)  # L1's ports that are always forwarded
_PR_SET_PDEATHSIG = 1


class PortTaken(LabError):
    pass


def emulator(name: str) -> ModuleType:
    if name not in EMULATORS:
        raise LabError(f"unknown emulator {name}; known: {', '.join(EMULATORS)}")
    return EMULATORS[name]


def machines_dir() -> Path:
    path = cache.root() / "machines"
    path.mkdir(exist_ok=True)
    return path


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago; all are held until the last is found, so they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def _start_time(pid: int) -> str | None:
    """When that process started, in ticks: with the pid it names a process for good."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Machine:
    def __init__(self, name: str) -> None:
        if not name or not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
            raise LabError(f"{name!r} is no name for a lab")
        self.name = name
        self.home = machines_dir() / name

    @property
    def state(self) -> dict:
        try:
            return json.loads((self.home / "state.json").read_text())
        except FileNotFoundError:
            raise LabError(f"no lab {self.name} is up") from None

    def alive(self) -> bool:
        try:
            state = self.state
        except LabError:
            return False
        return _start_time(state["pid"]) == state["started"]

    def port(self, l1_port: int) -> int:
        """The host's port that leads to that TCP port of L1."""
        if not self.alive():
            raise LabError(f"no lab {self.name} is up")
        ports = self.state["ports"]
        if str(l1_port) not in ports:
            raise LabError(f"L1's port {l1_port} is not forwarded; {PORTS[0]} to {PORTS[-1]} always are")
        return ports[str(l1_port)]

    @property
    def agent(self) -> int:
        return self.port(l1image.AGENT_PORT)

    def serial(self) -> str:
        try:
            return (self.home / "serial.log").read_text(errors="replace")
        except OSError:
            return ""

    def up(self, which: str = "qemu", memory: int | None = None, forwards: dict[int, int] | None = None,
           lifetime: int = LIFETIME, tied: bool = False) -> None:
        """Starts L1 and waits for its agent. `forwards` maps L1's ports to the host's (0: pick one). A tied machine
        dies with the process that started it."""
        module = emulator(which)
        image = l1image.prepare(module)
        with cache.locked(f"machine-{self.name}"):
            if self.alive():
                raise LabError(f"the lab {self.name} is up already")
            for attempt in range(5):
                try:
                    return self._start(module, image, memory or module.MEMORY_MIB, forwards or {}, lifetime, tied)
                except PortTaken:
                    if attempt == 4:
                        raise

    def _start(self, module: ModuleType, image: l1image.Image, memory: int, forwards: dict[int, int], lifetime: int,
               tied: bool) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        wanted = {l1image.AGENT_PORT: 0, **dict.fromkeys(PORTS, 0), **forwards}
        picked = iter(free_ports(sum(not host for host in wanted.values())))
        ports = {l1: host or next(picked) for l1, host in wanted.items()}
        argv = module.command_line(image, memory, ports, self.home)
        parent = os.getpid()

        def tie() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        began = time.monotonic()
        with open(self.home / "emulator.log", "wb") as log:
            process = subprocess.Popen(["timeout", "-k", "5", str(lifetime), *argv], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, cwd=self.home, start_new_session=True,
                                       preexec_fn=tie if tied else None)
        state = {"pid": process.pid, "started": _start_time(process.pid), "emulator": module.NAME, "memory": memory,
                 "ports": ports}
        part = self.home / "state.json.part"
        part.write_text(json.dumps(state))
        part.rename(self.home / "state.json")
        try:
            self._await_agent(process, began + module.BOOT_SECONDS)
        except BaseException:
            self.kill()
            raise
        state["boot_seconds"] = round(time.monotonic() - began, 2)
        part.write_text(json.dumps(state))
        part.rename(self.home / "state.json")

    def _await_agent(self, process: subprocess.Popen, deadline: float) -> None:
        port = self.state["ports"][str(l1image.AGENT_PORT)]
        while not wire.ping(port, 0.5):
            if process.poll() is not None:
                log = (self.home / "emulator.log").read_text(errors="replace")[-2000:].strip()
                kind = PortTaken if "host forwarding" in log else LabError
                raise kind(f"the emulator ended with {process.returncode}: {log}\n{self.serial()[-2000:]}")
            if time.monotonic() > deadline:
                raise LabError(f"L1 did not come up; the end of its console:\n{self.serial()[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends the emulator's session, then forgets the machine. The log stays until the name is used again."""
        if self.alive():
            pid = self.state["pid"]
            for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    break
                end = time.monotonic() + patience
                while self.alive() and time.monotonic() < end:
                    try:
                        os.waitpid(pid, os.WNOHANG)  # it is our child if we started it
                    except ChildProcessError:
                        pass
                    time.sleep(0.02)
        (self.home / "state.json").unlink(missing_ok=True)

    def down(self) -> None:
        with cache.locked(f"machine-{self.name}"):
            self.kill()

    def put(self, source: str | Path, destination: str | None = None, program: bool = False) -> None:
        """Copies a file, or a tree, into L1; without a destination to the same absolute path. A program brings its
        shared libraries and their loader."""
        source = Path(source).absolute()
        destination = destination or str(source)
        if not source.exists():
            raise LabError(f"{source} is not there")
        if source.is_dir():
            for path in sorted(p for p in source.rglob("*") if p.is_file()):
                wire.put(self.agent, path, f"{destination}/{path.relative_to(source)}")
            return
        wire.put(self.agent, source, destination, mode=None)
        if program:
            for library in shared_libraries(source):
                wire.put(self.agent, library, str(library))

    def get(self, source: str, destination: str | Path) -> None:
        wire.get(self.agent, source, Path(destination))


def shared_libraries(program: Path) -> list[Path]:
    """What the dynamic loader would load for it, the loader included, by the paths it would use."""
    p = subprocess.run(["ldd", program], capture_output=True, text=True)
    if "not found" in p.stdout:
        raise LabError(f"{program} misses libraries:\n{p.stdout}")
    found = []
    for line in p.stdout.splitlines():
        words = line.replace("=>", " ").split()
        found += [Path(w) for w in words if w.startswith("/")][-1:]
    return found


def all_machines() -> list[Machine]:
    return [Machine(p.name) for p in sorted(machines_dir().iterdir()) if (p / "state.json").exists()]
