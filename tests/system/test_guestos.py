"""What the monitor knows of the guest's Linux, against what the guest itself says, on all three kernels."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb, gdb
from harness.guest import TICKING, Guest
from harness.place import TOP, ringside, the_place

import kernelstore  # noqa: E402  (the lab's; harness.place has it on the path)

SCRIPT = TOP / "gdbinit/ringside.gdb"
MODULE = "af_key"
SLEEPING_MODULE = "pktgen"  # with a thread of its own for each CPU
# Sleepers in different places; one is stopped on its way back from an interrupt.
SLEEPING = """mkfifo /tmp/fifo
sleep 10000 &
cat /tmp/fifo &
sleep 10000 | cat &
sh -c 'sleep 10000; true' &
(while :; do :; done) &
busy=$!
sleep 1
kill -STOP $busy
sleep 1
for one in /proc/[0-9]*; do
  echo "sleeper: ${one#/proc/} $(cat $one/comm)"
  sed 's/^/at: /' $one/stack
done"""
TELLING = f"""for m in /m/*; do insmod $m; done
exec 5</etc/greeting
cd /tmp
echo hidden >/tmp/gone
exec 6</tmp/gone
rm /tmp/gone
{SLEEPING}
echo "told: text $(cat /sys/module/{MODULE}/sections/.text)"
echo "told: data $(cat /sys/module/{MODULE}/sections/.data)"
echo "told: $(grep ' do_exit$' /proc/kallsyms)"
echo "told: $(grep ' init_task$' /proc/kallsyms)"
dmesg | tail -n 40 | sed 's/^/log: /'
ps -o pid,comm | sed 's/^/ps: /'
echo told everything
{TICKING}"""


def module_files(suite: str, folder: Path) -> tuple[tuple[Path, str], ...]:
    files = []
    for number, source in enumerate(kernels.get(suite).module_files([MODULE, SLEEPING_MODULE])):
        plain = folder / (kernelstore.module_name(source.name) + ".ko")
        plain.write_bytes(kernelstore.module_bytes(source))
        files.append((plain, f"/m/{number:02}.ko"))
    return tuple(files)


class OnOneKernel:
    """The tests; a class for each kernel runs them on one guest."""

    suite = ""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory(prefix="ringside-modules-")
        files = module_files(cls.suite, Path(cls.folder.name))
        cls.guest = Guest(kernel=cls.suite, init=TELLING, cpus=2, gdb=True, files=files, append="kptr_restrict=0")
        cls.guest.wait_for("told everything", 90)
        cls.guest.wait_for("tick 2")
        cls.told = cls.guest.console

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()
        cls.folder.cleanup()

    def ask(self, *question: str) -> str:
        """From the shell, while the guest runs."""
        done = subprocess.run([ringside(), question[0], self.guest.target, *question[1:]], capture_output=True,
                              text=True, timeout=self.guest.patience(30))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def told_address(self, symbol: str) -> int:
        return int(re.search(rf"told: ([0-9a-f]+) \w {symbol}\n", self.told)[1], 16)

    def test_ps_shows_what_the_guests_own_ps_shows(self) -> None:
        own = dict(re.findall(r"^ps: +(\d+) (\S+)$", self.told, re.MULTILINE))
        rows = re.findall(r"^ +(\d+) +(\d+) +(\d+) ([RSDTtZXIP]) +(\S+) (\S+) +(\S+)$", self.ask("ps"), re.MULTILINE)
        found = {pid: comm.strip("[]") for pid, _, _, _, _, comm, _ in rows}
        self.assertEqual(found["1"], "init")
        self.assertEqual(found["2"], "kthreadd")
        kept = {pid: comm for pid, comm in own.items() if comm not in ("ps", "sed") and not comm.startswith("kworker")}
        self.assertGreater(len(kept), 20)
        self.assertEqual({pid: found.get(pid) for pid in kept}, kept)
        parents = {pid: parent for pid, _, parent, *_ in rows}
        self.assertEqual((parents["1"], parents["2"]), ("0", "0"))

    def test_the_log_is_dmesgs(self) -> None:
        own = re.findall(r"^log: (.*)$", self.told, re.MULTILINE)
        self.assertGreater(len(own), 30)
        shown = self.ask("dmesg").splitlines()
        self.assertEqual([line for line in own if line not in shown], [])
        self.assertIn("Linux version", shown[0])

    def test_symbols_are_where_the_guest_says(self) -> None:
        for name in ("do_exit", "init_task"):
            at = self.told_address(name)
            self.assertTrue(self.ask("sym", name).startswith(f"{at:#x} {name} link 0xffffffff8"))
            self.assertEqual(self.ask("sym", f"{at + 3:#x}"), f"{at + 3:#x} {name}+0x3\n")
        self.assertEqual(self.ask("sym", "no_such_thing"), "no symbol no_such_thing\n")

    def test_modules_have_their_sections(self) -> None:
        listing = self.ask("lsmod")
        text = int(re.search(r"told: text (0x[0-9a-f]+)", self.told)[1], 16)
        data = int(re.search(r"told: data (0x[0-9a-f]+)", self.told)[1], 16)
        self.assertRegex(listing, rf"(?m)^{MODULE} \d+ {text:#x}$")
        self.assertIn(f"  .text {text:#x}\n", listing)
        self.assertIn(f"  .data {data:#x}\n", listing)
        self.assertEqual(self.ask("sym", f"{text + 5:#x}"), f"{text + 5:#x} .text+0x5 [{MODULE}]\n")
        out = gdb(self.guest, [f"source {SCRIPT}", f"rs-modules {self.folder.name}", f"info symbol {text:#x}"],
                  vmlinux=None)
        self.assertRegex(out.text, rf"in section \.text of .*{MODULE}\.ko")

    def test_open_files_have_their_paths(self) -> None:
        files = dict(re.findall(r"^ *(\d+|cwd) (.*)$", self.ask("fds", "1"), re.MULTILINE))
        self.assertEqual(files["5"], "/etc/greeting")
        self.assertEqual(files["6"], "/tmp/gone (deleted)")
        self.assertEqual(files["cwd"], "/tmp")
        self.assertEqual(files["2"], "/dev/console")  # not 1: the shell has it elsewhere while it cats

    def test_threads_are_named_after_who_runs(self) -> None:
        threads = gdb(self.guest, ["info threads"], vmlinux=None).text
        self.assertRegex(threads, r'"CPU#0 \[[^\]]+/\d+\]"')
        self.assertRegex(threads, r'"CPU#1 \[[^\]]+/\d+\]"')

    def test_a_condition_asks_who_runs(self) -> None:
        at = re.match(r"0x[0-9a-f]+", self.ask("sym", "ksys_write"))[0]
        out = gdb(self.guest, [f"break *{at} if $pid == 1", *["continue", "p $pid", "p $tgid", "p/x $comm"] * 2,
                               "info breakpoints"], vmlinux=None)
        self.assertEqual(re.findall(r"^\$\d+ = (.*)$", out.text, re.MULTILINE), ["1", "1", "0x74696e69"] * 2)
        self.assertIn("(target evals)", out.text)

    def test_another_process_does_not_stop_by_it(self) -> None:
        at = re.match(r"0x[0-9a-f]+", self.ask("sym", "hrtimer_nanosleep"))[0]
        name = int.from_bytes(b"usleep", "little")
        out = gdb(self.guest, [f"break *{at} if $comm == {name:#x} && $pid != 1", "continue", "p/x $comm", "p $pid == 1"],
                  vmlinux=None)
        self.assertEqual(re.findall(r"^\$\d+ = (.*)$", out.text, re.MULTILINE), [f"{name:#x}", "0"])

    def test_gdb_without_a_file_has_symbols(self) -> None:
        packet = gdb(self.guest, ["maint packet qXfer:exec-file:read::0,1000"], vmlinux=None).text
        path = Path(re.search(r'received: "l(/[^"]+)"', packet)[1])
        if the_place().name != "host":
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self.addCleanup(path.unlink)
            the_place().lab.get(str(path), path)
        at = self.told_address("do_exit")
        out = gdb(self.guest, [f"info symbol {at:#x}", "p/x (unsigned long)&do_exit", "p/x (unsigned long)&init_task"],
                  vmlinux=None)
        self.assertIn("do_exit in section .text", out.text)
        self.assertEqual(re.findall(r"^\$\d+ = (.*)$", out.text, re.MULTILINE),
                         [f"{at:#x}", f"{self.told_address('init_task'):#x}"])

    def told_stacks(self) -> dict[str, tuple[str, list[str]]]:
        """By pid: the name, and the lines of /proc/PID/stack."""
        stacks: dict[str, tuple[str, list[str]]] = {}
        for line in self.told.splitlines():
            if match := re.match(r"sleeper: (\d+) (.+)$", line):
                stacks[match[1]] = (match[2], [])
                last = match[1]
            elif match := re.match(r"at: \[<0>\] (.+)$", line):
                stacks[last][1].append(match[1])
        return stacks

    def test_stacks_of_sleepers_are_those_of_proc(self) -> None:
        told = self.told_stacks()
        steady = {"sleep", "cat", "kthreadd", "kswapd0", "kcompactd0", "oom_reaper", "khugepaged", "cpuhp/0",
                  "migration/1", "ksoftirqd/1", "kpktgend_0", "kpktgend_1"}
        chosen = {pid: lines for pid, (name, lines) in told.items() if name in steady}
        self.assertLessEqual(steady - {"khugepaged"}, {name for name, _ in told.values()})
        self.assertEqual({pid: self.ask("stack", pid).splitlines() for pid in chosen}, chosen)
        deep = "\n".join(line for lines in chosen.values() for line in lines)
        for somewhere in ("hrtimer_nanosleep+", "pipe_read+", "kthreadd+", f" [{SLEEPING_MODULE}]",
                          "entry_SYSCALL_64_after_hwframe+"):
            self.assertIn(somewhere, deep)

    def test_a_stack_may_begin_in_an_interrupt(self) -> None:
        stopped = [(pid, lines) for pid, (_, lines) in self.told_stacks().items()
                   if any(line.startswith("do_signal_stop+") for line in lines)]
        self.assertEqual(len(stopped), 1)
        pid, lines = stopped[0]
        self.assertTrue(lines[-1].startswith("asm_"), lines)
        self.assertEqual(self.ask("stack", pid).splitlines(), lines)

    def test_most_stacks_are_what_they_were(self) -> None:
        told = {pid: lines for pid, (_, lines) in self.told_stacks().items() if lines and pid != "1"}
        same = [pid for pid, lines in told.items() if self.ask("stack", pid).splitlines() == lines]
        self.assertGreater(len(told), 40)
        self.assertGreater(len(same), 0.8 * len(told))

    def test_a_task_that_is_not_there_has_no_stack(self) -> None:
        self.assertEqual(self.ask("stack", "30000"), "no task has the number 30000\n")

    def test_looking_does_not_stop_the_guest(self) -> None:
        for question in ("ps", "lsmod", "kaslr"):
            self.ask(question)
            self.guest.next(r"tick [0-9]+")


class OnTheOldestKernel(OnOneKernel, case.Case):
    suite = "6.1"

    def test_every_symbol_agrees_with_the_vmlinux(self) -> None:
        slide = int(re.search(r"offset (0x[0-9a-f]+)", self.ask("kaslr"))[1], 16)
        out = gdb(self.guest, ["p/x (unsigned long)&do_exit", "p/x (unsigned long)&init_task"])
        values = [int(v, 16) for v in re.findall(r"^\$\d+ = (.*)$", out.text, re.MULTILINE)]
        self.assertEqual(values, [self.told_address("do_exit"), self.told_address("init_task")])
        self.assertEqual((values[0] - slide) % 2**64 >> 24, 0xffffffff81)


class OnAMiddleKernel(OnOneKernel, case.Case):
    suite = "6.12"


class OnTheNewestKernel(OnOneKernel, case.Case):
    suite = "sid"


class WhenTheKernelPlacesItself(case.Case):
    def test_it_is_found_through_a_cpu(self) -> None:
        with Guest("--boot=bzimage", init=TICKING, cpus=2, gdb=True) as guest:
            guest.wait_for("tick 1", 90)
            out = gdb(guest, ["monitor ps", "monitor kaslr"], vmlinux=None, timeout=90)
            self.assertRegex(out.text, r"(?m)^ +1 +1 +0 . +\S+ init ")
            self.assertRegex(out.text, r"offset 0x[0-9a-f]+")


class WhenTheGuestIsDead(case.Case):
    def test_its_log_can_be_read(self) -> None:
        with Guest(init="echo c >/proc/sysrq-trigger; sleep 60", gdb=True, append="panic=0") as guest:
            with Gdb(guest, vmlinux=None, attach=False) as one:
                guest.wait_for("Kernel panic|end Kernel panic|sysrq", 60)
                one.run(f"target remote {guest.target}")
                self.assertIn("Kernel panic", one.run("monitor dmesg"))
                one.quit()


class BeforeTheKernel(case.Case):
    def test_nothing_hangs_at_the_first_instruction(self) -> None:
        with Guest(init=TICKING, wait=True, cpus=1) as guest:
            with Gdb(guest, vmlinux=None) as one:
                for question in ("ps", "lsmod", "dmesg", "sym do_exit"):
                    self.assertNotEqual(one.run(f"monitor {question}"), "")
                one.quit()
            guest.wait_for("tick 1")


if __name__ == "__main__":
    unittest.main()
