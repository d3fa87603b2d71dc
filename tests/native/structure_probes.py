"""Calls made up around structures that depend on a command or a size: System V IPC, socketcall, bpf, events; see probes.py."""

from __future__ import annotations

from struct import pack

from probes import UNREADABLE, Group, call, call32

MULTIPLEXED = [
    call32("socketcall", 1, pack("<3I", 1, 0x80001, 0)),
    call32("socketcall", 2, pack("<3I", 3, 0x10001000, 16)),
    call32("socketcall", 3, pack("<3I", 3, 0, 16)),
    call32("socketcall", 4, pack("<2I", 3, 5)),
    call32("socketcall", 5, pack("<3I", 3, 0, 0)),
    call32("socketcall", 6, pack("<3I", 3, 0, 0)),
    call32("socketcall", 7, pack("<3I", 3, 0, 0)),
    call32("socketcall", 8, pack("<4I", 1, 1, 0, 0x10001000)),
    call32("socketcall", 9, pack("<4I", 3, 0x10001000, 5, 0x40)),
    call32("socketcall", 10, pack("<4I", 3, 0x10001000, 5, 0x40)),
    call32("socketcall", 11, pack("<6I", 3, 0x10001000, 5, 0x40, 0, 0)),
    call32("socketcall", 12, pack("<6I", 3, 0x10001000, 5, 0x40, 0, 0)),
    call32("socketcall", 13, pack("<2I", 3, 1)),
    call32("socketcall", 14, pack("<5I", 3, 1, 2, 0x10001000, 4)),
    call32("socketcall", 15, pack("<5I", 3, 1, 2, 0x10001000, 0x10001000)),
    call32("socketcall", 16, pack("<3I", 3, 0, 0)),
    call32("socketcall", 17, pack("<3I", 3, 0, 0)),
    call32("socketcall", 18, pack("<4I", 3, 0, 0, 0x80000)),
    call32("socketcall", 19, pack("<5I", 3, 0, 0, 0, 0)),
    call32("socketcall", 20, pack("<4I", 3, 0, 0, 0)),
    call32("socketcall", 21, bytes(16)),
    call32("socketcall", 0, bytes(16)),
    call32("socketcall", 1, 0),
    call32("socketcall", 1, UNREADABLE),
    call32("ipc", 1, 5, 1, 0, pack("<HhH", 0, -1, 4096)),
    call32("ipc", 2, 0x1234, 3, 0o600),
    call32("ipc", 3, 5, 0, 0x110, pack("<I", 7)),
    call32("ipc", 3, 5, 0, 0x102, pack("<I", 0x10001000)),
    call32("ipc", 3, 5, 0, 0x113, pack("<I", 0x10001000)),
    call32("ipc", 3, 5, 0, 0x101, pack("<I", 0x10001000)),
    call32("ipc", 3, 5, 0, 0x110, 0),
    call32("ipc", 4, 5, 1, 0, pack("<HhH", 0, -1, 4096), pack("<ii", 1, 5)),
    call32("ipc", 4, 5, 1, 0, pack("<HhH", 0, -1, 4096), 0),
    call32("ipc", 11, 5, 5, 0x800, pack("<i", 1) + b"hello"),
    call32("ipc", 12, 5, 5, 0x800, pack("<II", 0x10001000, 7)),
    call32("ipc", 12, 5, 5, 0x800, 0),
    call32("ipc", 0x1000c, 5, 5, 0x800, 0x10001000, 9),
    call32("ipc", 13, 5, 0o600),
    call32("ipc", 14, 5, 0, 0),
    call32("ipc", 14, 5, 0x102, 0, 0x10001000),
    call32("ipc", 21, 5, 0x2000, pack("<I", 0x40000000), 0x5000),
    call32("ipc", 21, 5, 0, 0, 0),
    call32("ipc", 22, 5, 6, 7, 0x1000),
    call32("ipc", 23, 0, 4096, 0o1700),
    call32("ipc", 24, 5, 0x102, 0, 0x10001000),
    call32("ipc", 99, 1, 2, 3, 4, 5),
    call32("ipc", 0x20001, 1, 2, 3, 4, 5),
]

# Every member of the structures different.
SYSV = pack("<30Q", *((i + 1 << 32) + 0x1000 * i + 0o640 + i for i in range(30)))
SYSV_I386 = pack("<40I", *(0x11000 * i + 0o640 + i for i in range(40)))
IPC_COMMANDS = (0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 99)
IPC_CALLS = [call(name, 5, *where, command, memory) for name, where in (("shmctl", ()), ("msgctl", ()), ("semctl", (2,)))
             for command in IPC_COMMANDS for memory in (SYSV, UNREADABLE, 0)]
IPC_CALLS_I386 = [call32(name, 5, *where, command | flag, memory)
                  for name, where in (("shmctl", ()), ("msgctl", ()), ("semctl", (2,)))
                  for command in IPC_COMMANDS for memory in (SYSV_I386, UNREADABLE) for flag in (0, 0x100)]


def perf_attributes(kind: int = 0, size: int = 128, config: int = 0, period: int = 7, samples: int = 0, format_: int = 0,
                    bits: int = 0) -> tuple:
    memory = pack("<IIQQQQQ", kind, size, config, period, samples, format_, bits)
    return call("perf_event_open", memory.ljust(max(size, 64), b"\0"), 0, -1, -1, 8)


PERF = [
    *(perf_attributes(kind, config=config) for kind in range(7) for config in range(14)),
    *(perf_attributes(3, config=config) for config in (0x10203, 0x70303, 0x106, 0xffffff, 0x1000000)),
    *(perf_attributes(size=size) for size in (0, 1, 8, 63, 64, 72, 80, 96, 104, 112, 120, 128, 136)),
    *(perf_attributes(bits=1 << bit) for bit in range(64)),
    perf_attributes(samples=(1 << 64) - 1, format_=(1 << 64) - 1, bits=(1 << 64) - 1),
    call("perf_event_open", 0, 0, -1, -1, 0), call("perf_event_open", UNREADABLE, 0, -1, -1, 0),
]
# Each command with each size, and with every member different.
BPF_TEXT = 0x10001000  # where the first of a group's memory is
NUMBERED = pack("<40I", *range(1, 41))
BPF = [
    call("bpf", 7, b"a text of some length that goes on and on for more than is shown\0" * 4, 0),
    *(call("bpf", command, NUMBERED[:size], size) for command in range(38)
      for size in (0, 1, 4, 8, 12, 16, 17, 20, 24, 28, 32, 40, 44, 48, 60, 64, 65, 68, 72, 73, 76, 108, 112, 116, 120, 128, 160)),
    *(call("bpf", command, bytes(160), 160) for command in range(38)),
    *(call("bpf", 0, pack("<I", kind) + bytes(156), 160) for kind in range(34)),
    *(call("bpf", 0, bytes(16) + pack("<I", 1 << bit) + bytes(140), 160) for bit in range(32)),
    *(call("bpf", 5, pack("<I", kind) + bytes(156), 160) for kind in range(34)),
    *(call("bpf", 5, bytes(44) + pack("<I", 1 << bit) + bytes(112), 160) for bit in range(32)),
    *(call("bpf", 8, bytes(8) + pack("<I", kind) + bytes(148), 160) for kind in range(46)),
    *(call("bpf", 2, bytes(24) + pack("<Q", flags) + bytes(128), 160) for flags in (0, 1, 2, 3, 4, 7, 8)),
    *(call("bpf", 1, bytes(24) + pack("<Q", flags) + bytes(128), 160) for flags in (0, 1, 4, 5)),
    *(call("bpf", 24, bytes(40) + pack("<Q", flags) + bytes(112), 160) for flags in (0, 1, 4, 5)),
    *(call("bpf", 20, bytes(28) + pack("<I", kind) + bytes(128), 160) for kind in range(7)),
    call("bpf", 0, pack("<IIIIIII16s", 1, 4, 8, 16, 0, 0, 0, b"abcdefghijklmnopqrst"), 44),
    call("bpf", 0, pack("<IIIIIII16s", 1, 4, 8, 16, 0, 0, 0, b"ab\0cdef"), 44),
    call("bpf", 5, pack("<IIQQIIQI", 1, 2, BPF_TEXT, BPF_TEXT, 1, 2, BPF_TEXT, 0x50607) + bytes(112), 160),
    call("bpf", 7, pack("<Q", BPF_TEXT) + bytes(152), 160),
    call("bpf", 17, pack("<Q", BPF_TEXT) + bytes(152), 160),
    call("bpf", 18, pack("<QQIII", BPF_TEXT, BPF_TEXT, 5, 6, 1) + bytes(132), 160),
    call("bpf", 20, pack("<IIIIQ", 1, 3, 0, 5, BPF_TEXT) + bytes(136), 160),
    call("bpf", 0, 0, 72), call("bpf", 0, UNREADABLE, 72),
]
SEGMENTS = pack("<8Q", 0x1000, 0x20, 0x3000, 0x40, 0x5000, 0x60, 0x7000, 0x80)
EVENTS = pack("<QQqqQQqq", 1, 0x2000, -5, 6, 7, 0x3000, 8, 9)
NODES = pack("<4Q", 5, 6, 0, 8)
RARE = [
    *(call("kexec_load", 1, count, SEGMENTS, 0) for count in (0, 1, 2, 16, 17)),
    *(call("kexec_load", 1, 2, where, 0) for where in (0, UNREADABLE)),
    *(call("kexec_load", 1, 0, 0, flags) for flags in (1, 0x77, 0x3e0003 | 1 << 40, *(n << 16 | 4 for n in range(70)))),
    *(call("io_getevents", 5, 1, 2, where, pack("<qq", 1, 5)) for where in (EVENTS, 0, UNREADABLE)),
    *(call("io_pgetevents", 5, 1, 2, where, 0, pack("<QQ", 0x10001000, 8)) for where in (EVENTS, 0, UNREADABLE)),
    *(call("mbind", 0x1000, 8192, policy, NODES, 128, 7) for policy in (*range(9), 0x8003, 0x8009, 0xe001, 1 << 32 | 0x8003)),
    *(call("mbind", 0x1000, 8192, 2, NODES, bits, 15) for bits in (0, 1, 2, 63, 64, 65, 66, 128, 129, 130, 256, 5000)),
    *(call("mbind", 0x1000, 8192, 2, where, 9, 15) for where in (0, UNREADABLE)),
    *(call("set_mempolicy", policy, NODES, 128) for policy in (*range(9), 0x8003, 0x8009, 0xe001, 1 << 32 | 0x8003)),
    *(call("migrate_pages", 0, bits, NODES, NODES) for bits in (0, 1, 64, 65, 66)),
    *(call("get_mempolicy", pack("<i", 2), NODES, bits, 0, 3) for bits in (0, 1, 64, 65, 66)),
]
RARE_I386 = [
    call32("kexec_load", 1, 2, pack("<8I", *range(1, 9)), 1),
    call32("io_getevents", 5, 1, 2, EVENTS, pack("<ii", 1, 5)),
    *(call32("mbind", 0, 0, 2, pack("<4I", 1, 2, 0, 4), bits, 0) for bits in (0, 1, 2, 32, 33, 34, 128)),
]

GROUPS = [
    Group("several calls in one", 0, MULTIPLEXED, i386=True), Group("several calls in one, refused", -14, MULTIPLEXED, i386=True),
    Group("several calls in one, answered 3", 3, MULTIPLEXED, i386=True),
    Group("System V", 0, IPC_CALLS), Group("System V, refused", -14, IPC_CALLS),
    Group("32-bit System V", 0, IPC_CALLS_I386, i386=True), Group("32-bit System V, refused", -14, IPC_CALLS_I386, i386=True),
    *(Group(f"rare, {result}", result, RARE) for result in (0, 2, -1)), Group("32-bit rare", 1, RARE_I386, i386=True),
    Group("bpf", 3, BPF), Group("bpf, refused", -1, BPF),
    Group("events", 3, PERF), Group("events, refused", -1, PERF),
]
