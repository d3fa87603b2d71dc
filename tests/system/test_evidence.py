"""What a guest leaves behind, dead or alive: dumps for crash and drgn, and what its CPUs were at."""

import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.guest import SPINNING, TICKING, Guest
from harness.place import ringside, the_place
from harness.rawclient import RawClient
from test_guestos import MODULE, module_files

import crashes  # noqa: E402  (the lab's; harness.place has it on the path)

BUSY = ("ksys_read", "ksys_write", "do_sys_openat2", "vfs_read", "vfs_write", "ksys_mmap_pgoff", "do_exit", "wake_up_new_task")
TELLING = f"""for m in /m/*; do insmod $m; done
echo "told: $(grep ' do_exit$' /proc/kallsyms)"
{TICKING}"""
LOOKING = r"""
import json, sys, drgn
from drgn.helpers.linux import for_each_task, list_for_each_entry, get_dmesg, for_each_online_cpu
def cpu_curr(prog, cpu):
    from drgn.helpers.linux import per_cpu
    return per_cpu(prog["runqueues"], cpu).curr
prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info([sys.argv[2]])
seen = {"tasks": {t.pid.value_(): t.comm.string_().decode() for t in for_each_task(prog)},
        "log": get_dmesg(prog).decode(errors="replace").splitlines(),
        "modules": [m.name.string_().decode() for m in
                    list_for_each_entry("struct module", prog["modules"].address_of_(), "list")],
        "cpus": list(for_each_online_cpu(prog)),
        "first bytes": {name: prog.read(prog.symbol(name).address, 1).hex() for name in sys.argv[3:]},
        "stack": [f.name for f in prog.stack_trace(2)],
        "running": [[f.name for f in prog.stack_trace(cpu_curr(prog, cpu))] for cpu in for_each_online_cpu(prog)]}
print(json.dumps(seen))
"""


class Evidence(case.Case):
    def setUp(self) -> None:
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="ringside-evidence-")
        self.addCleanup(self.folder.cleanup)
        self.core = Path(self.folder.name, "vmcore")

    def boot(self, *options: str, **more: object) -> Guest:
        guest = Guest(*options, **{"init": TICKING, "cpus": 2, "gdb": True, **more})
        self.addCleanup(guest.end)
        return guest

    def ask(self, guest: Guest, *question: str) -> str:
        done = subprocess.run([ringside(), question[0], guest.target, *question[1:]], capture_output=True, text=True,
                              timeout=guest.patience(30))
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    def drgn(self, *symbols: str) -> dict:
        done = subprocess.run(["/usr/bin/python3", "-c", LOOKING, self.core, kernels.vmlinux(), *symbols],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def crash(self, *commands: str) -> dict[str, str]:
        """What each command shows."""
        script = "".join(f"!echo @@{number}\n{command}\n" for number, command in enumerate(commands)) + "quit\n"
        done = subprocess.run([crashes.newer(), "-s", "--no_scroll", kernels.vmlinux(), self.core], input=script,
                              capture_output=True, text=True, errors="replace", timeout=300,
                              env={**os.environ, "HOME": self.folder.name})
        parts = re.split(r"@@(\d+)\n", done.stdout)
        shown = {commands[int(number)]: text for number, text in zip(parts[1::2], parts[2::2])}
        self.assertEqual(set(shown), set(commands), done.stdout + done.stderr)
        return shown


class OfALivingGuest(Evidence):
    def test_a_dump_opens_in_crash_and_drgn_and_the_guest_goes_on(self) -> None:
        files = module_files("6.1", Path(self.folder.name))
        guest = self.boot(init=TELLING, files=files, append="kptr_restrict=0")
        guest.wait_for("tick 2", 60)
        with RawClient(guest) as other:
            other.attach()
            for name in BUSY:  # more than there are debug registers
                at = int(re.match(r"0x([0-9a-f]+)", self.ask(guest, "sym", name))[1], 16)
                self.assertEqual(other.ask(f"Z0,{at:x},1"), "OK")
            stop = other.ask("vCont;c")  # a CPU stands in the kernel, and goes on standing there
            self.assertRegex(stop, "^T05")
            cpu = int(re.search(r"core:(\d+);", stop)[1])
            said = self.ask(guest, "dump", str(self.core))
            self.assertTrue(other.silent(0.2))
            self.assertEqual(other.ask("D"), "OK")
        self.assertRegex(said, r"vmcore: 256 MiB of memory, \d+ MiB of it not zero, in [\d.]+ s\n")
        guest.next(r"tick [0-9]+")
        there = self.core.stat()
        self.assertGreater(there.st_size, 256 << 20)
        self.assertLess(there.st_blocks * 512, 200 << 20)
        self.assertEqual(there.st_mode & 0o777, 0o600)

        seen = self.drgn(*BUSY)
        self.assertEqual((seen["tasks"]["1"], seen["tasks"]["2"]), ("init", "kthreadd"))
        self.assertIn(MODULE, seen["modules"])
        self.assertEqual(seen["cpus"], [0, 1])
        self.assertTrue(any("Linux version" in line for line in seen["log"]))
        self.assertIn("kthreadd", seen["stack"])
        self.assertTrue(set(seen["running"][cpu]) & set(BUSY), (stop, seen["running"]))
        self.assertNotIn("cc", seen["first bytes"].values())

        shown = self.crash("sys", "ps", "bt -a", "bt 2", "log", "mod")
        self.assertRegex(shown["bt -a"], rf"exception RIP: ({'|'.join(BUSY)})\b")
        self.assertRegex(shown["sys"], r"CPUS: 2\n")
        self.assertRegex(shown["ps"], r"(?m)^>? +1 +0 +\d .* init$")
        self.assertIn(" kthreadd at ", shown["bt 2"])
        self.assertIn("Linux version", shown["log"])
        self.assertIn(MODULE, shown["mod"])

    def test_what_a_cpu_has_is_what_the_guest_says(self) -> None:
        guest = self.boot(append="kptr_restrict=0 nokaslr")
        guest.wait_for("tick 2", 60)
        entry = int(re.match(r"0x([0-9a-f]+)", self.ask(guest, "sym", "asm_exc_page_fault"))[1], 16)
        self.assertIn(f"0x0e #PF page fault: interrupt gate to 0x10:{entry:#x} asm_exc_page_fault+0x0",
                      self.ask(guest, "idt"))
        syscall = int(re.match(r"0x([0-9a-f]+)", self.ask(guest, "sym", "entry_SYSCALL_64"))[1], 16)
        self.assertIn(f"0xc0000082 LSTAR {syscall:#x}\n", self.ask(guest, "msr"))
        self.assertRegex(self.ask(guest, "gdt"), r"0x10: [0-9a-f]{16} 64-bit code, readable dpl 0 base 0x0 limit 0xffffffff\n")
        self.assertRegex(self.ask(guest, "gdt"), r"0x40: [0-9a-f]{16} TSS, busy dpl 0 base 0xfffffe")
        text = self.ask(guest, "pagetable", f"{syscall:#x}")
        self.assertRegex(text, r"^4-level paging, CR3 0x[0-9a-f]+\nPML4 \[0x1ff\] at 0x")
        self.assertRegex(text, rf"{syscall:#x} is 0x[0-9a-f]+, in a page of \d (MiB|KiB): read execute, kernel only\n")
        self.assertRegex(self.ask(guest, "pagetable", "0xffff800000000000"), "is not mapped")
        self.assertRegex(self.ask(guest, "lapic"), r"APIC 0 x2?APIC, boot CPU, version 0x14")
        self.assertRegex(self.ask(guest, "lapic"), r"LVT timer +[0-9a-f]{8} vector 0xec, (TSC deadline|one-shot)")
        self.assertRegex(self.ask(guest, "ioapic"), r"(?m)^ 4 [0-9a-f]{16} vector 0x\w\w, fixed to \w+ 0x\w+, high edge$")
        self.assertRegex(self.ask(guest, "memory"), r"^0x0 0x10000000 ram\n0x1000000 0x\w+ kernel 0xffffffff81000000\n0x0 \w+ direct 0xffff")
        self.assertRegex(self.ask(guest, "vmcoreinfo"), r"^OSRELEASE=6\.1\.")

    def test_a_stack_is_shown_through_an_interrupt(self) -> None:
        guest = self.boot(init="(while :; do :; done) &\n" + TICKING)
        guest.wait_for("tick 2", 60)
        with RawClient(guest) as client:
            client.attach()
            at = client.symbol("hrtimer_interrupt")
            self.assertEqual(client.ask(f"Z0,{at:x},1"), "OK")
            interrupted: set[bool] = set()
            for _ in range(40):
                stop = client.ask("vCont;c")
                thread = re.search(r"thread:([^;]+);", stop)[1]
                self.assertEqual(client.ask(f"Hg{thread}"), "OK")
                lines = client.monitor("backtrace").splitlines()
                shown = "\n".join(lines)
                self.assertRegex(shown, r"(?m)^0x[0-9a-f]{16} hrtimer_interrupt\+0x0/0x[0-9a-f]+$")
                self.assertRegex(shown, r"(?m)^0x[0-9a-f]{16} asm_sysvec_apic_timer_interrupt\+")
                interrupted.add(lines[0] == "<IRQ>")
                if lines[0] == "<IRQ>":  # the kernel was interrupted, not a program
                    self.assertIn("asm_sysvec_apic_timer_interrupt+", lines[lines.index("</IRQ>") - 1])
                    self.assertGreater(len(lines), lines.index("</IRQ>") + 1)
                else:
                    self.assertRegex(lines[-1], "^user mode: rip 0x")
                if interrupted == {True, False}:
                    break
            self.assertEqual(interrupted, {True, False})
            self.assertEqual(client.ask(f"z0,{at:x},1"), "OK")


class ByItself(Evidence):
    def setUp(self) -> None:
        super().setUp()
        self.there = "/files/evidence-vmcore" if the_place().name != "host" else str(self.core)

    def fetch(self) -> None:
        if the_place().name != "host":
            the_place().lab.get(self.there, self.core)
            the_place().lab.exec(["rm", self.there])

    def broken(self, event: str, words: str, breaking) -> str:
        """Has a CPU of a guest broken where it is in do_sys_openat2, and returns what drgn says of where the CPUs were."""
        guest = self.boot(f"--dump-on={event}", f"--dump-file={self.there}")
        guest.wait_for("tick 2", 60)
        with RawClient(guest) as client:
            client.attach()
            at = client.symbol("do_sys_openat2")
            self.assertEqual(client.ask(f"Z1,{at:x},1"), "OK")
            self.assertRegex(client.ask("vCont;c"), "^T05")
            self.assertEqual(client.ask(f"z1,{at:x},1"), "OK")
            breaking(client, at)
            client.send("vCont;c")
            guest.wait_for_stderr(rf"dumping: {words}.*\n(.*\n)*ringside: dumped to ", SPINNING)
        guest.end()
        self.fetch()
        return str(self.drgn()["running"])

    def go_to(self, client: RawClient, at: int) -> None:
        self.assertEqual(client.ask(f"P10={at.to_bytes(8, 'little').hex()}"), "OK")

    def warning(self, client: RawClient) -> int:
        """The first entry of the bug table that is one, in text that is still there (Linux include/asm-generic/bug.h)."""
        table, end = client.symbol("__start___bug_table"), client.symbol("_etext")
        while True:
            place, _, _, flags = struct.unpack("<iiHH", bytes.fromhex(client.ask(f"m{table:x},c")))
            if flags & 1 and table + place < end:
                return table + place
            table += 12

    def test_a_warning_is_dumped(self) -> None:
        self.assertIn("__warn", self.broken("warn", r"warning: \S+\.[ch]:\d+ at ",
                                            lambda client, _: self.go_to(client, self.warning(client))))

    def test_an_oops_is_dumped(self) -> None:
        self.assertIn("page_fault", self.broken("oops", r"oops: Oops \(0010\) at 0x0", lambda client, _: self.go_to(client, 0)))

    def test_a_hang_is_dumped(self) -> None:
        def spin(client: RawClient, at: int) -> None:
            self.assertEqual(client.ask(f"M{at:x},3:faebfe"), "OK")  # cli; jmp .
        self.assertIn("do_sys_open", self.broken("hang:8", r"hang: CPU \d has taken no interrupt for 8 s, and is at do_sys_open", spin))

    def test_a_panic_is_dumped_and_the_guest_goes_on_to_reboot(self) -> None:
        guest = self.boot("--dump-on=panic,hang:60", f"--dump-file={self.there}",
                          init="echo before >/dev/kmsg; echo c >/proc/sysrq-trigger")
        self.assertEqual(guest.status(90), 10)
        self.assertRegex(guest.stderr, r"dumping: panic: .*\n(.*\n)*ringside: dumped to ")
        self.fetch()
        seen = self.drgn()
        self.assertIn("before", "\n".join(seen["log"]))
        self.assertTrue(any("panic" in frames for frames in seen["running"]), seen["running"])
        self.assertNotIn("Rebooting in", "\n".join(seen["log"]))

    def test_a_panic_that_is_a_stop_too_is_dumped_first_and_waits_for_a_person(self) -> None:
        guest = self.boot("--dump-on=panic", "--stop-on=panic", f"--dump-file={self.there}",
                          init="echo c >/proc/sysrq-trigger")
        guest.wait_for_stderr("dumped to ", 90)
        self.fetch()
        time.sleep(1)
        self.assertTrue(guest.running)
        self.ask(guest, "dump", str(self.core))  # another one; the guest goes on waiting
        time.sleep(1)
        self.assertTrue(guest.running)
        with RawClient(guest) as client:
            self.assertRegex(client.attach(), "^T05")
            self.assertRegex(client.monitor("backtrace"), "panic|sysrq_handle_crash")
            client.send("vCont;c")
            self.assertEqual(guest.status(60), 10)

    def test_a_triple_fault_is_dumped(self) -> None:
        there = self.there
        guest = self.boot("--dump-on=triple-fault", f"--dump-file={there}", init="reboot -f", append="reboot=t")
        self.assertEqual(guest.status(90), 12)
        # KVM on AMD has nothing of the CPU left; what is shown is old, and said to be.
        self.assertRegex(guest.stderr, r"CPU \d: triple fault( \(this host's KVM has reset the CPU: its registers are "
                                       r"those of when it last left the guest, \d+ ms before, .*\))?\n")
        self.assertRegex(guest.stderr, r"cr0 80050033 cr3 0*[1-9a-f][0-9a-f]+ cr4 ")
        self.assertRegex(guest.stderr, rf"dumped to {there}: 256 MiB of memory, \d+ MiB of it not zero\n")
        self.fetch()
        seen = self.drgn("do_exit")
        self.assertEqual((seen["tasks"]["1"], seen["tasks"]["2"]), ("init", "kthreadd"))
        self.assertTrue(any("reboot: Restarting system" in line or "reboot: machine restart" in line for line in seen["log"]), seen["log"][-5:])


if __name__ == "__main__":
    unittest.main()
