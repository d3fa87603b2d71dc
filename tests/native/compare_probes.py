#!/usr/bin/env python3
"""Our decoders beside the real strace, on calls made up for them. Usage: compare_probes.py NATIVE_STRACE [GROUP…]

The calls are not made: both tracers give them a result of their own, so that any arguments and any memory can be shown,
also what the kernel would have filled in. What strace says of each must be what ours says.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import probes
import structure_probes

HERE = Path(__file__).parent


def run(tracer: list[str], i386: bool, calls: list[list[int | str]], out: Path) -> list[str | None]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([i386, calls], file)
        file.flush()
        child = subprocess.Popen(["setarch", "-R", "/usr/bin/python3", "-S", "-E", "-I", str(HERE / "prober.py"), file.name],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.read(1)
        tracing = subprocess.Popen([*tracer, "-p", str(child.pid)], stderr=subprocess.PIPE, text=True)
        said = tracing.stderr.readline()
        if "attached" not in said:
            child.kill()
            raise RuntimeError(said)
        with contextlib.suppress(BrokenPipeError):  # it need not wait, see prober.py
            child.stdin.write(b"\n")
            child.stdin.close()
        child.wait(60)
        tracing.wait(60)
    name = out if out.exists() else Path(f"{out}.{child.pid}")
    return by_marker(name.read_text(encoding="latin-1").splitlines(), len(calls))


def by_marker(lines: list[str], count: int) -> list[str | None]:
    found: list[str | None] = [None] * count
    lines = [line for line in lines if not line.startswith("[ Process ")]  # strace tells of changes of the ABI
    for line, following in zip(lines, lines[1:]):
        match = re.match(r"syscall_0x3e7\((0x[0-9a-f]+|0)", line)
        if match and int(match[1], 16) < count:
            found[int(match[1], 16)] = re.sub(r"\)\s+= ", ") = ", following.replace(" (INJECTED)", ""), count=1)
    return found


def compare(native: str, group: probes.Group) -> list[tuple[str | None, str | None]]:
    calls, result, options = group.calls, group.result, group.options
    plain = [[call[0], *(a.hex() if isinstance(a, bytes) else a for a in call[1:])] for call in calls]
    numbers = ",".join(str(n) for n in sorted({call[0] for call in calls}))
    meant = ",%network,%ipc" if group.i386 else ""  # strace judges socketcall and ipc by the call that is meant
    how = f"retval={result}" if result >= 0 else f"error={errno.errorcode[-result]}"
    with tempfile.TemporaryDirectory() as place:
        theirs = run(["strace", "-o", f"{place}/theirs", "-e", "signal=none", "-e", f"inject={numbers}{meant}:{how}", *options],
                     group.i386, plain, Path(place) / "theirs")
        ours = run([native, "-o", f"{place}/ours", "-i", f"{numbers}:{result}", *options], group.i386, plain,
                   Path(place) / "ours")
    return list(zip(theirs, ours))


def main() -> int:
    native, *only = sys.argv[1:]
    wrong = total = 0
    for group in [*probes.GROUPS, *structure_probes.GROUPS]:
        if only and group.name not in only:
            continue
        pairs = compare(native, group)
        differing = [(a, b) for a, b in pairs if a != b or a is None]
        known = [pair for pair in differing if probes.known_difference(*pair)]
        bad = len(differing) - len(known)
        print(f"{group.name}: {len(pairs)} calls, {bad} differ, {len(known)} known to")
        for theirs, ours in [pair for pair in differing if pair not in known][:80]:
            print("    -", theirs)
            print("    +", ours)
        wrong += bad
        total += len(pairs)
    print(f"{total} calls, {wrong} differ")
    return 1 if wrong or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
