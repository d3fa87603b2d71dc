#!/usr/bin/env python3
"""Runs a test program where KVM works: on this machine if `ringside doctor` is content with it, else in the lab.

    run_in_place.py RINGSIDE PROGRAM [ARGUMENT...]

RINGSIDE_LAB_NAME names a lab that is up and shall be used; otherwise one is brought up for the run, with the
emulator that RINGSIDE_LAB_EMULATOR names (qemu or bochs). Either variable set means: in the lab, whatever this
machine can do. The program's output and exit status are passed on; 125 means that the lab failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import labapi  # noqa: E402

LAB_FAILED = 125
PATIENCE = 600  # seconds for the program in the lab: its machine is slow, and shared


def say(text: str) -> None:
    print(f"run_in_place: {text}", flush=True)


def works_here(ringside: str) -> bool:
    if os.environ.get("RINGSIDE_LAB_NAME") or os.environ.get("RINGSIDE_LAB_EMULATOR"):
        return False
    doctor = subprocess.run([ringside, "doctor"], stdout=subprocess.PIPE, text=True)
    say(doctor.stdout.strip().splitlines()[-1])
    return doctor.returncode == 0


def run_in(lab: labapi.Lab, program: str, arguments: list[str]) -> int:
    place = f"/tests/{Path(program).name}-{os.getpid()}"
    lab.put(program, place, program=True)
    running = lab.popen([place, *arguments])
    try:
        return running.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        say(f"no end after {PATIENCE} s")
        return LAB_FAILED
    finally:
        running.terminate()
        running.wait()
        lab.exec(["rm", "-f", place])


def main(ringside: str, program: str, *arguments: str) -> int:
    if works_here(ringside):
        say("running on this machine's KVM")
        return subprocess.run([program, *arguments]).returncode
    name = os.environ.get("RINGSIDE_LAB_NAME")
    emulator = os.environ.get("RINGSIDE_LAB_EMULATOR") or "qemu"
    try:
        if name:
            say(f"running in the lab {name}")
            return run_in(labapi.Lab.attach(name), program, list(arguments))
        say(f"running in a lab of its own ({emulator})")
        with labapi.Lab.up(f"kvmtest-{os.getpid()}", emulator) as lab:
            return run_in(lab, program, list(arguments))
    except labapi.LabError as error:
        say(str(error))
        return LAB_FAILED


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
