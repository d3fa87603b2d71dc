"""How guests end, and what the tracers and the user are told."""

import re
import unittest

import case
from harness.gdb import Gdb
from harness.guest import TICKING, Guest

# The kernel's own way to a triple fault: an empty IDT and an int3.
TRIPLE = "reboot -f"
WHEN_TOLD = "read -r go\n"


class Ends(case.Case):
    def test_a_triple_fault_untraced_ends_with_registers_and_status_12(self) -> None:
        with Guest(init=TRIPLE, append="reboot=t") as guest:
            self.assertEqual(guest.status(), 12, guest.stderr)
            self.assertIn("triple fault", guest.stderr)
            self.assertRegex(guest.stderr, r"rip [0-9a-f]{16}[\s\S]*cr3 [0-9a-f]{16}")

    def test_a_triple_fault_traced_stops_and_is_not_a_reset(self) -> None:
        with Guest(init=WHEN_TOLD + TRIPLE, append="reboot=t", cpus=2, gdb=True) as guest:
            guest.wait_for("guest: init")
            with Gdb(guest) as one:
                guest.type("go\n")
                said = one.run("continue", timeout=40)
                self.assertRegex(said, r"SIG|stopped")
                self.assertRegex(one.run("info registers rip cr3"), r"cr3 +0x[0-9a-f]+")
                self.assertTrue(guest.running)
                self.assertIn("triple", (one.run("info threads") + one.run("monitor tracers") + said + guest.stderr).lower())
                one.run("monitor quit")
            self.assertEqual(guest.status(), 14)

    def test_a_traced_guest_that_powers_off_tells_gdb(self) -> None:
        with Guest(init=WHEN_TOLD + "poweroff -f", gdb=True) as guest:
            guest.wait_for("guest: init")
            with Gdb(guest, vmlinux=None) as one:
                guest.type("go\n")
                self.assertRegex(one.run("continue", timeout=40), r"exited normally|exited with code|closed")
            self.assertEqual(guest.status(), 0)

    def test_monitor_quit_ends_with_status_14(self) -> None:
        with Guest(init=TICKING, gdb=True) as guest:
            guest.wait_for("tick 2")
            with Gdb(guest, vmlinux=None) as one:
                self.assertIn("the guest ends", one.run("monitor quit"))
            self.assertEqual(guest.status(), 14)

    def test_monitor_reset_goes_back_to_the_first_instruction_with_everybody_attached(self) -> None:
        with Guest(init=TICKING, gdb=True, cpus=2) as guest:
            guest.wait_for("tick 2")
            with Gdb(guest) as one:
                before = one.run("p/x $cr3")
                one.run("monitor reset")
                one.run("maintenance flush register-cache")
                first = one.run("x/i $pc")
                self.assertRegex(first, r"=> 0x[0-9a-f]{1,8}:\s*lea .*%rsp")
                self.assertNotEqual(one.run("p/x $cr3").split("=")[1], before.split("=")[1])
                one.run("detach")
                self.assertEqual(one.quit(), 0)
            boots = guest.console.count("guest: init")
            guest.next("guest: init")
            guest.next("tick 2")
            self.assertEqual(guest.console.count("guest: init"), boots + 1)

    def test_breakpoints_set_before_a_reset_are_hit_after_it(self) -> None:
        # Moved by so little, most of the kernel's addresses are also such of the unrelocated vmlinux.
        with Guest("--kaslr=0x800000", init=TICKING, gdb=True) as guest:
            guest.wait_for("tick 2")
            with Gdb(guest) as one:
                one.run("hbreak start_kernel")
                one.run("monitor reset")
                one.run("maintenance flush register-cache")
                self.assertRegex(one.run("continue", timeout=40), r"Breakpoint 1, (0x\w+ in )?start_kernel")
                self.assertTrue(re.search("#1 .*secondary_startup", one.run("bt")))
                one.quit()


if __name__ == "__main__":
    unittest.main()
