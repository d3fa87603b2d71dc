"""The place where ./dev bench measures: the lab, with both monitors, their guest and the measuring programs in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

import cache  # noqa: E402
import debian  # noqa: E402
from labapi import Lab  # noqa: E402

INIT = """#!/bin/sh
mount -t proc proc /proc
echo INIT-REACHED
if grep -q idle /proc/cmdline; then while :; do sleep 1000; done; fi
exec /caller
"""
MARK = "INIT-REACHED"
APPEND = "console=ttyS0 nokaslr"
HOT = "__x64_sys_getppid"  # what caller.c calls
PORT = 7010
ROMS = ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin", "linuxboot.bin")


class Failed(Exception):
    """A line that could not be measured, and why."""


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def ringside(append: str) -> list[str]:
    return ["ringside", "run", "/vmlinuz", "--initrd", "/initrd", "-m", "512M", "--append", append, "--gdb", f":{PORT}"]


def qemu(append: str) -> list[str]:
    """Its usual machine, with nothing in it that this guest does not use."""
    return ["qemu", "-L", "/roms", "-nodefaults", "-no-user-config", "-M", "pc", "-accel", "kvm", "-cpu", "host",
            "-m", "512", "-display", "none", "-vga", "none", "-serial", "stdio", "-no-reboot", "-kernel", "/vmlinuz",
            "-initrd", "/initrd", "-append", append, "-gdb", f"tcp:127.0.0.1:{PORT}"]


MONITORS = {"ringside": ringside, "QEMU": qemu}


def plain_gdb() -> Path:
    """gdb without Python, of the host's own version: it needs no more than its libraries."""
    suite = debian.Suite("bookworm")
    suite.refresh()
    version = suite.candidate("gdb-minimal")
    folder = cache.once(f"gdb-minimal/{version}", lambda into: suite.unpack(["gdb-minimal"], into))
    return folder / "usr/bin/gdb"


class Place:
    def __init__(self, build: Path, emulator: str) -> None:
        monitor = shutil.which("qemu-system-x86_64")
        if monitor is None:
            sys.exit("bench: qemu-system-x86_64 is missing; apt-get install qemu-system-x86")
        done = subprocess.run([ROOT / "tests/lab/kernels", "fetch", "6.1", "--debug"], check=True, stdout=subprocess.PIPE)
        self.kernel = json.loads(done.stdout)
        gdb = plain_gdb()
        say(f"bringing up the lab ({emulator})")
        self.lab = Lab.up(f"bench-{time.time_ns()}", emulator=emulator)
        for program, name in ((build / "bin/ringside", "ringside"), (build / "bin/rsp_bench", "rsp_bench"),
                              (monitor, "qemu"), (gdb, "gdb")):
            self.lab.put(program, f"/bin/{name}", program=True)
        self.lab.put(self.kernel["vmlinuz"], "/vmlinuz")
        for rom in ROMS:
            for folder in (Path("/usr/share/qemu"), Path("/usr/share/seabios")):
                if (folder / rom).exists():
                    self.lab.put(folder / rom, f"/roms/{rom}")
        with tempfile.TemporaryDirectory(prefix="ringside-bench-") as folder:
            self._put_guest(Path(folder))
            self._put_addresses(Path(folder))

    def _put_guest(self, folder: Path) -> None:
        (folder / "init").write_text(INIT)
        (folder / "init").chmod(0o755)
        subprocess.run(["gcc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-o", folder / "caller",
                        ROOT / "tests/bench/caller.c"], check=True)
        subprocess.run([ROOT / "tests/lab/kernels", "initrd", folder / "initrd", "--init", folder / "init",
                        "--file", f"{folder}/caller:/caller"], check=True)
        self.lab.put(folder / "initrd", "/initrd")

    def _put_addresses(self, folder: Path) -> None:
        """Of the function that is called, and of one in three others; from DWARF's file, as Debian ships no System.map."""
        table = subprocess.run(["nm", self.kernel["vmlinux"]], check=True, stdout=subprocess.PIPE, text=True).stdout
        functions = {name: address for address, name in re.findall(r"^([0-9a-f]+) [tT] (\S+)$", table, re.M)}
        self.hot = functions[HOT]
        text = range(int(functions["secondary_startup_64"], 16), int(functions["__entry_text_start"], 16))
        others = sorted({int(a, 16) for a in functions.values()} - {int(self.hot, 16)})
        (folder / "functions").write_text("\n".join(f"{a:x}" for a in [a for a in others if a in text][::3]))
        self.lab.put(folder / "functions", "/functions")

    def measure(self, line: str, *arguments: object, bound: float) -> dict[str, float]:
        """One line of rsp_bench. Its own waits are bounded as well; `bound` is for what nobody has thought of."""
        try:
            done = self.lab.exec(["rsp_bench", line, *map(str, arguments)], timeout=bound)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"not done after {bound:.0f} s") from e
        if done.returncode != 0:
            raise Failed(done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")
        return json.loads(done.stdout.splitlines()[-1])

    def gdb(self, commands: str, bound: float) -> str:
        """What gdb prints under those commands, run beside the monitors."""
        with tempfile.NamedTemporaryFile("w", suffix=".gdb") as script:
            script.write(commands)
            script.flush()
            self.lab.put(script.name, "/script.gdb")
        try:
            return self.lab.exec(["gdb", "-nx", "-batch", "-x", "/script.gdb"], timeout=bound).stdout
        except subprocess.TimeoutExpired as e:
            raise Failed(f"gdb is not done after {bound:.0f} s") from e


class Running:
    """A monitor whose guest has reached init; ends with the block."""

    def __init__(self, place: Place, name: str, append: str) -> None:
        self.place, self.program = place, MONITORS[name]("")[0]
        self.process = place.lab.popen(MONITORS[name](append), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if MARK in line:
                break
        else:
            self.end()
            raise Failed("its guest did not reach init:\n" + "".join(seen))
        time.sleep(1)  # until init has become the caller

    @property
    def pid(self) -> str:
        return self.place.lab.exec(f"pidof {self.program}").stdout.split()[0]

    def end(self) -> None:
        self.place.lab.exec(f"killall -9 {self.program}")
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
