"""Makes calls with any arguments, for decoders to be tried on: started and attached to by compare_probes.py.

Reads probes as JSON: whether they are i386's, and a list of [number, argument…], an argument being a number or bytes in hex, which are placed in memory that is
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
# int 0x80 with the registers from an array of seven words, the number first: a 32-bit call of a 64-bit process.
INT80 = bytes.fromhex("53 55 4989f8 418b00 418b5804 418b4808 418b500c 418b7010 418b7814 418b6818 cd80 5d 5b c3")


def prepare(probes: list[list[int | str]]) -> list[tuple]:
    calls, at = [], BASE + 0x1000
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
        registers = (ctypes.c_uint32 * 7)(number, *(word.value & 0xffffffff for word in words))
        calls.append((ctypes.c_long(MARKER), ctypes.c_long(i), ctypes.c_long(number), words, registers))
    return calls


def main() -> None:
    libc = ctypes.CDLL(None)
    libc.syscall.restype = ctypes.c_long
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    if libc.mmap(BASE, SIZE, 7, 0x32, -1, 0) != BASE:
        sys.exit("no memory where it must be")
    with open(sys.argv[1], encoding="ascii") as file:
        i386, probes = json.load(file)
    ctypes.memmove(BASE, INT80, len(INT80))
    int80 = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(BASE)
    calls = prepare(probes)
    gc.disable()
    os.write(1, b"r")
    with contextlib.suppress(OSError):  # where the tracer comes in this call is begun again, and may be refused
        os.read(0, 1)
    for marker, i, number, words, registers in calls:
        libc.syscall(marker, i)
        if i386:
            int80(registers)
        else:
            libc.syscall(number, *words)
    libc.syscall(ctypes.c_long(MARKER), ctypes.c_long(1 << 30))
    os._exit(0)


if __name__ == "__main__":
    main()
