"""What L1 boots: a Debian kernel and an initramfs of busybox, the modules for KVM and network, and the agent."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import cache
import kernelstore
from cache import HERE, command
from cpio import Archive

BUSYBOX = Path("/bin/busybox")
CMDLINE = ("console=ttyS0 panic=-1 quiet nokaslr mitigations=off tsc=reliable no_timer_check cryptomgr.notests "
           "audit=0 rdinit=/init")


class Image(NamedTuple):
    kernel: Path
    initrd: Path
    cmdline: str
    home: Path


def static_program(source: Path) -> Path:
    """A C file of the lab as a static program."""
    def build(into: Path) -> None:
        command(["gcc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-o", str(into / source.stem), str(source)])
    return cache.once(f"programs/{source.stem}-{cache.digest(source)}", build) / source.stem


def add_busybox(tree: Archive) -> None:
    """busybox with a link per applet, in the four usual directories."""
    tree.copy(BUSYBOX, "/bin/busybox")
    for line in command([str(BUSYBOX), "--list-full"]).split():
        if line != "bin/busybox":
            tree.symlink(line, "/bin/busybox")


def add_modules(tree: Archive, kernel: kernelstore.Kernel, names: list[str], options: dict[str, str]) -> None:
    """Modules in /lab/modules, one insmod argument list a line, in loading order."""
    lines = []
    for path in kernel.module_files(names):
        name = kernelstore.module_name(path.name)
        tree.file(f"/lab/{name}.ko", kernelstore.module_bytes(path))
        lines.append(f"/lab/{name}.ko {options.get(name, '')}".rstrip() + "\n")
    tree.file("/lab/modules", "".join(lines))


def prepare(emulator: ModuleType, current: bool = False) -> Image:
    """L1's boot files for that emulator. With `current`, asks whether Debian has a newer kernel by now."""
    kernel = kernelstore.fetch("bookworm", meta=emulator.KERNEL_META, current=current)
    agent = static_program(HERE / "agent.c")
    recipe = cache.digest(kernel.home.name, agent.parent.name, HERE / "l1_init.sh", HERE / "l1image.py",
                          HERE / "cpio.py", repr((emulator.MODULES, emulator.MODULE_OPTIONS)), BUSYBOX)

    def build(into: Path) -> None:
        tree = Archive()
        tree.char_device("/dev/console", 5, 1)
        tree.char_device("/dev/null", 1, 3, 0o666)
        add_busybox(tree)
        add_modules(tree, kernel, emulator.MODULES, emulator.MODULE_OPTIONS)
        tree.copy(agent, "/lab/agent")
        tree.file("/init", (HERE / "l1_init.sh").read_bytes(), 0o755)
        for name, text in {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n",
                           "hosts": "127.0.0.1 localhost l1\n"}.items():
            tree.file(f"/etc/{name}", text)
        tree.write(into / "l1.cpio")

    home = cache.once(f"l1/{emulator.NAME}-{recipe}", build)
    return Image(kernel.vmlinuz, home / "l1.cpio", CMDLINE, home)
