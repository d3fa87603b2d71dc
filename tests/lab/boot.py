"""Starts an L1 and waits until its agent answers.

The emulator runs under timeout(1) in a session of its own: whatever becomes of us, its life has an upper bound, and
one signal to the group ends it. A tied machine ends with the thread that started it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from types import ModuleType

import cache
import l1image
import wire
from cache import LabError
from machine import AGENT_PORT, EMULATORS, LIFETIME, PORTS, Machine, start_time

_PR_SET_PDEATHSIG = 1
_ATTEMPTS = 5


class PortTaken(LabError):
    """Somebody took a port between our finding it free and the emulator's using it."""


def emulator(name: str) -> ModuleType:
    if name not in EMULATORS:
        raise LabError(f"unknown emulator {name}; known: {', '.join(EMULATORS)}")
    return importlib.import_module(name)


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


def up(lab: Machine, which: str = "qemu", memory: int | None = None, forwards: dict[int, int] | None = None,
       lifetime: int = LIFETIME, tied: bool = False) -> None:
    """Boots L1. `forwards` maps more of L1's ports to the host's (0: pick one)."""
    module = emulator(which)
    image = l1image.prepare(module)
    with cache.locked(f"machine-{lab.name}"):
        if lab.alive():
            raise LabError(f"the lab {lab.name} is up already")
        for attempt in range(_ATTEMPTS):
            try:
                return _start(lab, module, image, memory or module.MEMORY_MIB, forwards or {}, lifetime, tied)
            except PortTaken:
                if attempt == _ATTEMPTS - 1:
                    raise


def _tie_to(parent: int) -> None:
    """In the child: ends with its parent, even if the parent is gone by now."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _start(lab: Machine, module: ModuleType, image: l1image.Image, memory: int, forwards: dict[int, int],
           lifetime: int, tied: bool) -> None:
    shutil.rmtree(lab.home, ignore_errors=True)
    lab.home.mkdir()
    wanted = {AGENT_PORT: 0, **dict.fromkeys(PORTS, 0), **forwards}
    picked = iter(free_ports(sum(not host for host in wanted.values())))
    ports = {l1: host or next(picked) for l1, host in wanted.items()}
    argv = module.command_line(image, memory, ports, lab.home)
    parent = os.getpid()
    began = time.monotonic()
    with open(lab.home / "emulator.log", "wb") as log:
        process = subprocess.Popen(["timeout", "-k", "5", str(lifetime), *argv], stdin=module.STDIN, stdout=log,
                                   stderr=log, cwd=lab.home, start_new_session=True,
                                   env={**os.environ, **module.environment()},
                                   preexec_fn=(lambda: _tie_to(parent)) if tied else None)
    lab.process = process
    state = {"pid": process.pid, "started": start_time(process.pid), "emulator": module.NAME, "memory": memory,
             "ports": {str(l1): host for l1, host in ports.items()}}
    lab.save(state)
    try:
        _await_agent(lab, process, ports[AGENT_PORT], began + module.BOOT_SECONDS)
    except BaseException:
        lab.kill()
        raise
    lab.save({**state, "boot_seconds": round(time.monotonic() - began, 2)})


def _await_agent(lab: Machine, process: subprocess.Popen, port: int, deadline: float) -> None:
    while not wire.ping(port, 1.0):
        log = (lab.home / "emulator.log").read_text(errors="replace").strip()
        if refused := re.search(r"could not set up host forwarding rule.*", log, re.IGNORECASE):
            raise PortTaken(f"a port for the lab {lab.name} is taken: {refused.group()}")  # Bochs would go on
        if process.poll() is not None:
            raise LabError(f"the emulator ended with {process.returncode}: {log[-2000:]}\n{lab.serial()[-2000:]}")
        if time.monotonic() > deadline:
            raise LabError(f"L1 did not come up; the end of its console:\n{lab.serial()[-3000:]}")
        time.sleep(0.03)
