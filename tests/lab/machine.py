"""A running L1, found by its name: its ports, its files, its end. What starts one is boot.py.

A machine is a directory in the cache with its state and its serial log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import cache
import wire
from cache import LabError

EMULATORS = ("qemu", "bochs")
LIFETIME = 5400
AGENT_PORT = 6999
PORTS = range(7000, 7016)  # L1's ports that are always forwarded


def machines_dir() -> Path:
    path = cache.root() / "machines"
    path.mkdir(exist_ok=True)
    return path


def start_time(pid: int) -> str | None:
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
        self.process: subprocess.Popen | None = None  # the emulator, if this object started it

    def save(self, state: dict) -> None:
        part = self.home / "state.json.part"
        part.write_text(json.dumps(state))
        part.rename(self.home / "state.json")

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
        return start_time(state["pid"]) == state["started"]

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
        return self.port(AGENT_PORT)

    def serial(self) -> str:
        try:
            return (self.home / "serial.log").read_text(errors="replace")
        except OSError:
            return ""

    def kill(self) -> None:
        """Ends the emulator's session, then its state. The logs stay until the name is used again."""
        if self.alive():
            pid = self.state["pid"]
            for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    break
                end = time.monotonic() + patience
                while self.alive() and time.monotonic() < end:
                    time.sleep(0.02)
            if self.process:
                self.process.wait()
        (self.home / "state.json").unlink(missing_ok=True)

    def down(self, forget: bool = False) -> None:
        """Ends it; with `forget` its console log goes, too."""
        with cache.locked(f"machine-{self.name}"):
            self.kill()
            if forget:
                import shutil
                shutil.rmtree(self.home, ignore_errors=True)

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
