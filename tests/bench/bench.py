#!/usr/bin/env python3
"""./dev bench: ringside side by side with QEMU's KVM stub, in the same place, on the same guest.

Everything is measured inside the place (rsp_bench.cpp runs beside the stubs), the two in turn, several times;
what is printed are medians and their ratio. Absolute figures are those of an emulated machine where the place
is the lab: only the ratios say anything.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

from labapi import Lab  # noqa: E402

INIT = """#!/bin/sh
mount -t proc proc /proc
echo INIT-REACHED
if grep -q idle /proc/cmdline; then while :; do sleep 1000; done; fi
while read a b < /proc/uptime; do :; done
"""
APPEND = "console=ttyS0 quiet nokaslr"
HOT = "do_sys_openat2"
PORT = 7010

# name in rsp_bench's JSON, what it is called here, and whether more is better
LINES = [
    ("boot_ms", "start to the first line of init, ms", False),
    ("attach_ms", "attach, ms", False),
    ("g_ms", "g, ms", False),
    ("read_2k_mib_s", "memory read in 2 KiB packets, MiB/s", True),
    ("read_full_mib_s", "memory read of 16 MiB, PacketSize, MiB/s", True),
    ("write_1k_ms", "memory write of 1 KiB, ms", False),
    ("steps_s", "single steps a second", True),
    ("rounds_s", "breakpoint rounds a second", True),
    ("interrupt_ms", "^C to stop reply, ms", False),
    ("idle_cpu_percent", "CPU time with an idle guest, %", False),
]


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def kernel() -> dict:
    done = subprocess.run([ROOT / "tests/lab/kernels", "fetch", "6.1", "--debug"], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def address_of(vmlinux: str, symbol: str) -> str:
    """From DWARF's file: Debian ships no System.map."""
    table = subprocess.run(["nm", vmlinux], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.search(rf"^([0-9a-f]+) [tT] {symbol}$", table, re.M).group(1)


class Place:
    """The lab, with both monitors, the kernel and the measuring client in it."""

    def __init__(self, build: Path, emulator: str) -> None:
        qemu = shutil.which("qemu-system-x86_64")
        if qemu is None:
            sys.exit("bench: qemu-system-x86_64 is missing; apt-get install qemu-system-x86")
        self.kernel = kernel()
        say(f"bringing up the lab ({emulator})")
        self.lab = Lab.up("bench-" + str(time.time_ns()), emulator=emulator)
        for program, name in ((build / "bin/ringside", "/bin/ringside"), (build / "bin/rsp_bench", "/bin/rsp_bench"),
                              (qemu, "/bin/qemu")):
            self.lab.put(program, name, program=True)
        self.lab.put(self.kernel["vmlinuz"], "/vmlinuz")
        for folder in ("/usr/share/qemu", "/usr/share/seabios"):
            for rom in ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin", "linuxboot.bin", "efi-e1000.rom"):
                if (Path(folder) / rom).exists():
                    self.lab.put(Path(folder) / rom, f"/roms/{rom}")
        init = Path(f"/tmp/ringside-bench-init-{time.time_ns()}")
        init.write_text(INIT)
        init.chmod(0o755)
        initrd = init.with_suffix(".cpio")
        subprocess.run([ROOT / "tests/lab/kernels", "initrd", initrd, "--init", init], check=True)
        self.lab.put(initrd, "/initrd")
        init.unlink(), initrd.unlink()
        self.hot = address_of(self.kernel["vmlinux"], HOT)

    def ask(self, *arguments: str, timeout: float = 180) -> dict:
        done = self.lab.exec(["rsp_bench", *map(str, arguments)], timeout=timeout)
        if done.returncode != 0:
            sys.exit(f"bench: rsp_bench {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout.splitlines()[-1])


def ringside(append: str, port: int | None) -> list[str]:
    command = ["ringside", "run", "/vmlinuz", "--initrd", "/initrd", "-m", "512M", "--append", append]
    return command + (["--gdb", f":{port}"] if port else [])


def qemu(append: str, port: int | None) -> list[str]:
    command = ["qemu", "-L", "/roms", "-nodefaults", "-no-user-config", "-M", "pc", "-accel", "kvm", "-cpu", "host", "-m", "512",
               "-display", "none", "-vga", "none", "-serial", "stdio", "-no-reboot", "-kernel", "/vmlinuz",
               "-initrd", "/initrd", "-append", append]
    return command + (["-gdb", f"tcp:127.0.0.1:{port}"] if port else [])


MONITORS = {"ringside": ringside, "QEMU": qemu}


def running(place: Place, name: str, append: str):
    """The monitor with its guest at the first line of init, and its process id inside the place."""
    process = place.lab.popen(MONITORS[name](append, PORT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "INIT-REACHED" in line:
            break
    else:
        sys.exit(f"bench: {name} did not reach init:\n{''.join(seen)}")
    pid = place.lab.exec(f"pidof {MONITORS[name]('', None)[0]}").stdout.split()[0]
    return process, pid


def stop(place: Place, name: str, process: subprocess.Popen) -> None:
    place.lab.exec(f"killall -9 {MONITORS[name]('', None)[0]}")
    process.terminate()
    process.wait()
    process.stdout.close()


def one_round(place: Place, name: str) -> dict:
    figures = place.ask("boot", "INIT-REACHED", 120, "--", *MONITORS[name](APPEND, None))
    process, _ = running(place, name, APPEND)
    try:
        figures |= place.ask("stub", PORT, place.hot)
    finally:
        stop(place, name, process)
    process, pid = running(place, name, APPEND + " idle")
    try:
        time.sleep(2)
        figures |= place.ask("idle", pid, 10)
    finally:
        stop(place, name, process)
    return figures


def table(results: dict[str, list[dict]]) -> str:
    rows = [f"{'':44} {'ringside':>10} {'QEMU':>10} {'better by':>10}"]
    for key, title, more_is_better in LINES:
        ours, theirs = (statistics.median(one[key] for one in results[name]) for name in ("ringside", "QEMU"))
        better, worse = (ours, theirs) if more_is_better else (theirs, ours)
        ratio = f"{better / worse:.2f}x" if worse else "-"
        rows.append(f"{title:44} {ours:10.2f} {theirs:10.2f} {ratio:>10}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--build", type=Path, default=ROOT / "build-dev")
    parser.add_argument("--emulator", default="qemu", choices=("qemu", "bochs"))
    options = parser.parse_args()
    place = Place(options.build, options.emulator)
    results: dict[str, list[dict]] = {name: [] for name in MONITORS}
    try:
        for run in range(options.runs):
            for name in MONITORS:
                say(f"run {run + 1} of {options.runs}: {name}")
                results[name].append(one_round(place, name))
    finally:
        place.lab.down()
    print(f"\nIn the lab ({options.emulator}), Debian {place.kernel['version']}, medians of {options.runs} runs, in turn:\n")
    print(table(results))


if __name__ == "__main__":
    main()
