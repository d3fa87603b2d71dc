#!/usr/bin/env python3
"""Our decoders beside the real strace, on the same programs. Usage: compare.py NATIVE_STRACE SUITE [NAME…]

A program is run twice, with addresses not randomised, once under each; the lines of each process are normalised
(strace_lines) and must be equal. Prints what differs; the exit status says whether anything did.
"""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import programs
import strace_lines

TIMEOUT = 120
TRIES = 3


def collect(prefix: Path) -> dict[int, list[str]]:
    found = {}
    for path in prefix.parent.glob(prefix.name + ".*"):
        lines = path.read_text(encoding="latin-1").splitlines()
        if lines:
            found[int(path.suffix[1:])] = lines
    return found


def run_one(tracer: list[str], program: programs.Program, name: str) -> dict[int, list[str]]:
    """Runs the program in a fresh folder of the same path each time."""
    place = Path(tempfile.gettempdir()) / "ringside-native"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    out = Path(tempfile.mkdtemp(prefix="ringside-trace-"))
    try:
        program.prepare(place)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": str(place)}
        subprocess.run(["setarch", "-R", *tracer, "-o", str(out / name), *program.options, *program.argv(place)],
                       cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False)
        return collect(out / name)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def compare(native: str, program: programs.Program) -> tuple[list[str], int]:
    """What differs at least, of a few tries: when a signal arrives is a matter of luck."""
    best, count = compare_once(native, program)
    for _ in range(TRIES - 1):
        if not best:
            break
        again, count = compare_once(native, program)
        best = min(best, again, key=len)
    return best, count


def compare_once(native: str, program: programs.Program) -> tuple[list[str], int]:
    theirs = strace_lines.normalise_all(run_one(["strace", "-f", "-ff"], program, "theirs"))
    ours = strace_lines.normalise_all(run_one([native], program, "ours"))
    differences = []
    if len(theirs) != len(ours) or not theirs:
        differences.append(f"{len(theirs)} processes under strace, {len(ours)} under ours")
    for their_lines, our_lines in zip(*([[line for line in lines if not re.match(program.luck, line)] for lines in side]
                                        for side in (theirs, ours))):
        diff = difflib.unified_diff(their_lines, our_lines, "strace", "ours", lineterm="", n=0)
        differences += [line for line in diff if not line.startswith(("---  ", "+++  ", "@@"))
                        and line not in ("--- strace", "+++ ours")]
    return differences, sum(map(len, theirs))


def main() -> int:
    native, suite, *only = sys.argv[1:]
    wrong = 0
    for program in programs.SUITES[suite]:
        if only and program.name not in only:
            continue
        differences, count = compare(native, program)
        print(f"{program.name}: {count} lines, {len(differences)} differ")
        for line in differences[:60]:
            print("   ", line)
        wrong += bool(differences) or count == 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
