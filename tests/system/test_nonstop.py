"""Non-stop by stock gdb: one CPU stands, the other runs; beside an all-stop gdb."""

import re
import time
import unittest

import case
from harness.gdb import Gdb
from harness.place import TOP


class NonStop(case.TickingCase):
    def non_stop(self) -> Gdb:
        one = Gdb(self.guest, attach=False)
        one.run("set non-stop on")
        one.run(f"source {TOP / 'gdbinit/ringside.gdb'}")
        one.run(f"target remote {self.guest.target}")
        one.run("rs-kaslr")  # gdb does not ask for offsets in non-stop mode
        time.sleep(1.0 * self.guest.place.slowness)  # the second CPU's stop comes a little later
        return one

    def test_the_symbols_are_where_the_kernel_is(self) -> None:
        with self.non_stop() as one:
            place = re.search(r"_text (0x[0-9a-f]+)", one.run("monitor kaslr"))
            self.assertIn(place[1], one.run("p/x (long)&_text"))
            one.quit()

    def threads(self, one: Gdb) -> dict[str, bool]:
        """Which CPUs run, as gdb sees it."""
        listing = one.run("info threads")
        return {cpu: "(running)" in rest for cpu, rest in re.findall(r'"(CPU#\d)[^"]*"(.*)', listing)}

    def test_it_attaches_and_sees_every_cpu_stopped(self) -> None:
        with self.non_stop() as one:
            self.assertEqual(self.threads(one), {"CPU#0": False, "CPU#1": False})
            one.quit()

    def test_one_cpu_runs_while_the_other_stands(self) -> None:
        with self.non_stop() as one:
            one.run("thread 2")
            one.run("continue &")
            self.assertEqual(self.threads(one), {"CPU#0": False, "CPU#1": True})
            one.run("thread 1")
            self.assertRegex(one.run("p $pc"), r"0x")
            one.run("stepi")
            self.assertEqual(self.threads(one), {"CPU#0": False, "CPU#1": True})
            one.run("interrupt -a")
            time.sleep(0.5 * self.guest.place.slowness)
            self.assertEqual(self.threads(one), {"CPU#0": False, "CPU#1": False})
            one.quit()

    def test_a_breakpoint_stops_its_cpu_and_a_gdb_beside_it_nothing(self) -> None:
        with self.non_stop() as one, Gdb(self.guest) as whole:
            whole.run("tbreak panic")
            whole.start_continue()
            one.run("break do_sys_openat2")
            one.run("continue -a &")
            end = time.monotonic() + self.guest.patience(20)
            while all(self.threads(one).values()) and time.monotonic() < end:
                time.sleep(0.2)
            stopped = [cpu for cpu, runs in self.threads(one).items() if not runs]
            self.assertTrue(stopped, "no CPU has hit")
            self.assertTrue(whole.busy)
            one.run("delete")
            one.run("continue -a &")
            self.guest.next(r"tick [0-9]+")
            one.kill()
            whole.interrupt()
            whole.finish()
            whole.quit()


if __name__ == "__main__":
    unittest.main()
