"""Hundreds of breakpoints at once, set at the first instruction, on a kernel that patches itself below them.

soak_coherent.py does the same with thousands, by every way into the kernel.
"""

import random
import re
import subprocess
import tempfile
import unittest
from collections import Counter
from pathlib import Path

import case
from harness import kernels
from harness.guest import Guest
from harness.rawclient import RawClient
from test_guestos import module_files

NEVER = "22" "00" "27"  # const8 0, end: it is counted, and nobody stops
COMPLAINTS = r"Oops|BUG|WARNING: CPU|Call Trace|ftrace bug|invalid opcode|general protection|failed to (verify|modify|arm)"
FIRST_TEXT = 0xFFFFFFFF81000000
# What begins in the middle of another function, or is no code, is not for a breakpoint.
NO_FUNCTION = re.compile(
    r"^(__pfx_|__cfi_|\.|_text|_stext|_etext|_sinittext|_einittext|__(entry|irqentry|softirqentry|kprobes|noinstr|sched|"
    r"cpuidle|lock|ktext|static_call|end|indirect|head|exit)|startup_|secondary_|verify_cpu|start_cpu|sev_verify|"
    r"kallsyms|.*_swap$|memcpy|__mem|__x86_|srso|retbleed|entry_|early_idt|vc_|xen_|asm_|error_|paranoid|nmi|"
    r"repeat_nmi|end_repeat|.*_end$|.*_start$)")
# What the lab has no time for: a hit costs it a third of a millisecond, and these are called at each tick, by each lock, for each
# word of a listing or each instruction of the kernel.
BUSY = re.compile(
    r"(^|_)(tick|tick_.*|rcu|hrtimer|clock|ktime|timekeeping|clockevents?|timerqueue|softirq|apic|account|spin_(un)?lock.*|"
    r"lock|unlock|steal|raw_callee_save_.*|rb|msr|mpihelp|mpi|cfs_rq|update_.*|sched_.*|timers?|cpuacct|enqueue|dequeue|load|"
    r"vsnprintf|insn|check_record|rethunk|fentry|vli|orc|irq_enable|irq_disable|vruntime|eevdf|entity|btf|symbol|jiffies)(_|$)")
# How slow the lab is says nothing about text.
PATIENT = "nowatchdog workqueue.watchdog_thresh=0 rcupdate.rcu_cpu_stall_suppress=1"
# The kernel says itself what it has called: in its boot by initcall_debug, then by its function tracer.
INIT = """mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing
look() {{
  dmesg | grep -E '{complaints}' | grep -v 'Return Stack Overflow'
  echo $1: looked
}}
dmesg | sed -n 's/.*calling  \\([a-zA-Z_0-9]*\\)+0x.*/\\1/p' >/tmp/seen
look early
read go
awk 'NR == FNR {{ drawn[$1] = 1; next }} $1 in drawn {{ print FNR }}' /etc/drawn available_filter_functions >/tmp/numbers
echo 300 >buffer_size_kb
[ {everything} = 1 ] || cat /tmp/numbers >set_ftrace_filter
for round in 1 2; do
  echo function >current_tracer
  ls -lR /proc/self/ >/dev/null; sleep 1
  echo 0 >tracing_on
  sed -n 's/.*: \\([a-zA-Z_0-9]*\\) <-.*/\\1/p' trace | sort -u >>/tmp/seen
  echo nop >current_tracer
  echo 1 >tracing_on
  for m in /m/*; do insmod $m; done
  echo modules: $(wc -l </proc/modules)
  for again in 1 2 3; do for m in $(cut -d' ' -f1 /proc/modules); do rmmod $m 2>/dev/null; done; done
  echo left: $(wc -l </proc/modules)
  look round $round
done
echo reached: begin
awk 'NR == FNR {{ drawn[$1] = 1; next }} $1 in drawn && !told[$1]++' /etc/drawn /tmp/seen
echo reached: end
while :; do read line; echo again: $(cat /etc/greeting); done"""


class Patching(case.Case):
    """What is done with a kernel, and what has to be seen. The tests are Coherent's, and those of soak_coherent.py."""

    points = 300
    everything = False  # traced, not only what is drawn
    busy = BUSY
    patience = 120

    def functions(self, suite: str) -> dict[str, int]:
        """Every function of the kernel's own text whose name is one function's, by the address it is linked at."""
        listing = subprocess.run(["nm", kernels.stripped_vmlinux(suite)], capture_output=True, text=True, check=True).stdout
        found = [(name, int(at, 16)) for at, name in re.findall(r"^([0-9a-f]{16}) [tT] (\w+)$", listing, re.M)]
        times = Counter(name for name, _ in found)
        return {name: at for name, at in found if
                at >= FIRST_TEXT and times[name] == 1 and not NO_FUNCTION.match(name) and not self.busy.search(name)}

    def drawn(self, suite: str) -> dict[int, str]:
        """Names by address, each address once."""
        every = {at: name for name, at in sorted(self.functions(suite).items())}
        return {at: every[at] for at in random.Random(5).sample(sorted(every), self.points)}

    def insert(self, raw: RawClient, points: dict[int, str], slide: int) -> None:
        for at in points:
            answer = raw.ask(f"Z0,{at + slide:x},1;X{len(NEVER) // 2},{NEVER}")
            self.assertEqual(answer, "OK", f"{points[at]} {at + slide:#x}")

    def slide(self, raw: RawClient) -> int:
        """0 while nothing is known."""
        known = re.search(r"offset (0x[0-9a-f]+)", raw.monitor("kaslr"))
        return int(known[1], 16) if known else 0

    def hits(self, raw: RawClient, slide: int) -> dict[int, int]:
        text = raw.monitor("probes")
        return {int(at, 16) - slide: int(count) for at, count in
                re.findall(r"^break (0x[0-9a-f]+), tracer \d+, .*?: (\d+) hits", text, re.M)}

    def go_through(self, suite: str, way: str = "auto") -> None:
        points = self.drawn(suite)
        init = INIT.format(complaints=COMPLAINTS, everything=int(self.everything))
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder, "drawn")
            drawn.write_text("".join(name + "\n" for name in points.values()))
            guest = Guest(f"--boot={way}", kernel=suite, init=init, cpus=2, wait=True,
                          append=f"panic=0 initcall_debug log_buf_len=4M {PATIENT}",
                          files=((drawn, "/etc/drawn"), *module_files(suite, Path(folder))))
        with guest, RawClient(guest, timeout=60) as raw:
            raw.attach()
            self.insert(raw, points, self.slide(raw))
            raw.send("vCont;c")
            guest.wait_for("early: looked", self.patience)
            self.assertNotRegex(guest.console, COMPLAINTS)
            guest.type("go\n")
            guest.wait_for("reached: end", self.patience)
            self.assertNotRegex(guest.console, COMPLAINTS)
            self.assertEqual(len(re.findall(r"modules: [1-9]\d*\nleft: 0\n", guest.console)), 2, guest.console[-2000:])
            raw.send_raw(b"\x03")
            while not raw.receive().startswith("T"):
                pass  # words, of points that have moved with the kernel
            slide = self.slide(raw)
            self.assertNotEqual(slide, 0)
            hits = self.hits(raw, slide)
            reached = set(guest.console.split("reached: begin")[1].split("reached: end")[0].split())
            missed = sorted(name for at, name in points.items() if name in reached and hits.get(at, 0) == 0)
            print(f"  {suite} {way}: {len(hits)} stand, {sum(count > 0 for count in hits.values())} hit, "
                  f"{len(reached)} of those drawn were reached by the kernel's own account")
            self.assertEqual(set(hits), set(points))
            self.assertGreater(len(reached), self.points // 50)
            self.assertGreater(sum(count > 0 for count in hits.values()), self.points // 15)
            self.assertEqual(missed, [])
            raw.ask("D;1")
            guest.type("still there\n")
            guest.wait_for("again: hello")


class Coherent(Patching):
    def test_6_1(self) -> None:
        self.go_through("6.1")


if __name__ == "__main__":
    unittest.main()
