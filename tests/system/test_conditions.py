"""Conditions and commands that are evaluated in the monitor, by stock gdb, on a kernel with two CPUs."""

import re
import unittest

import case
from harness.gdb import Gdb, gdb


class Conditions(case.TickingCase):
    options = ("--log-level", "info")

    def hits(self, text: str, what: str = "break") -> list[tuple[int, int]]:
        found = re.findall(rf"^{what} 0x\w+, tracer \d+, by [^:]*: (\d+) hits, (\d+) stops", text, re.MULTILINE)
        return [(int(hits), int(stops)) for hits, stops in found]

    def test_a_false_condition_never_stops_and_is_counted(self) -> None:
        with Gdb(self.guest) as one:
            one.run("set breakpoint always-inserted on")
            one.run("break do_sys_openat2 if dfd == 12345")
            one.start_continue()
            for _ in range(5):
                self.guest.next(r"tick [0-9]+")
            self.assertTrue(one.busy)
            one.interrupt()
            one.finish()
            self.assertIn("(target evals)", one.run("info breakpoints"))
            probes = one.run("monitor probes")
            (hits, stops), = self.hits(probes)
            self.assertGreater(hits, 5)
            self.assertEqual(stops, 0)
            self.assertIn("if reg 5;", probes)
            one.quit()

    def test_a_true_condition_stops_where_it_holds(self) -> None:
        out = gdb(self.guest, ["break ksys_write if count > 3 && buf != 0", "continue", "p count > 3", "continue",
                               "p count > 3", "info breakpoints"])
        self.assertEqual(len(re.findall(r"^\$\d+ = 1$", out.text, re.MULTILINE)), 2)
        self.assertIn("(target evals)", out.text)

    def test_memory_is_read_on_the_cpu_that_hits(self) -> None:
        # /etc/g...: gdb does not compile character literals
        out = gdb(self.guest, ["break do_sys_openat2 if filename[0] == 47 && filename[1] == 101 && filename[5] == 103",
                               "continue", "p (char *)filename", "info breakpoints"])
        self.assertIn('"/etc/greeting"', out.text)
        self.assertIn("(target evals)", out.text)

    def test_two_gdbs_with_opposite_conditions_get_each_its_own(self) -> None:
        with Gdb(self.guest) as never, Gdb(self.guest) as always:
            never.run("break do_sys_openat2 if dfd == 12345")
            always.run("break do_sys_openat2 if dfd != 12345")
            never.start_continue()
            for _ in range(3):
                self.assertIn("hit Breakpoint 1", always.run("continue"))
            self.assertTrue(never.busy)
            always.quit()
            self.guest.next(r"tick [0-9]+")
            self.assertTrue(never.busy)
            never.interrupt()
            never.finish()
            never.quit()

    def test_what_cannot_be_evaluated_stops_and_says_why(self) -> None:
        out = gdb(self.guest, ["break do_sys_openat2 if *(long *)16 == 3", "continue"])
        self.assertRegex(out.text, r"condition cannot be evaluated: .*0x10")

    def test_the_monitors_variables_filter_by_cpu_and_hit(self) -> None:
        out = gdb(self.guest, ["break do_sys_openat2 if $cpu == 1", "continue", "continue", "info breakpoints"])
        self.assertEqual(set(re.findall(r'"(CPU#\d)[^"]*" hit', out.text)), {"CPU#1"})
        self.assertIn("(target evals)", out.text)
        with Gdb(self.guest) as one:
            one.run("set breakpoint always-inserted on")
            one.run("break ksys_write if $hits % 4 == 0")
            one.run("continue")
            one.run("continue")
            (hits, stops), = self.hits(one.run("monitor probes"))
            self.assertEqual((hits, stops), (8, 2))
            one.quit()

    def test_dprintf_prints_without_a_stop(self) -> None:
        with Gdb(self.guest) as one:
            one.run("set dprintf-style agent")
            one.run(r'dprintf do_sys_openat2,"open %s from %d\n",filename,dfd')
            one.start_continue()
            for _ in range(4):
                self.guest.next(r"tick [0-9]+")
            self.assertTrue(one.busy)
            one.interrupt()
            said = one.finish()
            self.assertRegex(said, r"open /etc/greeting from -100")
            one.quit()
        self.guest.wait_for_stderr(r"tracer \d+: open /etc/greeting from -100")

    def test_conditions_hold_with_more_breakpoints_than_registers(self) -> None:
        names = ["do_filp_open", "vfs_open", "path_openat", "vfs_write", "kernel_clone", "ksys_read"]
        with Gdb(self.guest) as one:
            one.run("set breakpoint always-inserted on")
            for name in names:
                one.run(f"break {name} if $rsp == 1")
            one.run("break ksys_write if count > 3")
            for _ in range(5):
                self.assertIn("ksys_write", one.run("continue"))
            probes = one.run("monitor probes")
            self.assertIn("by int3", probes)
            self.assertGreater(sum(hits for hits, _ in self.hits(probes)), 20)
            one.quit()

    def test_the_points_come_back_as_a_script(self) -> None:
        out = gdb(self.guest, ["set breakpoint always-inserted on", "break do_sys_openat2 if dfd == 12345",
                               "monitor save-probes"])
        self.assertRegex(out.text, r"break \*0xffffffff\w+\n#   if reg 5;")


if __name__ == "__main__":
    unittest.main()
