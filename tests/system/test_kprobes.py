"""The kernel's own probes and ours in one function: each works, whoever comes first."""

import re
import unittest

import case
from harness.guest import Guest
from harness.rawclient import RawClient

FUNCTION = "vfs_open"  # one that the kernel can make a jump in: it has a single return
NEVER = "22" "00" "27"  # const8 0, end: it is counted, and nobody stops
INIT = """mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
cd /sys/kernel/tracing
stty -echo
while read line; do eval "$line"; echo "done: $?"; done"""
COMPLAINTS = r"Oops|BUG|WARNING: CPU|Call Trace|int3|invalid opcode|general protection"


class Kprobes(case.Case):
    def setUp(self) -> None:
        super().setUp()
        self.guest = Guest(init=INIT, cpus=2, gdb=True)
        self.addCleanup(self.guest.end)
        self.guest.wait_for("guest: init")
        self.client = RawClient(self.guest)
        self.addCleanup(self.client.close)
        self.client.attach()
        self.function = self.client.symbol(FUNCTION)
        listing = self.client.monitor(f"x/40i {self.function:#x}")
        self.code = [int(at, 16) for at in re.findall(r"^(0x[0-9a-f]+)", listing, re.M)]
        elsewhere = self.client.symbol("panic")
        for number in range(4):  # the debug registers are others'
            self.assertEqual(self.client.ask(f"Z1,{elsewhere + number:x},1"), "OK")

    def tearDown(self) -> None:
        self.assertNotRegex(self.guest.console, COMPLAINTS)
        super().tearDown()

    def run_guest(self) -> None:
        self.client.send("vCont;c")

    def stop_guest(self) -> None:
        self.client.send_raw(b"\x03")
        self.assertRegex(self.client.receive(), "^T02")

    def say(self, line: str) -> str:
        """What the line shows, of a guest that runs."""
        start = self.guest.shown
        self.guest.type(line + "\n")
        end = self.guest.wait_for(r"done: (\d+)", 60, start)
        self.assertEqual(end[1], "0", self.guest.console[-1000:])
        return self.guest._out.text[start:end.start()]

    def probe(self, name: str, at: int) -> None:
        self.say(f"echo 'p:{name} {FUNCTION}+{at - self.function}' >>kprobe_events")
        self.say(f"echo 1 >events/kprobes/{name}/enable")

    def unprobe(self, name: str) -> None:
        self.say(f"echo 0 >events/kprobes/{name}/enable")
        self.say(f"echo '-:{name}' >>kprobe_events")

    def optimised(self) -> bool:
        """Becomes one in time, or not: the kernel waits until nobody can be in the instructions that are to go."""
        return "yes" in self.say("for i in 1 2 3 4 5 6 7 8; do sleep 1; grep -q OPTIMIZED /sys/kernel/debug/kprobes/list && echo yes && break; done; true")

    def seen_by_kernel(self, name: str) -> int:
        """How often its probe is hit while a file is opened."""
        return int(re.search(r"times: (\d+)", self.say(
            f"echo >trace; cat /etc/greeting >/dev/null; echo times: $(grep -c ' {name}: ' trace)"))[1])

    def insert(self, at: int) -> None:
        self.assertEqual(self.client.ask(f"Z0,{at:x},1;X{len(NEVER) // 2},{NEVER}"), "OK")

    def ours(self, at: int) -> tuple[str, int]:
        """What carries it, and its hits."""
        found = re.search(rf"^break {at:#x}, tracer \d+, (.*?): (\d+) hits", self.client.monitor("probes"), re.M)
        self.assertTrue(found)
        return found[1], int(found[2])

    def hit_meanwhile(self, at: int) -> int:
        before = self.ours(at)[1]
        self.run_guest()
        self.say("cat /etc/greeting >/dev/null")
        self.stop_guest()
        return self.ours(at)[1] - before

    def two_in_one_jump(self) -> tuple[int, int]:
        """Two instructions of which the second is where a jump from the first would go over; not the patched first ones."""
        for first, second in zip(self.code[4:], self.code[5:]):
            if second - first < 5 and second < self.function + 0x60:
                return first, second
        raise AssertionError(self.code)

    def test_a_kprobe_behind_a_breakpoint_is_allowed_and_both_are_hit(self) -> None:
        ours, theirs = self.code[3], self.code[8]
        self.insert(ours)
        self.assertEqual(self.ours(ours)[0], "by int3")
        self.run_guest()
        self.probe("behind", theirs)
        self.assertGreater(self.seen_by_kernel("behind"), 0)
        self.assertFalse(self.optimised())
        self.stop_guest()
        self.assertGreater(self.hit_meanwhile(ours), 0)
        # And both at one place.
        self.insert(theirs)
        self.assertGreater(self.hit_meanwhile(theirs), 0)
        self.run_guest()
        self.assertGreater(self.seen_by_kernel("behind"), 0)
        self.unprobe("behind")
        self.probe("again", theirs)
        self.assertGreater(self.seen_by_kernel("again"), 0)
        self.stop_guest()
        self.assertGreater(self.hit_meanwhile(theirs), 0)

    def test_a_breakpoint_in_the_middle_of_a_kprobes_jump_waits(self) -> None:
        theirs, ours = self.two_in_one_jump()
        self.run_guest()
        self.probe("jump", theirs)
        self.assertTrue(self.optimised())
        self.stop_guest()
        self.insert(ours)
        self.assertRegex(self.ours(ours)[0], "^pending for .*: a jump of the kernel's goes over this place")
        self.assertEqual(self.hit_meanwhile(ours), 0)
        self.run_guest()
        self.assertGreater(self.seen_by_kernel("jump"), 0)
        self.unprobe("jump")
        self.say("sleep 1")
        self.stop_guest()
        self.assertEqual(self.ours(ours)[0], "by int3")
        self.assertGreater(self.hit_meanwhile(ours), 0)

    def test_a_breakpoint_that_a_kprobe_jumps_over_comes_back(self) -> None:
        theirs, ours = self.two_in_one_jump()
        self.run_guest()
        self.say("echo 0 >/proc/sys/debug/kprobes-optimization")
        self.probe("later", theirs)
        self.stop_guest()
        self.insert(ours)
        self.assertGreater(self.hit_meanwhile(ours), 0)
        self.run_guest()
        self.say("echo 1 >/proc/sys/debug/kprobes-optimization")
        self.assertTrue(self.optimised())
        self.assertGreater(self.seen_by_kernel("later"), 0)
        self.stop_guest()
        self.assertEqual(self.ours(ours)[0], "by int3, jumped over by the kernel for now")
        self.assertEqual(self.hit_meanwhile(ours), 0)
        self.run_guest()
        self.say("echo 0 >/proc/sys/debug/kprobes-optimization")
        self.stop_guest()
        self.assertEqual(self.ours(ours)[0], "by int3")
        self.assertGreater(self.hit_meanwhile(ours), 0)


if __name__ == "__main__":
    unittest.main()
