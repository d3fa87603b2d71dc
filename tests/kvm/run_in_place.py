#!/usr/bin/env python3
"""Runs a test program where KVM works: on this machine if `ringside doctor` is content with it, else in the lab.

    run_in_place.py [--file NAME=PATH] RINGSIDE PROGRAM [ARGUMENT...]

With --file the program finds that file where the environment variable NAME says.

RINGSIDE_LAB_NAME names a lab that is up and shall be used; otherwise one is brought up for the run, with the
emulator that RINGSIDE_LAB_EMULATOR names (qemu or bochs). Either variable set means: in the lab, whatever this
machine can do. The program's output and exit status are passed on; 125 means that the lab failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import labapi  # noqa: E402

LAB_FAILED = 125
PATIENCE = 800  # seconds for the program in the lab: its machine is slow, and shared


def say(text: str) -> None:
    print(f"run_in_place: {text}", flush=True)


def works_here(ringside: str) -> bool:
    if os.environ.get("RINGSIDE_LAB_NAME") or os.environ.get("RINGSIDE_LAB_EMULATOR"):
        return False
    doctor = subprocess.run([ringside, "doctor"], stdout=subprocess.PIPE, text=True)
    say(doctor.stdout.strip().splitlines()[-1])
    return doctor.returncode == 0


def run_in(lab: labapi.Lab, program: str, arguments: list[str], files: dict[str, str]) -> int:
    place = f"/tests/{Path(program).name}-{os.getpid()}"
    lab.put(program, place, program=True)
    there = {name: f"{place}-{name}" for name in files}
    for name, path in files.items():
        lab.put(path, there[name])
    running = lab.popen([place, *arguments], env=there)
    try:
        return running.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        say(f"no end after {PATIENCE} s")
        return LAB_FAILED
    finally:
        running.terminate()
        running.wait()
        lab.exec(["rm", "-f", place, *there.values()])


def main(files: dict[str, str], ringside: str, program: str, *arguments: str) -> int:
    if works_here(ringside):
        say("running on this machine's KVM")
        return subprocess.run([program, *arguments], env=os.environ | files).returncode
    name = os.environ.get("RINGSIDE_LAB_NAME")
    emulator = os.environ.get("RINGSIDE_LAB_EMULATOR") or "qemu"
    try:
        if name:
            say(f"running in the lab {name}")
            return run_in(labapi.Lab.attach(name), program, list(arguments), files)
        say(f"running in a lab of its own ({emulator})")
        with labapi.Lab.up(f"kvmtest-{os.getpid()}", emulator) as lab:
            return run_in(lab, program, list(arguments), files)
    except labapi.LabError as error:
        say(str(error))
        return LAB_FAILED


def named_file(text: str) -> tuple[str, str]:
    name, is_there, path = text.partition("=")
    if not is_there:
        raise argparse.ArgumentTypeError("wanted: NAME=PATH")
    return name, path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", action="append", type=named_file, default=[], metavar="NAME=PATH")
    parser.add_argument("ringside")
    parser.add_argument("program")
    parser.add_argument("argument", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    sys.exit(main(dict(given.file), given.ringside, given.program, *given.argument))
