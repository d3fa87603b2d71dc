#!/usr/bin/env python3
"""Who may include whom, and a few shapes that must not be written. `--self-test` proves that each rule can fail.

The table is the architecture (docs/architecture.md): a folder sees itself, and what stands here; nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

# Folder -> folders it may include. The longest match wins on both sides.
MAY_SEE: dict[str, set[str]] = {
    "arch": set(),
    "disasm": {"arch"},
    "vmm/api": {"arch"},
    "vmm/kvm": {"arch", "vmm/api"},
    "vmm/mem": {"arch", "vmm/api", "vmm/kvm"},
    "vmm/boot": {"arch", "vmm/api", "vmm/kvm", "vmm/mem"},
    "vmm/dev": {"arch", "vmm/api", "vmm/kvm", "vmm/mem"},
    "vmm/run": {"arch", "vmm/api", "vmm/kvm", "vmm/mem", "vmm/boot", "vmm/dev"},
    "stub/rsp": {"arch"},
    "stub/agent": {"arch"},
    "stub/guestos": {"arch"},
    "stub/tracer": {"arch", "stub/agent", "stub/guestos"},
    "stub/hub": {"arch", "disasm", "vmm/api", "stub/agent", "stub/guestos", "stub/tracer"},
    "stub/session": {"arch", "stub/rsp", "stub/agent", "stub/guestos", "stub/tracer", "stub/strace"},
    "stub/strace": {"arch", "stub/guestos", "stub/tracer"},
    "stub/cli": {"arch", "disasm", "vmm", "stub"},
}

# Third-party and system headers that belong to some folders only.
_ASIO = {"stub/tracer", "stub/hub", "stub/session", "stub/strace", "stub/cli"}
_LOG = {"vmm/kvm", "vmm/mem", "vmm/boot", "vmm/dev", "vmm/run", "stub/guestos", "stub/hub", "stub/session",
        "stub/strace", "stub/cli"}
OWNED_HEADERS: list[tuple[str, set[str]]] = [
    (r"capstone/", {"disasm"}),
    (r"linux/kvm\.h|asm/kvm", {"vmm/kvm", "vmm/run"}),  # run: kvm_run for kicks, kvm_sregs for the entry state
    (r"sys/ioctl\.h", {"vmm/kvm", "stub/cli"}),
    (r"boost/asio", _ASIO),
    (r"boost/", _ASIO),
    (r"spdlog/sinks/", {"stub/cli"}),
    (r"spdlog/", _LOG),
    (r"CLI/", {"stub/cli"}),
    (r"zlib\.h|lzma\.h|lz4.*\.h|zstd\.h", {"vmm/boot"}),
    (r"sys/socket\.h|netinet/|arpa/", {"stub/session", "stub/cli"}),
    (r"gtest/|gmock/", set()),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
# GCC 12.2 miscompiles temporaries of these shapes in a co_await expression: a capturing lambda, an aggregate made on
# the spot, an initializer list.
BAD_AWAIT = re.compile(r"co_await[^;]*?(\[[^\]]*[\w&=][^\]]*\]\s*[({]|[\w>]\s*\{|[(,]\s*\{)")
BAD_TEXT: list[tuple[str, re.Pattern[str], set[str]]] = [
    ("co_await with a capturing lambda, an aggregate or an initializer list in it: name that above", BAD_AWAIT, set()),
    ("co_await inside RS_TRY", re.compile(r"RS_(?:CO_)?TRY\s*\([^;]*\bco_await\b"), {"arch/result.hpp"}),
    ("namespace linux: that word is a macro in GNU mode",
     re.compile(r"\bnamespace\s+(?:\w+\s*::\s*)*linux\b|\blinux\s*::"), set()),
    ("std::expected outside arch/expected.hpp", re.compile(r"\bstd\s*::\s*(?:un)?expected\b|[<\"]expected[>\"]"),
     {"arch/expected.hpp"}),
]
HEADER_RULES: list[tuple[str, re.Pattern[str]]] = [
    ("using namespace in a header", re.compile(r"^\s*using\s+namespace\b", re.MULTILINE)),
]


class Finding(NamedTuple):
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def blank_comments(source: str, strings: bool) -> str:
    """The same text, line for line, with comments (and literals, if asked) blanked out."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)

    def blank(match: re.Match[str]) -> str:
        text = match.group()
        if not text.startswith("/") and not strings:
            return text
        return re.sub(r"[^\n]", " ", text)
    return token.sub(blank, source)


def folder_of(path: str, folders: dict[str, set[str]] | set[str] = frozenset(MAY_SEE)) -> str | None:
    fits = [f for f in folders if path == f or path.startswith(f + "/")]
    return max(fits, key=len, default=None)


def check_include(folder: str, included: str, ours: bool) -> str | None:
    if ours:
        target = folder_of(included)
        if target is None:
            return f'"{included}" is not a path from the top to one of our folders'
        allowed = MAY_SEE[folder] | {folder}
        if folder_of(included, allowed) is None:
            return f"{folder} may not include {target}"
        return None
    for pattern, owners in OWNED_HEADERS:
        if re.match(pattern, included):
            return None if folder in owners else f"{folder} may not include <{included}>"
    return None


def check_source(path: str, source: str) -> list[Finding]:
    folder = folder_of(path)
    if folder is None:
        return [Finding(path, 1, "in no known folder: add it to MAY_SEE")]
    code = blank_comments(source, strings=False)
    findings = []
    for match in INCLUDE.finditer(code):
        ours, theirs = match.groups()
        if text := check_include(folder, ours or theirs, ours is not None):
            findings.append(Finding(path, code.count("\n", 0, match.start(1 if ours else 2)) + 1, text))
    bare = blank_comments(source, strings=True)
    rules = [(text, pattern) for text, pattern, except_in in BAD_TEXT if path not in except_in]
    if path.endswith(".hpp"):
        rules += HEADER_RULES
        if "#pragma once" not in code:
            findings.append(Finding(path, 1, "no #pragma once"))
    for text, pattern in rules:
        for match in pattern.finditer(bare):
            findings.append(Finding(path, bare.count("\n", 0, match.start()) + 1, text))
    return findings


def check_tree(root: Path) -> tuple[list[Finding], int]:
    tops = sorted({folder.split("/")[0] for folder in MAY_SEE})
    files = sorted(p for top in tops for p in (root / top).rglob("*") if p.suffix in (".hpp", ".cpp", ".def"))
    findings = [f for p in files for f in check_source(p.relative_to(root).as_posix(), p.read_text())
                if p.suffix != ".def" or "include" in f.text]
    return findings, len(files)


# (where, what, what must be said about it; None: nothing)
SELF_TESTS: list[tuple[str, str, str | None]] = [
    ("arch/a.cpp", '#include "vmm/api/machine.hpp"', "arch may not include vmm/api"),
    ("disasm/a.cpp", '#include "stub/rsp/hex.hpp"', "disasm may not include stub/rsp"),
    ("vmm/boot/a.cpp", '#include "vmm/dev/bus.hpp"', "vmm/boot may not include vmm/dev"),
    ("vmm/api/a.hpp", '#pragma once\n#include "vmm/kvm/fd.hpp"', "vmm/api may not include vmm/kvm"),
    ("stub/session/a.cpp", '#include "stub/hub/hub.hpp"', "stub/session may not include stub/hub"),
    ("stub/hub/a.cpp", '#include "vmm/run/kvm_machine.hpp"', "stub/hub may not include vmm/run"),
    ("stub/hub/a.cpp", '#include "hub.hpp"', "not a path from the top"),
    ("stub/hub/a.cpp", '#  include\t<capstone/capstone.h>', "may not include <capstone/capstone.h>"),
    ("stub/hub/a.cpp", "#include <linux/kvm.h>", "may not include <linux/kvm.h>"),
    ("stub/rsp/a.cpp", "#include <spdlog/spdlog.h>", "may not include <spdlog/spdlog.h>"),
    ("vmm/run/a.cpp", "#include <boost/asio/post.hpp>", "may not include <boost/asio/post.hpp>"),
    ("stub/session/a.cpp", "#include <CLI/CLI.hpp>", "may not include <CLI/CLI.hpp>"),
    ("stub/hub/a.cpp", "#include <gtest/gtest.h>", "may not include <gtest/gtest.h>"),
    ("stub/session/a.cpp", "co_await run([this] { go(); });", "co_await with"),
    ("stub/session/a.cpp", "co_await run([&](int) { go(); });", "co_await with"),
    ("stub/session/a.cpp", "co_await send(Packet{1, 2});", "co_await with"),
    ("stub/session/a.cpp", "co_await send(\n    a, {});", "co_await with"),
    ("stub/session/a.cpp", "auto x = RS_TRY(co_await read());", "co_await inside RS_TRY"),
    ("stub/guestos/a.cpp", "namespace ringside::linux {", "namespace linux"),
    ("stub/guestos/a.cpp", "linux::Task task;", "namespace linux"),
    ("vmm/kvm/a.cpp", "std::expected<int, int> f();", "std::expected outside"),
    ("vmm/kvm/a.cpp", "return std::unexpected(1);", "std::expected outside"),
    ("vmm/kvm/a.hpp", "int f();", "no #pragma once"),
    ("vmm/kvm/a.hpp", "#pragma once\nusing namespace std;", "using namespace in a header"),
    ("vmm/new/a.cpp", "int x;", "in no known folder"),
    # What must pass.
    ("stub/session/a.cpp", '#include "stub/rsp/hex.hpp"\n#include <boost/asio/post.hpp>\n#include <vector>', None),
    ("stub/cli/a.cpp", '#include "vmm/run/kvm_machine.hpp"\n#include "stub/hub/hub.hpp"', None),
    ("stub/session/a.cpp", "const auto [e, n] = co_await socket.async_read_some(buffer, kAwait);", None),
    ("stub/session/a.cpp", "co_await wait(x);\nauto f = [this] { go(); };\nPacket p{1};", None),
    ("stub/session/a.cpp", "while (true) { co_await wait(table[i]); }", None),
    ("stub/hub/a.cpp", '// #include "vmm/run/kvm_machine.hpp"\n/* std::expected */ const char* s = "linux::x";', None),
    ("arch/expected.hpp", "#pragma once\nusing std::expected;", None),
]


def self_test() -> int:
    wrong = 0
    for path, source, want in SELF_TESTS:
        found = [f.text for f in check_source(path, source)]
        right = not found if want is None else any(want in text for text in found)
        if not right:
            wrong += 1
            print(f"self-test: {path}: {source!r}: wanted {want!r}, found {found}")
    rules = len([w for _, _, w in SELF_TESTS if w])
    print(f"self-test: {rules} violations, {len(SELF_TESTS) - rules} clean texts, {wrong} judged wrongly")
    return 1 if wrong else 0


def main() -> int:
    if "--self-test" in sys.argv:
        return self_test()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    findings, count = check_tree(root)
    for finding in findings:
        print(finding)
    if count < 20:
        print(f"only {count} files below {root}: wrong directory?")
        return 1
    print(f"layers: {count} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
