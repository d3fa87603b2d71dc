"""The monitor knows where the guest is in its boot: stops without symbols, breakpoints that move with the kernel,
trouble."""

import re
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb
from harness.guest import SPINNING, TICKING, Guest
from harness.rawclient import RawClient

ROOT = Path(__file__).resolve().parent.parent.parent
GUESTS = Path(__file__).resolve().parent / "guests"


def number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    assert match, f"no {pattern!r} in: {text}"
    return int(match.group(1), 16)


class PlacesOfTheBoot(case.Case):
    """Nobody is attached at first, and no gdb here has a symbol file."""

    def stops(self, gdb: Gdb, why: str) -> str:
        text = gdb.run("continue", 60)
        self.assertRegex(text, rf"stopped: {why}")
        self.assertIn("received signal SIGTRAP", text)
        return text

    def test_a_kernel_that_moves_itself_is_followed_to_the_first_process_and_again_after_a_reset(self) -> None:
        with Guest("--boot=bzimage", "--stop-at=entry64,decompressor,relocated", "--stop-at=start_kernel,init,mark:0x42",
                   init=kernels.c_program(GUESTS / "mark.c"), cpus=2, gdb=True) as guest:
            guest.wait_for_stderr("CPU 0: stopped: entry64: .* waiting for a gdb")
            with Gdb(guest, vmlinux=None) as gdb:
                self.assertIn("0x0000000001000200", gdb.attached)
                self.stops(gdb, "decompressor")
                self.assertIn("not in its place yet", gdb.run("monitor kaslr"))
                text = number(r"_text (0x[0-9a-f]+)", self.stops(gdb, "the kernel runs at its final address"))
                self.assertTrue(text <= number(r"= (0x[0-9a-f]+)", gdb.run("p/x $pc")) < text + (64 << 20))
                self.stops(gdb, "start_kernel")
                self.assertIn(f"_text {text:#x} offset {text - 0xFFFFFFFF81000000:#x}", gdb.run("monitor kaslr"))
                self.assertIn("start_kernel", gdb.run("monitor sym $pc".replace("$pc", self.pc(gdb))))
                self.stops(gdb, "init: the first instruction of process 1")
                self.assertRegex(gdb.run("info registers cs"), r"cs +0x33")
                self.assertIn("[init/1]", gdb.run("info threads"))
                self.stops(gdb, "the guest's mark 0x42")
                gdb.run("monitor reset")
                self.stops(gdb, "entry64")
                self.assertIn("not in its place yet", gdb.run("monitor kaslr"))
                gdb.run("monitor stop-at none")
                gdb.run("monitor stop-at start_kernel")
                self.stops(gdb, "start_kernel")

    def pc(self, gdb: Gdb) -> str:
        return f"{number(r'= (0x[0-9a-f]+)', gdb.run('p/x $pc')):#x}"

    def test_so_is_one_of_6_12_that_the_monitor_has_placed(self) -> None:
        with Guest("--stop-at=relocated,start_kernel,init", kernel="6.12", cpus=2, gdb=True, wait=True) as guest:
            with Gdb(guest, vmlinux=None) as gdb:
                offset = number(r"offset (0x[0-9a-f]+)", gdb.run("monitor kaslr"))
                self.assertIn(f"offset {offset:#x} ", self.stops(gdb, "the kernel runs at its final address"))
                self.stops(gdb, "start_kernel")
                self.stops(gdb, "init")


class BreakpointsMoveWithTheKernel(case.Case):
    def guest(self) -> Guest:
        return Guest("--boot=bzimage", cpus=2, gdb=True, wait=True, init="sleep 60")

    def test_stock_gdb_at_the_decompressors_first_instruction_can_break_in_start_kernel(self) -> None:
        with self.guest() as guest, Gdb(guest) as gdb:
            self.assertRegex(gdb.run("break start_kernel"), "Breakpoint 1 at 0xffffffff83")
            text = gdb.run("continue", 60)
            slide = number(r"the kernel has moved by (0x[0-9a-f]+) since", text)
            self.assertIn(f"symbol-file -o {slide:#x} VMLINUX", text)
            self.assertIn("start_kernel+0x0", gdb.run(f"monitor sym {number('= (0x[0-9a-f]+)', gdb.run('p/x $pc')):#x}"))
            gdb.run(f"symbol-file -o {slide:#x} {kernels.vmlinux()}")
            self.assertIn("start_kernel () at init/main.c", gdb.run("bt"))
            gdb.run("break do_sys_openat2")
            self.assertIn("hit Breakpoint 2, do_sys_openat2", gdb.run("continue", 60))

    def test_who_was_told_of_a_small_slide_means_where_the_kernel_runs(self) -> None:
        with Guest("--kaslr=0x800000", cpus=2, gdb=True, wait=True, init="sleep 60") as guest, Gdb(guest) as gdb:
            for name in ("start_kernel", "do_sys_openat2", "vfs_open", "path_openat", "do_filp_open", "ksys_write"):
                gdb.run(f"break {name}")
            self.assertIn("hit Breakpoint 1, start_kernel", gdb.run("continue", 60))
            self.assertIn("start_kernel () at init/main.c", gdb.run("bt"))
            self.assertRegex(gdb.run("continue", 60), "hit Breakpoint [2-6], ")
            self.assertNotIn("moved", gdb.run("monitor probes"))

    def test_with_ringsides_gdbinit_its_symbols_follow_by_themselves(self) -> None:
        with self.guest() as guest, Gdb(guest, attach=False) as gdb:
            gdb.run(f"source {ROOT}/gdbinit/ringside.gdb")
            gdb.run(f"target remote {guest.target}")
            gdb.run("break start_kernel")
            self.assertIn("start_kernel () at init/main.c", gdb.run("continue", 60))
            self.assertRegex(gdb.run("p &runqueues"), r"0x[0-9a-f]{5} <runqueues>")  # an offset: not moved
            gdb.run("break do_sys_openat2")
            self.assertIn("hit Breakpoint 2, do_sys_openat2", gdb.run("continue", 60))
            gdb.run("monitor stop-on hang:2")
            gdb.run("set *(unsigned *)$pc = 0x00feebfa")  # cli; jmp .
            self.assertRegex(gdb.run("continue", SPINNING), r"hang: CPU \d has taken no interrupt for 2 s, and is at do_sys_open")

    def test_a_kernel_that_comes_to_another_place_than_before_meets_them_there(self) -> None:
        with Guest("--boot=64", init=TICKING, gdb=True) as guest, RawClient(guest) as raw:
            guest.wait_for("tick 2")
            raw.attach()
            before = slide = number(r"offset (0x[0-9a-f]+)", raw.monitor("kaslr"))
            at = raw.symbol("do_sys_openat2")
            self.assertEqual(raw.ask(f"Z1,{at:x},1"), "OK")
            while slide == before:  # one boot in some hundred
                raw.monitor("reset")
                raw.send("vCont;c")
                words = ""
                while not (stop := raw.receive()).startswith("T"):
                    words += bytes.fromhex(stop[1:]).decode(errors="replace")
                slide = number(r"offset (0x[0-9a-f]+)", raw.monitor("kaslr"))
            moved = at - before + slide
            self.assertIn(f"break {at:#x} has moved with the kernel to {moved:#x}", words)
            self.assertIn(f"breakpoint {at:#x} is met at {moved:#x}: the kernel has moved by ", words)
            self.assertEqual(int.from_bytes(bytes.fromhex(raw.ask("p10"))[:8], "little"), moved)
            self.assertEqual(raw.ask(f"z1,{at:x},1"), "OK")
            self.assertNotIn("tracer 1", raw.monitor("probes"))


class Trouble(case.Case):
    def test_a_warning_an_oops_and_the_panic_that_follows_are_stopped_on_with_the_kernels_words(self) -> None:
        with Guest("--stop-on=panic,oops,warn", gdb=True, init=TICKING) as guest:
            guest.wait_for("guest: init")
            with Gdb(guest) as gdb:
                gdb.run("break do_sys_openat2")
                gdb.run("continue", 60)
                gdb.run("delete")
                # The first entry of the bug table that is a warning, in text that is still there (Linux include/asm-generic/bug.h).
                gdb.run("set $bug = (char *)&__start___bug_table")
                gdb.run("set $at = $bug")
                gdb.run("while (*(short *)($bug + 10) & 1) == 0 || $at > (char *)&_etext\n"
                        "set $bug = $bug + 12\nset $at = $bug + *(int *)$bug\nend")
                gdb.run("set $pc = $at")
                self.assertRegex(gdb.run("continue", 60), r"stopped: warning: \S+\.[ch]:\d+ at \w+\+0x")
                gdb.run("monitor reset")
                gdb.run("tbreak do_sys_openat2")
                gdb.run("continue", 60)
                gdb.run("set $pc = 0")
                self.assertRegex(gdb.run("continue", 60), r"stopped: oops: Oops \(0010\) at 0x0")
                self.assertIn("stopped: panic: Attempted to kill init! exitcode=0x9", gdb.run("continue", 60))

    def test_a_panic_that_nobody_watches_waits_for_a_gdb(self) -> None:
        with Guest("--stop-on=panic", gdb=True, kernel="6.12", init="echo c >/proc/sysrq-trigger") as guest:
            guest.wait_for_stderr("stopped: panic: sysrq triggered crash; waiting for a gdb", 60)
            self.assertTrue(guest.running)
            with Gdb(guest, vmlinux=None) as gdb:
                self.assertIn("stopped: panic: sysrq triggered crash", gdb.run("info threads"))
                self.assertRegex(gdb.run("monitor probes"), r"monitor: stop at panic, .* 1 hits, 1 stops")


if __name__ == "__main__":
    unittest.main()
