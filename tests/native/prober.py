"""Makes calls with any arguments, for decoders to be tried on: started and attached to by compare_probes.py.

Reads probes as JSON: [number, argument…], an argument being a number or bytes in hex, which are placed in memory that is
at the same address in each run. Nothing else is called between them, but for a marker in front of each.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import sys

BASE = 0x10000000
SIZE = 1 << 26
MARKER = 999  # no such call


def prepare(probes: list[list[int | str]]) -> list[tuple]:
    calls, at = [], BASE
    for i, (number, *arguments) in enumerate(probes):
        words = []
        for argument in arguments:
            if isinstance(argument, str):
                content = bytes.fromhex(argument)
                ctypes.memmove(at, content, len(content))
                words.append(ctypes.c_long(at))
                at += (len(content) + 63) & ~63
            else:
                words.append(ctypes.c_ulong(argument & ((1 << 64) - 1)))
        words += [ctypes.c_ulong(0)] * (6 - len(words))
        calls.append((ctypes.c_long(MARKER), ctypes.c_long(i), ctypes.c_long(number), words))
    return calls


def main() -> None:
    libc = ctypes.CDLL(None)
    libc.syscall.restype = ctypes.c_long
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    if libc.mmap(BASE, SIZE, 3, 0x32, -1, 0) != BASE:
        sys.exit("no memory where it must be")
    with open(sys.argv[1], encoding="ascii") as file:
        calls = prepare(json.load(file))
    gc.disable()
    os.write(1, b"r")
    with contextlib.suppress(OSError):  # where the tracer comes in this call is begun again, and may be refused
        os.read(0, 1)
    for marker, i, number, words in calls:
        libc.syscall(marker, i)
        libc.syscall(number, *words)
    libc.syscall(ctypes.c_long(MARKER), ctypes.c_long(1 << 30))
    os._exit(0)


if __name__ == "__main__":
    main()
