"""The real strace inside the guest beside ours outside: the same programs, the same lines."""

import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
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


def opened_by(program: programs.Program) -> tuple[tuple[Path, str], ...]:
    """The files of this machine that a program looks at when it runs here; Python's own compiled ones would be too new there."""
    calls = "open,openat,execve,access,stat,lstat,newfstatat,readlink"
    with tempfile.TemporaryDirectory() as place:
        program.prepare(Path(place))
        subprocess.run(["strace", "-f", "-qq", "-z", "-s", "4096", "-e", f"trace={calls}", "-e", "signal=none", "-o", f"{place}/trace",
                        *program.argv(Path(place))], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        text = Path(place, "trace").read_text(encoding="latin-1")
    paths = {os.path.normpath(path) for path in re.findall(r'^\d+ +\w+\((?:AT_FDCWD, )?"(/(?:usr|lib|lib64|bin)/[^"]+)"', text, re.MULTILINE)}
    return tuple((Path(path), path) for path in sorted(paths) if Path(path).is_file() and not path.endswith(".pyc"))


IGNORED_BY_DEFAULT = ("SIGCHLD", "SIGURG", "SIGWINCH", "SIGCONT")
HANDLER = re.compile(r"rt_sigaction\((SIG\w+), \{sa_handler=(\w+),")
# What comes earlier or later, or not at all, by when another process ends or a signal arrives.
LUCK = re.compile(r"[+-](--- SIG|rt_sigreturn\(|wait4\(-1, |\w+\(.* = (\? |-1 )E(INTR|RESTART))")
TRIES = 5
OWN_END = re.compile(r"^(kill\(.*, SIGKILL\)) = .*")


def delivered(lines: list[str]) -> list[str]:
    """Without the signals that the process ignores: they are told to a ptracer alone. See docs/strace.md."""
    handled = {match[1] for line in lines if (match := HANDLER.match(line)) and not match[2].startswith("SIG_")}
    ignored, kept = {name for name in IGNORED_BY_DEFAULT if name not in handled}, []
    for line in lines:
        if match := HANDLER.match(line):
            (ignored.add if match[2] == "SIG_IGN" else ignored.discard)(match[1])
            ignored |= {name for name in IGNORED_BY_DEFAULT if name not in handled}
        if not (line.startswith("--- ") and line.split()[1] in ignored):
            kept.append(line)
    return kept


def comparable(line: str) -> str:
    """Who kills himself returns from that call, which a ptracer does not see."""
    return OWN_END.sub(r"\1 = ?", CLOCK.sub("now", line))


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


# What is run of the longer suites: no two for the sake of the same calls.
PYTHON = ("files", "polls", "signals", "sockets", "network")
COMPILER = programs.SUITES["compiler"]
GUEST_PROGRAMS = programs.SUITES["guest programs"]


class Beside(case.Case):
    guest: Guest

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        made = {program.name: program.make(Path(cls.folder.name)) for program in GUEST_PROGRAMS}
        files = dict((there, here) for here, there in (
            *installed(BINARIES), *((path, f"{TREE}/{name}") for name, path in made.items()),
            *((path, there) for there, path in cls.commands().items()),
            *(file for program in (*cls.of_python(), *COMPILER) for file in opened_by(program))))
        cls.guest = Guest(init=SHELL, files=tuple((here, there) for there, here in sorted(files.items())), gdb=True,
                          append="norandmaps", memory="1G")
        cls.guest.wait_for("guest: init")
        cls.say("stty -echo; export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp/work")
        for name, text in programs._TREE.items():
            quoted = text.replace("\n", "\\n").replace('"', '\\"').replace("%", "%%")
            cls.say(f"mkdir -p {TREE}; printf \"{quoted}\" >{TREE}/{name}")
        cls.say("ip link set lo up")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()
        cls.folder.cleanup()

    @staticmethod
    def of_python() -> list[programs.Program]:
        return [program for program in programs.SUITES["python"] if program.name in PYTHON]

    @classmethod
    def say(cls, line: str) -> str:
        """What the line prints."""
        mark = cls.guest.shown
        cls.guest.type(f"{line}; echo @@ e''nd\n")
        cls.guest.wait_for("@@ end", start=mark, timeout=60)
        return cls.guest._out.text[mark:].replace("\r\n", "\n")

    def fresh(self) -> str:
        return f"rm -rf {PLACE} /tmp/t; cp -r {TREE} {PLACE}; mkdir /tmp/t; cd {PLACE}"

    @classmethod
    def commands(cls) -> dict[str, Path]:
        """A file for each program, which sets the shell's arguments to it: a console takes no longer lines than 4,095 bytes."""
        files = {}
        for program in (*programs.SUITES["coreutils"], *programs.SUITES["shell"], *GUEST_PROGRAMS, *cls.of_python(), *COMPILER):
            there = cls.command_file(program)
            files[there] = Path(cls.folder.name, Path(there).name)
            files[there].write_text("set -- " + " ".join(quoted(word) for word in program.argv(Path(PLACE))) + "\n")
        return files

    @staticmethod
    def command_file(program: programs.Program) -> str:
        return "/commands/" + hashlib.sha256(repr(program.command).encode()).hexdigest()[:16]

    def inside(self, program: programs.Program) -> list[list[str]]:
        options = " ".join(program.options)
        text = self.say(f"{self.fresh()}; . {self.command_file(program)}; strace -f -ff -o /tmp/t/x {options} \"$@\" </dev/null >/dev/null 2>&1; "
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
            self.say(f". {self.command_file(program)}; sh -c 'exec \"$@\"' x \"$@\" </dev/null >/dev/null 2>&1")
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
        theirs = [delivered(lines) for lines in theirs]
        theirs, ours = ([[comparable(line) for line in lines if not re.match(program.luck, line)] for lines in one]
                        for one in (theirs, ours))
        found = [] if len(theirs) == len(ours) else [f"{len(theirs)} processes under strace, {len(ours)} under ours"]
        for their_lines, our_lines in zip(theirs, ours):
            diff = difflib.unified_diff(their_lines, our_lines, "strace", "ours", lineterm="", n=0)
            found += [line for line in diff if not line.startswith(("@@", "--- strace", "+++ ours"))]
        return found, sum(map(len, theirs))

    def lasting_differences(self, program: programs.Program) -> tuple[list[str], int]:
        """At which call a signal arrives, and whether two children end before or after the parent has waited for one, is
        a matter of luck: where only that differs, it must be the same once in a few times."""
        for _ in range(TRIES):
            found, count = self.differences(program)
            if not found or not all(LUCK.match(line) for line in found):
                break
            print(f"  {program.name}: once more, for {found}")
        return found, count

    def compare(self, suite: list[programs.Program]) -> None:
        lines = 0
        for program in suite:
            with self.subTest(program.name):
                found, count = self.lasting_differences(program)
                lines += count
                self.assertEqual(found, [], "\n".join(found[:40]))
        print(f"  {lines} lines")
        self.assertGreater(lines, 200)

    def test_coreutils(self) -> None:
        self.compare([one for one in programs.SUITES["coreutils"] if one.command[0].split("/")[-1] in BINARIES])

    def test_shell(self) -> None:
        self.compare(programs.SUITES["shell"])

    def test_guest_programs(self) -> None:
        self.compare(GUEST_PROGRAMS)

    def test_python_with_sockets(self) -> None:
        for program in self.of_python():  # it keeps what it compiles
            self.say(f"{self.fresh()}; . {self.command_file(program)}; \"$@\" >/dev/null 2>&1")
        self.compare(self.of_python())

    def test_compiler(self) -> None:
        self.compare(COMPILER)


if __name__ == "__main__":
    unittest.main()
