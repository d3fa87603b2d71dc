"""The AMD lab: QEMU's TCG with nested SVM, built from Debian's source with our patch.

Only what is needed is built (about three minutes on two cores, once); the result is a stripped binary and three ROMs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cache
import debian
from cache import HERE, command, say

NAME = "qemu"
MEMORY_MIB = 3072
KERNEL_META = "linux-image-cloud-amd64"
MODULES = ["kvm_amd", "virtio_pci", "virtio_net"]
# Loaded before Linux has refined its measure of the TSC, KVM would hold every guest's rate for another one than the
# machine's, which it cannot scale to here: guests' TSC would stand still, and no timer of theirs would ever fire.
MODULE_OPTIONS = {"kvm": "tsc_tolerance_ppm=500000"}
BOOT_SECONDS = 90
STDIN = subprocess.DEVNULL
HOST_PACKAGES = ["gcc", "libc6-dev", "make", "meson", "ninja-build", "pkg-config", "patch", "xz-utils",
                 "libglib2.0-dev", "libpixman-1-dev", "libfdt-dev", "libslirp-dev", "zlib1g-dev", "python3",
                 "busybox-static", "kmod"]

_PATCH = HERE / "qemu-nested-svm.patch"
_CONFIGURE = ["--target-list=x86_64-softmmu", "--without-default-features", "--enable-tcg", "--enable-system",
              "--enable-fdt=system", "--enable-slirp", "--disable-kvm", "--disable-install-blobs"]
_ROMS = ["*/seabios/bios-256k.bin", "*/qemu/linuxboot_dma.bin", "*/qemu/kvmvapic.bin"]


def _name() -> str:
    return f"qemu/{cache.digest(_PATCH, ' '.join(_CONFIGURE + _ROMS), 'strip')}"


def ready() -> bool:
    return (cache.root() / _name()).exists()


def prepare() -> Path:
    """Builds the emulator if this recipe has not been built yet; returns its directory."""
    return cache.once(_name(), _build)


def _build(into: Path) -> None:
    suite = debian.Suite("bookworm")
    suite.refresh()
    version = suite.source_version("qemu")
    work = into / "work"
    log = cache.root() / "qemu-build.log"
    log.write_text("")
    say(f"building QEMU {version} with {_PATCH.name}: some minutes, once (log: {log})")
    source = suite.unpack_source("qemu", version, work)
    command(["patch", "-p1", "-i", str(_PATCH)], log=log, cwd=source)
    ccache = shutil.which("ccache")
    build = work / "build"
    build.mkdir()
    env = dict(os.environ)
    if ccache:
        env.setdefault("CCACHE_DIR", str(cache.root() / "ccache"))
        # Every build is in a directory of its own name; without this ccache would take each for another program.
        env.update(CCACHE_BASEDIR=str(work), CCACHE_NOHASHDIR="1")
    command([str(source / "configure"), f"--cc={ccache + ' ' if ccache else ''}gcc", *_CONFIGURE],
            log=log, cwd=build, env=env)
    say("configured, compiling")
    command(["ninja", "qemu-system-x86_64"], log=log, cwd=build, env=env)
    (into / "bin").mkdir()
    command(["strip", "-o", str(into / "bin/qemu-system-x86_64"), str(build / "qemu-system-x86_64")])
    suite.unpack(["seabios", "qemu-system-data"], work / "roms", _ROMS)
    (into / "roms").mkdir()
    for pattern in _ROMS:
        rom = next((work / "roms").rglob(pattern.rsplit("/", 1)[1]))
        shutil.copy(rom, into / "roms")
    (into / "version").write_text(f"{version}\n")
    shutil.rmtree(work)


def environment() -> dict[str, str]:
    return {}


def command_line(image: "Image", memory_mib: int, forwards: dict[int, int], state: Path) -> list[str]:  # noqa: F821
    """What starts L1; `forwards` maps L1's TCP ports to the host's."""
    home = prepare()
    hostfwd = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{l1}" for l1, host in forwards.items())
    # One CPU: with two and thread=multi, L1 hangs after some dozens of create-VM, step, destroy rounds.
    return [str(home / "bin/qemu-system-x86_64"), "-L", str(home / "roms"), "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-machine", "pc,vmport=off,usb=off", "-smp", "1",
            "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "EPYC,+svm,+npt", "-m", str(memory_mib),
            "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", image.cmdline,
            "-serial", f"file:{state / 'serial.log'}",
            "-netdev", f"user,id=net,restrict=on{hostfwd}", "-device", "virtio-net-pci,netdev=net,romfile="]
