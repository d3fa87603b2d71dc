"""Debian's kernels and the initrds made for tests, all in the cache."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from harness import place  # noqa: F401  (puts tests/lab on the path)

import cache  # noqa: E402
import kernelstore  # noqa: E402
import l1image  # noqa: E402
from cpio import Archive  # noqa: E402

SUITES = ("6.1", "6.12", "sid")

PROLOGUE = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
echo guest: init
"""


@functools.cache
def get(suite: str, debug: bool = False) -> kernelstore.Kernel:
    return kernelstore.fetch(kernelstore.KERNELS[suite], debug, current=False)


def vmlinux(suite: str = "6.1") -> Path:
    """The ELF with DWARF, for gdb."""
    path = get(suite, debug=True).vmlinux
    assert path is not None
    return path


def stripped_vmlinux(suite: str = "6.1") -> Path:
    """The same ELF without DWARF, small enough to be put into a lab."""
    source = vmlinux(suite)

    def build(into: Path) -> None:
        subprocess.run(["strip", "--strip-debug", "-o", into / "vmlinux", source], check=True)
    return cache.once(f"kernels/stripped/{source.name}-{source.stat().st_size}", build) / "vmlinux"


def c_program(source: Path) -> Path:
    return l1image.static_program(source)


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="ringside-system-")  # removed when the process ends


@functools.cache
def initrd(body: str, files: tuple[tuple[Path, str], ...] = ()) -> Path:
    """An initrd whose /init mounts what is usual, says "guest: init" and goes on with `body`, a piece of sh."""
    tree = Archive()
    for path in ("/proc", "/sys", "/dev", "/tmp", "/root", "/etc"):
        tree.directory(path)
    tree.char_device("/dev/console", 5, 1)
    tree.char_device("/dev/null", 1, 3, 0o666)
    l1image.add_busybox(tree)
    tree.file("/init", PROLOGUE + body + "\n", 0o755)
    tree.file("/etc/greeting", "hello from the initrd\n")
    for source, there in files:
        tree.copy(source, there)
    data = tree.to_bytes()
    out = Path(_scratch().name) / f"initrd-{cache.digest(data)}.cpio"
    out.write_bytes(data)
    return out


@functools.cache
def bare_initrd(init: Path) -> Path:
    """An initrd with nothing but that program as its /init."""
    tree = Archive()
    tree.char_device("/dev/console", 5, 1)
    tree.file("/init", init.read_bytes(), 0o755)
    out = Path(_scratch().name) / f"bare-{init.name}.cpio"
    out.write_bytes(tree.to_bytes())
    return out
