"""Boots a Debian kernel without boot loader: unpacked from its bzImage and laid out as it will lie in memory.

An emulator that can preload memory then needs only a boot sector that jumps to the kernel's PVH entry. That spares L1
the reading from an emulated CD and the unpacking of the kernel, two thirds of the whole boot.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from cache import HERE, LabError, command

INFO_AT = 0x7FFF000  # start info, its lists and the command line: one page
INITRD_AT = 0x8000000
_PT_LOAD, _PT_NOTE, _NOTE_PHYS32_ENTRY = 1, 4, 18
_MAGIC = 0x336EC578
_RAM, _RESERVED = 1, 2


class Flat(NamedTuple):
    at: int
    body: bytes
    entry: int


def unpack_bzimage(image: bytes) -> bytes:
    """The vmlinux inside a bzImage (Documentation/arch/x86/boot.rst: payload_offset, payload_length)."""
    if image[0x202:0x206] != b"HdrS":
        raise LabError("this is no bzImage")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1F1] + 1) * 512 + offset
    payload = image[start:start + length]
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(payload)
    raise LabError("this kernel is packed in a way the lab does not know")


def lay_out(elf: bytes) -> Flat:
    """The kernel's segments at their physical addresses, and its 32-bit entry for PVH."""
    offset, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", elf, offset + i * size) for i in range(count)]
    loads = [(h[4], elf[h[2]:h[2] + h[5]], h[6]) for h in headers if h[0] == _PT_LOAD]
    at = min(paddr for paddr, _, _ in loads)
    body = bytearray(max(paddr + memory for paddr, _, memory in loads) - at)
    for paddr, data, _ in loads:
        body[paddr - at:paddr - at + len(data)] = data
    for h in headers:
        if h[0] == _PT_NOTE and (entry := _find_entry(elf[h[2]:h[2] + h[5]])):
            return Flat(at, bytes(body), entry)
    raise LabError("this kernel has no PVH entry")


def _find_entry(notes: bytes) -> int | None:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12:at + 12 + name_size]
        at += 12 + (name_size + 3 & ~3)
        if name == b"Xen\0" and kind == _NOTE_PHYS32_ENTRY:
            return int.from_bytes(notes[at:at + size], "little")
        at += size + 3 & ~3
    return None


def start_info(cmdline: str, initrd_size: int, memory_mib: int) -> bytes:
    """struct hvm_start_info for INFO_AT; the ACPI tables are left for the kernel to find."""
    top = memory_mib << 20
    ranges = [(0, 0x9F000, _RAM), (0x9F000, 0x61000, _RESERVED), (0x100000, top - 0x100000 - 0x10000, _RAM),
              (top - 0x10000, 0x10000, _RESERVED)]  # the BIOS keeps its tables in the last 64 KiB
    modules_at, map_at, cmdline_at = INFO_AT + 0x40, INFO_AT + 0x80, INFO_AT + 0x200
    page = bytearray(0x1000)
    struct.pack_into("<IIIIQQQQII", page, 0, _MAGIC, 1, 0, 1, modules_at, cmdline_at, 0, map_at, len(ranges), 0)
    struct.pack_into("<QQQQ", page, 0x40, INITRD_AT, initrd_size, 0, 0)
    for i, (base, size, kind) in enumerate(ranges):
        struct.pack_into("<QQII", page, 0x80 + 24 * i, base, size, kind, 0)
    text = cmdline.encode() + b"\0"
    page[0x200:0x200 + len(text)] = text
    return bytes(page)


def boot_floppy(entry: int, out: Path) -> None:
    """A floppy image whose first sector is pvh_boot.S."""
    parts = out.with_suffix(".o"), out.with_suffix(".bin")
    command(["gcc", "-c", f"-DSTART_INFO={INFO_AT:#x}", f"-DENTRY={entry:#x}", "-o", str(parts[0]),
             str(HERE / "pvh_boot.S")])
    command(["ld", "-Ttext=0x7c00", "--oformat=binary", "-o", str(parts[1]), str(parts[0])])
    out.write_bytes(parts[1].read_bytes().ljust(1440 << 10, b"\0"))
    for part in parts:
        part.unlink()
