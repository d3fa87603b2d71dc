#!/usr/bin/env python3
"""What tracing system calls costs the guest: ringside from outside, strace from inside, in the same guest.

A loop of getppid, and one of openat and close, are timed by themselves in the guest; what is printed is how many times
slower a round is than with nothing attached, the median of several runs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))

from harness import kernels  # noqa: E402
from harness.guest import Guest  # noqa: E402
from harness.strace import Strace  # noqa: E402

SHELL = "while read line; do $line; echo done; done"
INSIDE = {"strace -c": "strace -c -o /tmp/out", "strace -o": "strace -o /tmp/out",
          "strace --seccomp-bpf, another call": "strace -f --seccomp-bpf -e trace=chroot -o /tmp/out"}
OUTSIDE = {"ringside -p, another process": ("-p", "999999"), "ringside -e, another call": ("-e", "chroot"),
           "ringside -c": ("-c",), "ringside -o": ("-o", "/dev/null")}
ROUNDS = {"getppid": 3000, "open": 2000}


def with_libraries(program: str) -> tuple[tuple[Path, str], ...]:
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"bench: {program} is not installed here; ./dev setup")
    listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listing)
    return ((Path(path), f"/bin/{program}"), *((Path(library), library) for library in libraries))


class Runs:
    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def time(self, kind: str, before: str = "") -> float:
        """Nanoseconds of one round."""
        mark = self.guest.shown
        self.guest.type(f"{before} /bin/loops {kind} {ROUNDS[kind]}\n".lstrip())
        found = self.guest.wait_for(rf"loops: {kind} ([0-9.]+) ns[\s\S]*done", timeout=60, start=mark)
        return float(found[1])

    def beside(self, kind: str, options: tuple[str, ...]) -> float:
        with Strace(self.guest, *options) as strace:
            time.sleep(1.5)  # its probes are set once the guest's kernel is known
            took = self.time(kind)
            strace.interrupt()
            if strace.process.returncode != 0:
                raise SystemExit(f"bench: {strace.stderr}")
            return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    program = kernels.c_program(ROOT / "tests/bench/loops.c")
    slower: dict[tuple[str, str], list[float]] = {}
    with Guest(init=SHELL, files=((program, "/bin/loops"), *with_libraries("strace")), gdb=True) as guest:
        runs = Runs(guest)
        guest.wait_for("guest: init")
        guest.type("echo ready\n")
        guest.wait_for("done")
        for kind in ROUNDS:
            runs.time(kind)
            for _ in range(options.runs):
                alone = runs.time(kind)
                for name, before in INSIDE.items():
                    slower.setdefault((name, kind), []).append(runs.time(kind, before) / alone)
                for name, wishes in OUTSIDE.items():
                    slower.setdefault((name, kind), []).append(runs.beside(kind, wishes) / alone)
    print(f"\n{'Times slower than with nothing attached':42} {'getppid':>10} {'openat+close':>13}")
    for name in (*INSIDE, *OUTSIDE):
        print(f"{name:42} " + " ".join(f"{statistics.median(slower[name, kind]):{width}.1f}"
                                        for kind, width in (("getppid", 10), ("open", 13))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
