"""32-bit programs in a guest: calls by int 0x80, by the vDSO and by syscall, their signals, and what seccomp refuses."""

import json
import re
import sys
import tempfile
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.guest import Guest
from harness.strace import Strace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))
import programs  # noqa: E402
import strace_lines  # noqa: E402

THERE = "/bin/compat"


def line_of(event: dict) -> str:
    if event["event"] == "signal":
        return f"--- {event['text']} ---"
    return f"{event['call']}({', '.join(event['args'])}) = {event['text']}"


class Compat(case.Case):
    """The program says itself what is to be shown of it (tests/guest/compat.c)."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.program = programs.COMPAT.make(Path(cls.folder.name))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def compare(self, kernel: str) -> None:
        with Guest(kernel=kernel, init=f"{THERE}; echo ended with $?; poweroff -f", files=((self.program, THERE),),
                   wait=True) as guest, Strace(guest, "--json", "--overflow", "block") as as_json, \
                Strace(guest, "-e", "execve,getpid,brk") as as_lines:
            text = as_lines.finish(90)
            events = [json.loads(line) for line in as_json.finish(30).splitlines()]
            self.assertEqual(guest.status(), 0)
            self.assertIn("ended with 0", guest.console)
        wanted = re.findall(r"^want: (.*)$", guest.console, re.MULTILINE)
        self.assertGreater(len(wanted), 60)  # two ways on Intel, three on AMD
        pid = next(event["pid"] for event in events
                   if event.get("call") == "execve" and event["args"][0] == f'"{THERE}"')
        mine = [event for event in events if event["event"] in ("call", "signal") and event["pid"] == pid]
        self.assertEqual({event.get("abi") for event in mine[:5]}, {"x86-64", "i386"})
        lines = [line_of(event) for event in mine]
        begin = next(i for i, line in enumerate(lines) if line.startswith(f'execve("{THERE}"')) + 1
        wanted, shown = ([strace_lines.normalise(line, {}) for line in part]
                         for part in (wanted, lines[begin:begin + len(wanted)]))
        self.assertEqual(wanted, shown)
        self.assertIn('execve("/bin/true", ["/bin/true"], NULL) = 0', lines)  # its path was in an untouched page
        for bits in (32, 64):
            self.assertRegex(text, rf"\[pid +{pid}\] \[ Process PID={pid} runs in {bits} bit mode\. \]\n")

    def test_a_32_bit_program_is_shown_as_strace_shows_it(self) -> None:
        for kernel in kernels.SUITES:
            with self.subTest(kernel):
                self.compare(kernel)


if __name__ == "__main__":
    unittest.main()
