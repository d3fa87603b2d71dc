#!/usr/bin/env python3
"""./dev bench: ringside side by side with QEMU's KVM stub, in the same place, on the same guest.

Everything is measured inside the place (rsp_bench and gdb run beside the stubs), the two in turn, several times.
What is printed are medians, and the median of each run's ratio. Absolute figures are those of an emulated machine
where the place is the lab: only ratios say anything.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Callable, NamedTuple

from place import APPEND, HOT, MARK, MONITORS, PORT, ROOT, Failed, Place, Running, say

Figures = dict[str, float]


class Line(NamedTuple):
    key: str  # in the figures
    title: str
    more_is_better: bool = True
    aim: float | None = None  # at least this many times better than QEMU


class Group(NamedTuple):
    name: str
    title: str
    lines: list[Line]
    measure: Callable[[Place, str, Figures], None]
    ours_alone: bool = False


def attempt(figures: Figures, what: str, work: Callable[[], Figures]) -> bool:
    """A line that fails costs that line, not the run; what is missing is shown as missing."""
    try:
        figures.update(work())
        return True
    except Failed as e:
        say(f"  {what}: {e}")
        return False


def in_one_guest(place: Place, name: str, figures: Figures, steps: list[tuple[str, float, tuple]]) -> None:
    """The lines one after the other, in the same guest as long as none fails: a stub may be stuck then."""
    guest = None
    try:
        for line, bound, arguments in steps:
            if guest is None:
                guest = Running(place, name, f"{APPEND} quiet")
                place.measure("attach", PORT, bound=30)  # QEMU greets its first client with a stop nobody asked for
            if not attempt(figures, line, lambda: place.measure(line, PORT, *arguments, bound=bound)):
                guest.end()
                guest = None
    finally:
        if guest:
            guest.end()


def boots(place: Place, name: str, figures: Figures) -> None:
    for key, append in (("boot_ms", f"{APPEND} quiet idle"), ("boot_log_ms", f"{APPEND} idle")):
        attempt(figures, key, lambda: {
            key: place.measure("boot", MARK, 120, *MONITORS[name](append), bound=150)["boot_ms"]})


def session(place: Place, name: str, figures: Figures) -> None:
    in_one_guest(place, name, figures, [
        ("attach", 30, ()), ("registers", 30, ()), ("read", 90, ()), ("write", 30, ()), ("step", 60, (place.hot,)),
        ("round", 60, (place.hot,)), ("interrupt", 30, ()), ("any-step", 60, ())])


def idle(place: Place, name: str, figures: Figures) -> None:
    with Running(place, name, f"{APPEND} quiet idle") as guest:
        attempt(figures, "idle", lambda: place.measure("idle", guest.pid, 10, bound=30))


def by_gdb(place: Place, name: str, figures: Figures) -> None:
    """`break FUNC if` with stock gdb: it hands the condition to a stub that takes it, and decides itself if not."""
    calls = {"ringside": 20_000, "QEMU": 200}[name]
    call = "*(unsigned long *)($rdi + 0x70)"  # pt_regs.di
    script = "\n".join([
        "set confirm off", "set pagination off", f"target remote :{PORT}", f"break *0x{place.hot}", "continue",
        f"set $first = {call}", f'eval "condition 1 {call} == %lu", $first + {calls}', "shell cat /proc/uptime",
        "continue", "shell cat /proc/uptime", f'printf "calls %lu\\n", {call} - $first', "delete", "detach"])

    def rate() -> Figures:
        text = place.gdb(script, 120)
        times = [float(t) for t in re.findall(r"^(\d+\.\d+) \d+\.\d+$", text, re.M)]
        if len(times) != 2 or f"calls {calls}\n" not in text:
            raise Failed(f"gdb says: {text[-500:]}")
        return {"gdb_false_s": calls / (times[1] - times[0])}

    with Running(place, name, f"{APPEND} quiet"):
        attempt(figures, "false conditions by gdb", rate)


def conditions(place: Place, name: str, figures: Figures) -> None:
    in_one_guest(place, name, figures, [
        ("false", 90, (place.hot,)), ("thousandth", 60, (place.hot,)), ("tracers", 180, (place.hot,)),
        ("points", 400, (place.hot, "/functions"))])


GROUPS = [
    Group("boot", "Boot", [
        Line("boot_ms", "start to the first line of init, ms", False, 1 / 0.7),
        Line("boot_log_ms", "the same with the kernel's whole log, ms", False, 1),
    ], boots),
    Group("session", "A debugger's session", [
        Line("attach_ms", "attach, ms", False, 1),
        Line("g_ms", "g, ms", False, 1),
        Line("read_mib_s", "memory read of 16 MiB, MiB/s", True, 5),
        Line("read_2k_mib_s", "memory read in 2 KiB packets, MiB/s", True, 1),
        Line("write_mib_s", "memory write (X, or M without), MiB/s", True, 1),
        Line("steps_s", "single steps in the kernel a second", True, 1),
        Line("any_steps_s", "steps a second, sysret among them", True, 1),
        Line("rounds_s", "breakpoint rounds a second", True, 1),
        Line("interrupt_ms", "^C to stop reply, ms", False, 1),
    ], session),
    Group("idle", "An idle guest", [Line("idle_cpu_percent", "CPU time, %", False, 1)], idle),
    Group("gdb", f"break {HOT} if FALSE, by stock gdb", [
        Line("gdb_false_s", "false conditions a second", True, 150),
    ], by_gdb),
    Group("conditions", "The same, by the protocol", [
        Line("false_s", "false conditions a second"),
        Line("false_slowdown", "calls slower under it than without, times"),
        Line("exits_per_false", "exits for each"),
        Line("thousandth_calls_s", "calls a second, each 1000th a true one"),
        Line("false_s_1_tracers", "false a second, 1 tracer"),
        Line("false_s_8_tracers", "8 tracers"),
        Line("false_s_64_tracers", "64 tracers"),
        Line("insertions_s", "breakpoints inserted a second"),
        Line("false_s_0_points", "false a second, no other breakpoint"),
        Line("false_s_100_points", "100 others"),
        Line("false_s_10000_points", "10,000 others"),
        Line("exits_among_points", "exits for each, at most"),
    ], conditions, ours_alone=True),
]


def measure(place: Place, groups: list[Group], runs: int) -> dict[str, list[Figures]]:
    results: dict[str, list[Figures]] = {name: [] for name in MONITORS}
    for run in range(runs):
        for name in MONITORS:
            results[name].append({})
            for group in groups:
                if group.ours_alone and name != "ringside":
                    continue
                say(f"run {run + 1} of {runs}: {name}: {group.name}")
                try:
                    group.measure(place, name, results[name][-1])
                except Failed as e:
                    say(f"  {e}")
    return results


def cell(values: list[float], form: str = "10.2f") -> str:
    return f"{statistics.median(values):{form}}" if values else f"{'-':>10}"


def row(line: Line, results: dict[str, list[Figures]]) -> str:
    """Ratios are made run by run, as the machine under the lab is not the same from one to the next."""
    ours, theirs = ([run.get(line.key) for run in results[name]] for name in ("ringside", "QEMU"))
    ratios = [(b / a) if not line.more_is_better else (a / b) for a, b in zip(ours, theirs) if a and b]
    text = f"{line.title:42} {cell([v for v in ours if v is not None])} {cell([v for v in theirs if v is not None])}"
    if not ratios:
        return text
    ratio = statistics.median(ratios)
    missed = line.aim and ratio < line.aim
    return f"{text} {ratio:9.2f}x" + (f"  (aim {line.aim:.2f}x)" if missed else "")


def table(groups: list[Group], results: dict[str, list[Figures]]) -> str:
    out = []
    for group in groups:
        heads = f"{'ringside':>10}" + ("" if group.ours_alone else f" {'QEMU':>10} {'better by':>10}")
        out.append(f"\n{group.title:42} {heads}")
        for line in group.lines:
            out.append(row(line, results) if not group.ours_alone else
                       f"{line.title:42} {cell([run[line.key] for run in results['ringside'] if line.key in run])}")
    return "\n".join(out)


def complete(groups: list[Group], results: dict[str, list[Figures]]) -> bool:
    """Was every line of ours measured in every run?"""
    return all(line.key in run for group in groups for line in group.lines for run in results["ringside"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=[g.name for g in GROUPS], action="append", help="these groups of lines")
    parser.add_argument("--build", type=Path, default=ROOT / "build-dev")
    parser.add_argument("--emulator", default="qemu", choices=("qemu", "bochs"))
    parser.add_argument("--json", type=Path, help="every figure of every run, into this file")
    options = parser.parse_args()
    groups = [g for g in GROUPS if not options.only or g.name in options.only]
    place = Place(options.build, options.emulator)
    try:
        results = measure(place, groups, options.runs)
    finally:
        place.lab.down()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    print(f"\nIn the lab ({options.emulator}), Debian {place.kernel['version']}, medians of {options.runs} runs, in turn:")
    print(table(groups, results))
    return 0 if complete(groups, results) else 1


if __name__ == "__main__":
    sys.exit(main())
