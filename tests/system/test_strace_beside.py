"""The real strace inside the guest beside ours outside: the same programs, the same lines."""

import difflib
import json
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import case
from harness.guest import Guest
from harness.strace import Strace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "native"))
import programs  # noqa: E402
import strace_lines  # noqa: E402

TREE = "/tree"
PLACE = "/tmp/work"
SHELL = "while read line; do eval \"$line\"; done"
CLOCK = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}")  # what date prints
BINARIES = ("strace", "dash", "ls", "cat", "cp", "stat", "touch", "mkdir", "rm", "mv", "ln", "chmod", "chown", "mkfifo", "readlink", "dd",
            "truncate", "sort", "date", "sleep", "id", "uname", "env", "nice", "timeout", "tail", "wc", "true", "tr", "setarch")


def installed(names: tuple[str, ...]) -> tuple[tuple[Path, str], ...]:
    """Programs with the libraries they want, at the places they have here."""
    files: dict[str, Path] = {}
    for name in names:
        path = Path(shutil.which(name) or "")
        if not path.is_absolute():
            raise AssertionError(f"{name} is not installed; ./dev setup")
        files[str(path)] = files[f"/bin/{name}"] = path  # where /bin is a link to /usr/bin, both are meant
        listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listing):
            files[library] = Path(library)
    return tuple((path, there) for there, path in sorted(files.items()))


def quoted(word: str) -> str:
    """One line, whatever the word has in it."""
    if "\n" not in word:
        return "'" + word.replace("'", "'\\''") + "'"
    octal = "".join(f"\\{ord(c):03o}" for c in word)
    return f"\"$(printf '{octal}')\""


class Beside(case.Case):
    guest: Guest

    @classmethod
    def setUpClass(cls) -> None:
        cls.guest = Guest(init=SHELL, files=installed(BINARIES), gdb=True, append="norandmaps", memory="512M")
        cls.guest.wait_for("guest: init")
        cls.say("stty -echo; export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp/work")
        for name, text in programs._TREE.items():
            quoted = text.replace("\n", "\\n").replace('"', '\\"').replace("%", "%%")
            cls.say(f"mkdir -p {TREE}; printf \"{quoted}\" >{TREE}/{name}")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()

    @classmethod
    def say(cls, line: str) -> str:
        """What the line prints."""
        mark = cls.guest.shown
        cls.guest.type(f"{line}; echo @@ e''nd\n")
        cls.guest.wait_for("@@ end", start=mark, timeout=60)
        return cls.guest._out.text[mark:].replace("\r\n", "\n")

    def fresh(self) -> str:
        return f"rm -rf {PLACE} /tmp/t; cp -r {TREE} {PLACE}; mkdir /tmp/t; cd {PLACE}"

    def command(self, program: programs.Program) -> str:
        return " ".join(quoted(word) for word in program.argv(Path(PLACE)))

    def inside(self, program: programs.Program) -> list[list[str]]:
        options = " ".join(program.options)
        text = self.say(f"{self.fresh()}; strace -f -ff -o /tmp/t/x {options} {self.command(program)} </dev/null >/dev/null 2>&1; "
                        "for f in /tmp/t/x.*; do echo \"@@ $f\"; cat $f; done")
        processes: dict[int, list[str]] = {}
        for piece in re.split(r"^@@ /tmp/t/x\.", text, flags=re.MULTILINE)[1:]:
            number, _, lines = piece.partition("\n")
            processes[int(number)] = [line for line in lines.splitlines() if not line.startswith("@@")]
        return strace_lines.normalise_all(processes)

    def outside(self, program: programs.Program) -> list[list[str]]:
        self.say(self.fresh())
        with Strace(self.guest, "--json", "--overflow", "block", *program.options) as strace:
            strace.wait_for("", 0.1)
            for _ in range(100):
                if self.say("true /tmp/marker; cat /etc/greeting") and "greeting" in strace.text:
                    break
            self.say(f"sh -c 'exec \"$@\"' x {self.command(program)} </dev/null >/dev/null 2>&1")
            events = [json.loads(line) for line in strace.interrupt().splitlines()]
        return strace_lines.normalise_all(self.tree_of(program, events))

    def tree_of(self, program: programs.Program, events: list[dict]) -> dict[int, list[str]]:
        """The lines of the process that became the program, from then on, and of all its children."""
        path = program.argv(Path(PLACE))[0]
        names = (f'"{path}"', '"' + "".join(f"\\x{ord(c):02x}" for c in path) + '"')  # -xx
        wanted: dict[int, list[str]] = {}
        for event in events:
            pid = event.get("pid")
            if event["event"] == "new" and event["parent"] in wanted:
                wanted[pid] = []
            elif event["event"] == "call":
                if event["call"] == "execve" and event["args"][0] in names and not wanted:
                    wanted[pid] = []
                if pid in wanted:
                    wanted[pid].append(f"{event['call']}({', '.join(event['args'])}) = {event['text']}")
            elif pid in wanted and event["event"] == "signal":
                wanted[pid].append(f"--- {event['text']} ---")
            elif pid in wanted and event["event"] == "exit":
                if "unfinished" in event:
                    wanted[pid].append(f"{event['unfinished']}({', '.join(event['args'])}) = ?")
                wanted[pid].append(f"+++ {event['text']} +++")
        return wanted

    def differences(self, program: programs.Program) -> tuple[list[str], int]:
        theirs, ours = self.inside(program), self.outside(program)
        theirs, ours = ([[CLOCK.sub("now", line) for line in lines] for lines in one] for one in (theirs, ours))
        found = [] if len(theirs) == len(ours) else [f"{len(theirs)} processes under strace, {len(ours)} under ours"]
        for their_lines, our_lines in zip(theirs, ours):
            diff = difflib.unified_diff(their_lines, our_lines, "strace", "ours", lineterm="", n=0)
            found += [line for line in diff if not line.startswith(("@@", "--- strace", "+++ ours"))]
        return found, sum(map(len, theirs))

    def compare(self, suite: str) -> None:
        lines = 0
        for program in programs.SUITES[suite]:
            if program.command[0].split("/")[-1] not in BINARIES:
                continue
            with self.subTest(program.name):
                found, count = self.differences(program)
                lines += count
                self.assertEqual(found, [], "\n".join(found[:40]))
        print(f"  {suite}: {lines} lines")
        self.assertGreater(lines, 200)

    def test_coreutils(self) -> None:
        self.compare("coreutils")

    def test_shell(self) -> None:
        self.compare("shell")


if __name__ == "__main__":
    unittest.main()
