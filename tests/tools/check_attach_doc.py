#!/usr/bin/env python3
"""Each row of docs/attach-model.md's table of conflicts names its tests, and these exist.

usage: check_attach_doc.py ROOT

A name is `Suite.Name` of a C++ test, `test_…` of a Python one, or `….rsp`, a golden dialogue.
"""

import re
import sys
from pathlib import Path

HEADING = "## Two tracers on one guest"


def rows(document: str) -> list[list[str]]:
    table = document.split(HEADING, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def findings(document: str, known: set[str]) -> list[str]:
    found = []
    for row in rows(document):
        names = re.findall(r"`([^`]+)`", row[2]) if len(row) == 3 else []
        if not names:
            found.append(f"no test is named: {row[0]}")
        found += [f"there is no test {name}: {row[0]}" for name in names if name not in known]
    return found


def known_tests(root: Path) -> set[str]:
    known = {file.name for file in (root / "tests/golden").glob("*.rsp")}
    for file in (root / "tests").rglob("*.cpp"):
        known |= {f"{suite}.{name}" for suite, name in re.findall(r"^TEST(?:_[FP])?\((\w+), (\w+)\)", file.read_text(), re.M)}
    for file in (root / "tests").rglob("test_*.py"):
        known |= set(re.findall(r"^    def (test_\w+)", file.read_text(), re.M))
    return known


def self_test() -> None:
    head = HEADING + "\n| what | answer | test |\n|---|---|---|\n"
    assert findings(head + "| a | b | `S.One`, `test_two` |\n", {"S.One", "test_two"}) == []
    assert findings(head + "| a | b | `S.One`, `S.Two` |\n", {"S.One"}) == ["there is no test S.Two: a"]
    assert findings(head + "| a | b | to do |\n| c | d |\n", set()) == ["no test is named: a", "no test is named: c"]
    assert findings(head + "| a | b | `S.One` |\n\n## Next\n| c | d |\n", {"S.One"}) == []


def main() -> None:
    self_test()
    root = Path(sys.argv[1])
    document = (root / "docs/attach-model.md").read_text()
    found = findings(document, known_tests(root))
    print("\n".join(found) or f"docs/attach-model.md: {len(rows(document))} conflicts, each with a test that exists")
    sys.exit(1 if found or len(rows(document)) < 20 else 0)


if __name__ == "__main__":
    main()
