"""Hundreds of breakpoints at once, set at the first instruction, on a kernel that patches itself below them.

RINGSIDE_POINTS says how many; with RINGSIDE_TRACE_ALL=1 the kernel traces every function, not only those drawn, which
takes the emulated lab a quarter of an hour.
"""

import os
import random
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.guest import Guest
from harness.rawclient import RawClient

POINTS = int(os.environ.get("RINGSIDE_POINTS", "300"))
ALL = os.environ.get("RINGSIDE_TRACE_ALL", "") == "1"
NEVER = "22" "00" "27"  # const8 0, end: it is counted, and nobody stops
COMPLAINTS = r"Oops|BUG|WARNING: CPU|Call Trace|ftrace bug|invalid opcode|general protection"
INIT = f"""mount -t tracefs tracefs /sys/kernel/tracing
dmesg | grep -E '{COMPLAINTS}'
echo early: looked
read go
{"" if ALL else "cat /sys/kernel/tracing/available_filter_functions | grep -Fx -f /etc/drawn >/sys/kernel/tracing/set_ftrace_filter"}
echo function >/sys/kernel/tracing/current_tracer
sleep 1
echo traced: $(grep -c . /sys/kernel/tracing/trace | head -1)
sed -n 's/.*: \\([a-z_0-9.]*\\) <-.*/\\1/p' /sys/kernel/tracing/trace | sort -u >/tmp/seen
echo nop >/sys/kernel/tracing/current_tracer
dmesg | grep -E '{COMPLAINTS}'
echo traced: begin
cat /tmp/seen
echo traced: end
while :; do read line; echo again: $(cat /etc/greeting); done"""


def functions(suite: str) -> dict[str, int]:
    """Every function of the kernel's own text, by the address it is linked at."""
    listing = subprocess.run(["nm", kernels.stripped_vmlinux(suite)], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^([0-9a-f]{16}) [tT] (\w+)$", listing, re.M)
    return {name: int(at, 16) for at, name in found if int(at, 16) >= 0xffffffff81000000}


class Coherent(case.Case):
    def drawn(self, suite: str) -> dict[int, str]:
        """Names by address, each address once."""
        every = functions(suite)
        # What begins in the middle of another function, or is no code, is not for a breakpoint.
        names = [name for name in sorted(every) if not re.search(
            r"^(__pfx_|__cfi_|\.|_text|_stext|_etext|_sinittext|_einittext|__(entry|irqentry|softirqentry|kprobes|noinstr|sched|"
            r"cpuidle|lock|ktext|static_call|end|indirect|head|exit)|startup_|secondary_|verify_cpu|start_cpu|sev_verify|"
            r"kallsyms|.*_swap$|memcpy|__mem|__x86_|srso|retbleed|entry_|early_idt|vc_|xen_|asm_|error_|paranoid|nmi|repeat_nmi|end_repeat|.*_end$|.*_start$)",
            name)]
        picked = random.Random(5).sample(names, POINTS)
        return {every[name]: name for name in picked}

    def insert(self, raw: RawClient, points: dict[int, str], slide: int) -> None:
        for at in points:
            answer = raw.ask(f"Z0,{at + slide:x},1;X{len(NEVER) // 2},{NEVER}")
            self.assertEqual(answer, "OK", f"{points[at]} {at + slide:#x}")

    def hits(self, raw: RawClient, slide: int) -> dict[int, int]:
        text = raw.monitor("probes")
        return {int(at, 16) - slide: int(count) for at, count in
                re.findall(r"^break (0x[0-9a-f]+), tracer \d+, .*?: (\d+) hits", text, re.M)}

    def go_through(self, suite: str, *options: str) -> None:
        points = self.drawn(suite)
        with tempfile.NamedTemporaryFile("w") as drawn:
            drawn.write("".join(name + "\n" for name in points.values()))
            drawn.flush()
            guest = Guest(*options, kernel=suite, init=INIT, cpus=2, wait=True, append="panic=0",
                          files=((Path(drawn.name), "/etc/drawn"),))
        with guest:
            with RawClient(guest, timeout=60) as raw:
                raw.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+")
                raw.ask("?")
                slide = int(re.search(r"offset (0x[0-9a-f]+)", raw.monitor("kaslr"))[1], 16)
                self.insert(raw, points, slide)
                raw.send("vCont;c")
                guest.wait_for("early: looked", timeout=1000 if ALL else 60)
                self.assertNotRegex(guest.console, COMPLAINTS)
                guest.type("go\n")
                guest.wait_for("traced: end", timeout=1000 if ALL else 60)
                self.assertNotRegex(guest.console, COMPLAINTS)
                raw.send_raw(b"\x03")
                raw.receive()
                hits = self.hits(raw, slide)
                traced = set(guest.console.split("traced: begin")[1].split("traced: end")[0].split())
                seen = {at for at, name in points.items() if name in traced}
                missed = sorted(points[at] for at in seen if hits.get(at, 0) == 0)
                print(f"  {suite}: {len(hits)} stand, {sum(count > 0 for count in hits.values())} hit, "
                      f"{len(seen)} of those drawn were traced")
                self.assertEqual(len(hits), POINTS)
                self.assertGreater(len(seen), POINTS // 150)
                self.assertGreater(sum(count > 0 for count in hits.values()), POINTS // 15)
                self.assertEqual(missed, [])
                raw.ask("D;1")
            guest.type("still there\n")
            guest.wait_for("again: hello")

    def test_6_1(self) -> None:
        self.go_through("6.1")


if __name__ == "__main__":
    unittest.main()
