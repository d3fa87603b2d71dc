#!/usr/bin/env python3
"""docs/protocol.md names every packet of stub/rsp/packets.def, and no packet that is not there.

usage: check_protocol_doc.py ROOT
"""

import re
import sys
from pathlib import Path


def table_packets(text: str) -> set[str]:
    return set(re.findall(r'^PACKET\("([^"]+)"', text, re.M))


def documented_packets(text: str) -> set[str]:
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `") or line.startswith("| 0x03")]
    return {name for cell in rows for name in re.findall(r"`([^`]+)`", cell)}


def differences(table: str, document: str) -> list[str]:
    have, named = table_packets(table), documented_packets(document)
    return ([f"docs/protocol.md does not name {name}" for name in sorted(have - named)]
            + [f"docs/protocol.md names {name}, which packets.def has not" for name in sorted(named - have)])


def self_test() -> None:
    table = 'PACKET("g", x)\nPACKET("m", x)\n'
    assert differences(table, "| `g`, `m` | ok | s |") == []
    assert differences(table, "| `g` | ok | s |") == ["docs/protocol.md does not name m"]
    assert differences(table, "| `g`, `m`, `q` | ok | s |") == ["docs/protocol.md names q, which packets.def has not"]


def main() -> None:
    self_test()
    root = Path(sys.argv[1])
    found = differences((root / "stub/rsp/packets.def").read_text(), (root / "docs/protocol.md").read_text())
    print("\n".join(found) or "docs/protocol.md agrees with packets.def")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
