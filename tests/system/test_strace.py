"""The guest's system calls from outside: `ringside strace`, and gdb's `catch syscall`, on an unprepared kernel."""

import contextlib
import json
import re
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb, gdb
from harness.guest import Guest
from harness.strace import Strace

OPENS = r'openat\(AT_FDCWD, "/etc/greeting", O_RDONLY[|A-Z_]*\) = 3\n'


class OnARunningGuest(case.TickingCase):
    """Its init echoes, and runs cat and usleep in turn."""

    def test_the_calls_of_all_processes_are_shown(self) -> None:
        with Strace(self.guest) as strace:
            strace.wait_for(OPENS)
            strace.wait_for(r"\+\+\+ exited with 0 \+\+\+\n")
            strace.wait_for(r"execve\(")
            strace.wait_for(r'write\(1, "tick \d+\\n", \d+\) +=')
            text = strace.interrupt()
            self.assertEqual(strace.process.returncode, 0, strace.stderr)
        self.assertNotIn("lost", text)
        self.assertRegex(text, r"wait4\(-1, ")
        self.assertRegex(text, r"exit_group\(0\) += \?\n")

    def test_a_filter_lets_only_its_calls_through(self) -> None:
        with Strace(self.guest, "-e", "trace=openat") as strace:
            strace.wait_for(OPENS)
            text = strace.interrupt()
        calls = set(re.findall(r"^\[pid +\d+\] (\w+)\(", text, re.MULTILINE))
        self.assertEqual(calls, {"openat"})

    def test_counting_counts(self) -> None:
        with Strace(self.guest, "-c", "-e", "trace=openat,exit_group") as strace:
            for _ in range(5):
                self.guest.next(r"tick [0-9]+")
            table = strace.interrupt()
        self.assertRegex(table, r"% time +seconds +usecs/call +calls +errors syscall\n")
        calls = int(re.search(r" (\d+) +(?:\d+ )?openat\n", table)[1])
        self.assertGreaterEqual(calls, 4)

    def test_json_is_one_object_a_line(self) -> None:
        with Strace(self.guest, "--json", "-e", "trace=openat") as strace:
            strace.wait_for(r"/etc/greeting")
            strace.wait_for(r"\n")
            text = strace.interrupt()
        calls = [json.loads(line) for line in text.splitlines()]
        opened = next(call for call in calls if call.get("args", [None, None])[1:2] == ['"/etc/greeting"'])
        self.assertEqual((opened["event"], opened["call"], opened["result"]), ("call", "openat", 3))
        self.assertEqual(opened["args"][0], "AT_FDCWD")

    def test_times_are_those_of_the_calls(self) -> None:
        with Strace(self.guest, "-T", "-ttt", "-e", "trace=nanosleep,clock_nanosleep") as strace:
            took = strace.wait_for(r"nanosleep\(.*\) += 0 <(\d+\.\d{6})>\n")
            strace.interrupt()
        self.assertGreater(float(took[1]), 0.09)

    def test_a_process_and_its_children(self) -> None:
        with Strace(self.guest, "-p", "1", "-e", "openat,exit_group") as strace:
            strace.wait_for(OPENS)
            strace.interrupt()
        with Strace(self.guest, "-p", "2") as strace:  # kthreadd makes no calls
            for _ in range(3):
                self.guest.next(r"tick [0-9]+")
            self.assertNotIn("(", strace.interrupt())

    def test_by_name_by_path_by_status_and_with_stacks(self) -> None:
        with Strace(self.guest, "--comm", "cat") as cat, Strace(self.guest, "-P", "/etc/greeting") as path, \
                Strace(self.guest, "-Z", "-e", "!wait4") as failed, Strace(self.guest, "-k", "-y", "-e", "%file,close") as stack:
            cat.wait_for(OPENS)
            path.wait_for(OPENS)
            stack.wait_for(r"= 3</etc/greeting>\n > do_syscall_64\+0x[0-9a-f]+\n > entry_SYSCALL_64\w*\+0x[0-9a-f]+\n > 0x[0-9a-f]+\n")
            stack.wait_for(r"close\(3</etc/greeting>\) += 0")
            self.assertNotIn('write(1, "tick', cat.interrupt())
            self.assertLessEqual(set(re.findall(r"^\[pid +\d+\] (\w+)\(", path.interrupt(), re.MULTILINE)),
                                 {"openat", "close", "sendfile", "read", "fstat", "newfstatat"})
            self.assertNotRegex(failed.interrupt(), r"\) += \d")
            stack.interrupt()

    def test_a_gdb_stops_and_steps_beside_it(self) -> None:
        with contextlib.ExitStack() as both:
            strace = both.enter_context(Strace(self.guest))
            strace.wait_for(OPENS)
            one = both.enter_context(Gdb(self.guest))  # which stops the guest
            one.run("break do_sys_openat2 if filename[0] == 47 && filename[5] == 103")
            for _ in range(3):
                self.assertIn("hit Breakpoint 1", one.run("continue"))
                one.run("stepi")
                one.run("stepi")
            one.run("delete")
            one.quit()
            strace.wait_for(OPENS, start=len(strace.text))
            self.assertNotIn("lost", strace.interrupt())

    def test_two_at_once_have_each_their_own(self) -> None:
        with Strace(self.guest, "-e", "openat") as opens, Strace(self.guest, "-e", "write") as writes:
            opens.wait_for(OPENS)
            writes.wait_for(r'write\(1, "tick')
            self.assertNotIn("write(", opens.interrupt())
            writes.wait_for(r'write\(1, "tick', start=len(writes.text))
            self.assertNotIn("openat(", writes.interrupt())

    def test_bad_options_are_one_line(self) -> None:
        for options, said in ((("-e", "trace=nosuchcall"), "nosuchcall"), (("-e", "inject=x"), "use trace="),
                              (("--overflow", "sink"), "sink"), (("-p", "0"), "pid=0")):
            with Strace(self.guest, *options) as strace:
                strace.finish()
                self.assertEqual(strace.process.returncode, 2)
                self.assertEqual(len(strace.stderr.strip().splitlines()), 1, strace.stderr)
                self.assertIn(said, strace.stderr)

    def test_one_that_is_killed_leaves_nothing_behind(self) -> None:
        with Strace(self.guest) as strace:
            strace.wait_for(OPENS)
            strace.process.kill()
            strace.process.wait()
        self.guest.next(r"tick [0-9]+")
        self.assertIn("no points are set", gdb(self.guest, ["monitor probes"]).text)

    def test_catch_syscall_stops_at_call_and_return(self) -> None:
        out = gdb(self.guest, ["catch syscall openat", "continue", "p $orig_rax", "bt 2", "continue", "p $orig_rax",
                               "delete", "monitor probes"])
        self.assertRegex(out.text, r"Catchpoint 1 \(call to syscall (')?openat")
        self.assertRegex(out.text, r"Catchpoint 1 \(returned from syscall (')?openat")
        self.assertEqual(re.findall(r"^\$\d+ = (\d+)$", out.text, re.MULTILINE), ["257", "257"])

    def test_catch_syscall_is_for_one_tracer_alone(self) -> None:
        with Gdb(self.guest) as one, Gdb(self.guest) as other, Strace(self.guest, "-e", "openat") as strace:
            one.run("catch syscall write")
            other.start_continue()
            for _ in range(4):
                self.assertIn("syscall", one.run("continue"))
            self.assertTrue(other.busy)
            one.run("delete")
            one.quit()
            strace.wait_for(OPENS, start=len(strace.text))
            other.interrupt()
            other.finish()
            other.quit()


class FromTheBeginning(case.Case):
    def test_the_first_process_is_seen_from_its_first_call(self) -> None:
        for kernel in ("6.1", "6.12", "sid"):
            # By so little that the running kernel and the unrelocated vmlinux have addresses in common.
            with self.subTest(kernel), Guest("--kaslr=0x800000", kernel=kernel, init="cat /etc/greeting; poweroff -f",
                                             wait=True) as guest, Strace(guest) as strace:
                text = strace.finish(60)
                self.assertEqual(guest.status(), 0)
                first = re.search(r"^\[pid     1\] .*$", text, re.MULTILINE)
                self.assertRegex(first[0], r"brk\(NULL\) ")
                self.assertRegex(text, OPENS)
                self.assertRegex(text, r"reboot\(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF")

    def test_what_is_kept_is_shown_when_the_guest_ends(self) -> None:
        with Guest(init="for i in 1 2 3; do cat /etc/greeting; done; poweroff -f", wait=True) as guest, \
                Strace(guest, "--overflow", "overwrite", "--ring", "1M") as strace:
            text = strace.finish(60)
            self.assertRegex(text, OPENS)
            self.assertIn("reboot(", text)


class Stacks(case.Case):
    """What the guest's kernel says of its own stacks, in /proc/PID/stack, is what -k shows."""

    # The shell waits for its child when it is stopped, and when it is signalled: it comes the same way.
    INIT = """sh -c 'trap : USR1; while :; do sleep 1000; done' &
shell=$!
sleep 1
kill -STOP $shell
sleep 1
sed 's/^/stopped: /' /proc/$shell/stack
kill -CONT $shell
while :; do
  sed 's/^/reading: /' /proc/self/stack
  kill -USR1 $shell
  echo "round for $shell"
  usleep 200000
done"""

    def check(self, suite: str) -> None:
        with Guest(kernel=suite, init=self.INIT, gdb=True) as guest:
            shell = guest.wait_for(r"round for (\d+)", 60)[1]
            with Strace(guest, "-k", "-e", "trace=read,write") as strace:
                signal = strace.wait_for(rf"\[pid +{shell}\] --- SIGUSR1 {{[^\n]*---\n((?: > .*\n)+)(?! >)", 60)
                read = strace.wait_for(r"read\(\d+, .*= \d+\n((?: > .*\n)+)(?! >)")
                strace.interrupt()
            told = {kind: re.findall(rf"^{kind}: \[<0>\] (\S+)/0x[0-9a-f]+$", guest.console, re.MULTILINE)
                    for kind in ("stopped", "reading")}
        signal, read = ([line[3:] for line in text[1].splitlines()] for text in (signal, read))
        way = told["stopped"][next(i for i, at in enumerate(told["stopped"]) if at.startswith("arch_do_signal")):]
        self.assertGreater(len(way), 2)
        self.assertEqual(signal[:len(way)], way)
        self.assertRegex(signal[len(way)], r"^0x[0-9a-f]+$")
        self.assertRegex(read[0], r"^do_syscall_64\+0x[0-9a-f]+$")
        self.assertEqual(read[1], next(at for at in told["reading"] if at.startswith("entry_SYSCALL_64")))
        self.assertRegex(read[2], r"^0x[0-9a-f]+$")

    def test_of_the_oldest_kernel(self) -> None:
        self.check("6.1")

    def test_of_a_middle_kernel(self) -> None:
        self.check("6.12")

    def test_of_the_newest_kernel(self) -> None:
        self.check("sid")


class UnderLoad(case.Case):
    """Eight processes on four CPUs, while gdbs come, stop, step and go: nothing is lost, nothing counted twice."""

    PROCESSES = 8
    guest: Guest

    @classmethod
    def setUpClass(cls) -> None:
        program = kernels.c_program(Path(__file__).resolve().parent / "guests/callers.c")
        cls.guest = Guest(init="/bin/callers", files=((program, "/bin/callers"),), cpus=4, gdb=True)
        cls.guest.wait_for("callers: ready, 4 cpus")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()

    def make(self, rounds: int, meanwhile=lambda: None) -> int:
        mark = self.guest.shown
        self.guest.type(f"go {rounds}\n")
        meanwhile()
        done = self.guest.wait_for(r"callers: (\d+) rounds done, (\d+) wrong", timeout=60, start=mark)
        self.assertEqual(done[2], "0")
        return int(done[1])

    def stop_and_step(self) -> None:
        for _ in range(3):
            with Gdb(self.guest) as one:
                one.run("break __x64_sys_close")
                one.run("continue")
                one.run("stepi 10", timeout=60)
                one.quit()

    def armed(self, strace: Strace) -> None:
        """Its probes are set once the guest's kernel is known."""
        strace.wait_for(r"", 0.1)
        for _ in range(100):
            if gdb(self.guest, ["monitor probes"]).text.count("probe 0x") >= 6:
                return
        self.fail("the strace sets no probes")

    def test_counts_agree_exactly_while_gdbs_stop_and_step(self) -> None:
        with Strace(self.guest, "-c", "-e", "getppid,openat,close") as strace:
            self.armed(strace)
            rounds = self.make(2000, self.stop_and_step)
            table = strace.interrupt()
        counts = {name: (int(calls), int(errors or 0)) for calls, errors, name in
                  re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(\d*) +(\w+)$", table, re.MULTILINE)}
        self.assertEqual(counts["getppid"], (rounds, 0))
        self.assertEqual(counts["openat"], (rounds, 0))
        self.assertEqual(counts["close"], (2 * rounds, rounds))

    def test_blocking_loses_no_line(self) -> None:
        with Strace(self.guest, "-e", "getppid", "--overflow", "block", "--ring", "1M", "-q") as strace:
            self.armed(strace)
            rounds = self.make(1500)
            text = strace.interrupt()
        self.assertEqual(len(re.findall(r"getppid(?:\(| resumed>)\) += \d+\n", text)), rounds)
        self.assertNotIn("lost", text)

    def test_what_is_dropped_is_counted(self) -> None:
        with Strace(self.guest, "-e", "getppid", "-q", "--ring", "1M") as strace:
            self.armed(strace)
            rounds = self.make(1500)
            text = strace.interrupt()
        shown = len(re.findall(r"getppid\(", text)) + len(re.findall(r"\) += \d+\n", text))
        lost = sum(int(n) for n in re.findall(r"(\d+) records lost here", text))
        self.assertGreaterEqual(shown + lost, 2 * rounds)


if __name__ == "__main__":
    unittest.main()
