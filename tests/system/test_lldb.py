"""LLDB 14 attaches to a kernel with KASLR, stops at a breakpoint and leaves."""

import subprocess
import unittest

import case
from harness import kernels
from harness.guest import TICKING, Guest


class Lldb(case.Case):
    def lldb(self, guest: Guest, *commands: str) -> str:
        argv = ["lldb-14", "--batch", "--no-lldbinit"]
        for command in (f"gdb-remote {guest.target}", *commands):
            argv += ["-o", command]
        done = subprocess.run([*argv, str(kernels.vmlinux())], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=guest.patience(60))
        return done.stdout

    def test_a_breakpoint_is_hit_with_symbols_and_arguments(self) -> None:
        with Guest(init=TICKING, cpus=2, gdb=True) as guest:
            guest.wait_for("tick 3")
            said = self.lldb(guest, "thread list", "register read rip cr3 gs_base", "breakpoint set -n do_sys_openat2",
                             "continue", "bt 3", "frame variable dfd filename", "thread step-inst", "detach")
            self.assertIn("tid = 0x0002", said)
            self.assertRegex(said, r"cr3 = 0x0*[1-9a-f]")
            self.assertIn("stop reason = breakpoint 1.1", said)
            self.assertRegex(said, r"frame #1: .*`__x64_sys_openat")
            self.assertIn("dfd = -100", said)
            self.assertIn("stop reason = instruction step into", said)
            guest.next(r"tick [0-9]+")

    def test_its_end_leaves_the_guest_running(self) -> None:
        with Guest(init=TICKING, gdb=True) as guest:
            guest.wait_for("tick 3")
            said = self.lldb(guest, "breakpoint set -n do_sys_openat2", "bt 1")
            self.assertRegex(said, r"frame #0: 0xffffffff\w+ vmlinux[^`]*`\w+")
            guest.next(r"tick [0-9]+")


if __name__ == "__main__":
    unittest.main()
