"""Four CPUs run into breakpoints as fast as they can: what the guest counts and what the monitor counts agree."""

import re
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb
from harness.guest import Guest

HAMMER = Path(__file__).resolve().parent / "guests/hammer.c"
CPUS = 4


class Hammer(case.Case):
    guest: Guest

    @classmethod
    def setUpClass(cls) -> None:
        cls.guest = Guest(init="/bin/hammer", files=((kernels.c_program(HAMMER), "/bin/hammer"),), cpus=CPUS, gdb=True)
        cls.guest.wait_for("hammer: ready, 4 cpus")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()

    def go(self, calls: int) -> None:
        self.guest.type(f"go {calls}\n")

    def done(self, calls: int) -> None:
        """After all the guest has shown by the time of go()."""
        found = self.guest.wait_for(r"hammer: ([0-9]+) calls done, ([0-9]+) wrong", timeout=60, start=self.mark)
        self.assertEqual((found[1], found[2]), (str(calls * CPUS), "0"))

    def setUp(self) -> None:
        super().setUp()
        self.mark = self.guest.shown

    def hits(self, one: Gdb) -> dict[int, int]:
        listing = one.run("monitor probes")
        return {int(at, 16): int(hits) for at, hits in re.findall(r"^break (0x\w+), .*: (\d+) hits", listing, re.M)}

    def instructions(self, one: Gdb, function: str) -> list[int]:
        listing = one.run(f"disassemble {function}")
        return [int(at, 16) for at in re.findall(r"^\s*(0x[0-9a-f]+) <\+\d+>:", listing, re.M)]

    def test_every_instruction_of_a_function_is_passed_and_counted(self) -> None:
        calls = 300
        with Gdb(self.guest) as one:
            one.run("set breakpoint always-inserted on")
            places = self.instructions(one, "__x64_sys_getppid")
            self.assertGreater(len(places), 5)
            for place in places:
                one.run(f"break *{place:#x} if $rsp == 1")
            one.start_continue()
            self.go(calls)
            self.done(calls)
            self.assertTrue(one.busy)
            one.interrupt()
            one.finish()
            hits = self.hits(one)
            self.assertEqual(set(hits), set(places))
            # All but what a branch may leave out, and what follows the return.
            self.assertEqual(hits[places[0]], calls * CPUS)
            self.assertTrue(all(count in (0, calls * CPUS) for count in hits.values()), hits)
            self.assertGreater(sum(count > 0 for count in hits.values()), 4)
            one.quit()

    def test_no_hit_is_missed_while_another_tracer_steps(self) -> None:
        calls = 2000
        with Gdb(self.guest) as counts, Gdb(self.guest) as steps:
            counts.run("set breakpoint always-inserted on")
            for name in ("__x64_sys_getppid", "__task_pid_nr_ns", "syscall_exit_to_user_mode", "do_syscall_64"):
                counts.run(f"break *{name} if $rsp == 1")
            counts.start_continue()
            self.go(calls)
            for _ in range(20):
                steps.run("stepi 5", timeout=60)
            steps.quit()
            self.done(calls)
            counts.interrupt()
            counts.finish()
            place = int(re.search(r"0x[0-9a-f]+", counts.run("p/x (long)&__x64_sys_getppid"))[0], 16)
            self.assertEqual(self.hits(counts)[place], calls * CPUS)
            counts.quit()


if __name__ == "__main__":
    unittest.main()
