#!/usr/bin/env python3
"""Writes the golden dialogues as inputs of the session fuzzer: what clients say, and when the guest runs.

usage: session_corpus.py tests/golden FOLDER
"""

import re
import sys
from pathlib import Path

FRAMED, EXECUTE, OTHER = 4, 5, 7
INTERRUPT, HANG_UP, ANSWER = 0, 2, 3


def unescape(text: str) -> bytes:
    raw = text.encode("latin-1")
    return re.sub(rb"\\(x[0-9a-f]{2}|.)", lambda m: bytes([int(m[1][1:], 16)]) if len(m[1]) == 3 else m[1], raw)


def deeds(line: str) -> bytes:
    who = 0
    if match := re.match(r"@(\d) (.*)", line):
        who, line = (int(match[1]) - 1) % 2, match[2]
    if line == "< ^C":
        return bytes([who << 3 | OTHER, INTERRUPT])
    if line.startswith("<< "):
        line = "< qRcmd," + line[3:].encode().hex()
    if line.startswith("< "):
        body = unescape(line[2:])[:255]
        return bytes([who << 3 | FRAMED, len(body)]) + body
    if match := re.match(r"! run (\d+)", line):
        return bytes([EXECUTE, min(int(match[1]), 79)])
    if line == "! hang-up":
        return bytes([who << 3 | OTHER, HANG_UP])
    return bytes([OTHER, ANSWER]) if line == "! answer" else b""


def main() -> None:
    golden, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(golden.glob("*.rsp")):
        begin = bytes([1 if "\n! wait" in file.read_text() else 0, 1, 1])  # held or not, no observers
        (folder / file.stem).write_bytes(begin + b"".join(deeds(line) for line in file.read_text().splitlines()))


if __name__ == "__main__":
    main()
