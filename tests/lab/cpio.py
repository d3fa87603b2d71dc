"""Writes initramfs archives (cpio, "newc" format) without touching the file system's own nodes or owners.

The kernel's Documentation/driver-api/early-userspace/buffer-format.rst is the grammar. Entries are kept by path, so a
later one replaces an earlier one, and parent directories appear by themselves; times and inode numbers depend on the
contents only, so equal contents make equal archives.
"""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    mode: int
    body: bytes = b""
    rdev: tuple[int, int] = (0, 0)


def _pad4(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _member(inode: int, path: str, entry: Entry) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.body), 0, 0, *entry.rdev, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields)
    return _pad4(head + name) + _pad4(entry.body)


class Archive:
    """A file tree in memory. Paths may be written with or without the leading slash."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def _add(self, path: str, entry: Entry) -> None:
        path = os.path.normpath(path).strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.directory(parent)
        self.entries[path] = entry

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._add(path, Entry(stat.S_IFDIR | mode))

    def file(self, path: str, body: bytes | str, mode: int = 0o644) -> None:
        self._add(path, Entry(stat.S_IFREG | mode, body.encode() if isinstance(body, str) else body))

    def copy(self, source: str | Path, path: str) -> None:
        """Takes a host file's bytes and permission bits, following symbolic links."""
        source = Path(source)
        self.file(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))

    def symlink(self, path: str, target: str) -> None:
        self._add(path, Entry(stat.S_IFLNK | 0o777, target.encode()))

    def char_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        self._add(path, Entry(stat.S_IFCHR | mode, rdev=(major, minor)))

    def to_bytes(self) -> bytes:
        # Insertion order already has parents before children; re-adding a path keeps its old place.
        parts = [_member(i, path, entry) for i, (path, entry) in enumerate(self.entries.items(), start=1)]
        parts.append(_member(0, "TRAILER!!!", Entry(0)))
        return b"".join(parts)

    def write(self, out: str | Path) -> None:
        """Writes the archive, gzipped if the name ends in .gz, and appears under its name only when complete."""
        out = Path(out)
        data = self.to_bytes()
        if out.suffix == ".gz":
            data = gzip.compress(data, compresslevel=6, mtime=0)
        part = out.with_name(f"{out.name}.part{os.getpid()}")
        part.write_bytes(data)
        part.rename(out)
