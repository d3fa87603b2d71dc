"""The Intel lab: Bochs with VMX, built from Debian's source.

Bochs needs no patch but two lines (see _EDITS). Debian's own build wants a desktop's libraries and stops in its debugger; ours has neither, no
display, and every optimisation. It is built from trixie's source package (3.0), which is twice as fast as bookworm's.
Time in it is counted in instructions: the same run costs the same every time, and an idle L1 rushes ahead of the
host's clock, so timeouts inside L1 must be generous.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cache
import debian
import pvh
from cache import HERE, LabError, command, say

NAME = "bochs"
MEMORY_MIB = 1536
KERNEL_META = "linux-image-amd64"  # the cloud kernel has no driver for any of Bochs's network cards
MODULES = ["kvm_intel", "e1000"]
MODULE_OPTIONS = {"kvm_intel": "enable_apicv=0"}  # Bochs 3.0's virtual APIC loses interrupts of the guest
BOOT_SECONDS = 240
STDIN = subprocess.DEVNULL
HOST_PACKAGES = ["gcc", "g++", "libc6-dev", "make", "pkg-config", "patch", "xz-utils", "python3", "busybox-static",
                 "kmod", "binutils"]

_CONFIGURE = ["--with-nogui", "--without-x", "--enable-x86-64", "--enable-cpu-level=6", "--enable-all-optimizations",
              "--enable-long-phy-address", "--enable-vmx=2", "--enable-svm", "--enable-smp", "--enable-avx",
              "--enable-evex", "--enable-protection-keys", "--enable-x86-debugger", "--enable-pci", "--enable-cdrom",
              "--enable-e1000", "--disable-plugins", "--disable-readline", "--disable-docbook", "--disable-xpm"]
_FLAGS = "-O2 -w"
_EDITS = [  # file, what it says, what it shall say
    ("iodev/network/eth_slirp.cc", "#define MAX_HOSTFWD 5", "#define MAX_HOSTFWD 64"),
    # Memory in one piece, in order: load_RAM() takes that for granted.
    ("memory/memory_stub.cc", "  if (0) {\n    // all guest memory", "  if (guest <= host) {\n    // all guest memory"),
    # At VM entry the interrupt mask is computed before the CPU counts as a guest's: one that is entered with IF=0 and
    # spins would keep L1's own interrupts out for ever (SDM 3C 25.1, "external-interrupt exiting" ignores IF).
    ("cpu/vmx.cc", "  BX_CPU_THIS_PTR in_vmx_guest = true;\n\n  unmask_event(BX_EVENT_INIT);",
     "  BX_CPU_THIS_PTR in_vmx_guest = true;\n  handleInterruptMaskChange();\n\n  unmask_event(BX_EVENT_INIT);"),
]
_CMDLINE = " clearcpuid=rdrand,rdseed,aperfmperf norandmaps"

_CONFIG = """\
config_interface: textconfig
display_library: nogui
megs: {memory}
cpu: model=corei7_skylake_x, count=1, ips=100000000, reset_on_triple_fault=0
romimage: file={home}/roms/BIOS-bochs-latest
vgaromimage: file={home}/roms/vgabios.bin
vga: extension=vbe, update_freq=1, realtime=0
optramimage1: file={files}/kernel, address={kernel_at:#x}
optramimage2: file={state}/start_info, address={info_at:#x}
optramimage3: file={initrd}, address={initrd_at:#x}
floppya: 1_44={files}/boot, status=inserted
boot: floppy
com1: enabled=1, mode=file, dev={state}/serial.log
pci: enabled=1, chipset=i440fx, slot1=e1000
e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, script={state}/slirp.conf
clock: sync=none, time0=1700000000
log: -
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""

def _name() -> str:
    return f"bochs/{cache.digest(' '.join(_CONFIGURE), _FLAGS, repr(_EDITS))}"


def ready() -> bool:
    return (cache.root() / _name()).exists()


def prepare() -> Path:
    """Builds the emulator if this recipe has not been built yet; returns its directory."""
    return cache.once(_name(), _build)


def _build(into: Path) -> None:
    suite = debian.Suite("trixie")
    suite.refresh()
    version = suite.source_version("bochs")
    work = into / "work"
    log = cache.root() / "bochs-build.log"
    log.write_text("")
    say(f"building Bochs {version}: some minutes, once (log: {log})")
    source = suite.unpack_source("bochs", version, work)
    for name, old, new in _EDITS:
        text = (source / name).read_text()
        if old not in text:
            raise LabError(f"Bochs {version} has no {old!r} in {name}")
        (source / name).write_text(text.replace(old, new))
    ccache = shutil.which("ccache")
    prefix = f"{ccache} " if ccache else ""
    env = dict(os.environ)
    if ccache:
        env.setdefault("CCACHE_DIR", str(cache.root() / "ccache"))
        env.update(CCACHE_BASEDIR=str(work), CCACHE_NOHASHDIR="1")
    command(["./configure", f"CC={prefix}gcc", f"CXX={prefix}g++", f"CFLAGS={_FLAGS}", f"CXXFLAGS={_FLAGS}",
             *_CONFIGURE], log=log, cwd=source, env=env)
    say("configured, compiling")
    command(["make", f"-j{os.cpu_count()}"], log=log, cwd=source, env=env)
    (into / "bin").mkdir()
    command(["strip", "-o", str(into / "bin/bochs"), str(source / "bochs")])
    roms = debian.Suite("bookworm")
    roms.refresh()
    roms.unpack(["bochsbios", "vgabios"], work / "roms", ["*/bochs/BIOS-bochs-latest", "*/vgabios/vgabios.bin"])
    (into / "roms").mkdir()
    for name in ("BIOS-bochs-latest", "vgabios.bin"):
        shutil.copy(next((work / "roms").rglob(name)), into / "roms")
    (into / "version").write_text(f"{version}\n")
    shutil.rmtree(work)


def _boot_files(image: "Image") -> Path:  # noqa: F821
    """The kernel as it lies in memory, where that is, and the floppy that starts it."""
    def build(into: Path) -> None:
        kernel = pvh.lay_out(pvh.unpack_bzimage(image.kernel.read_bytes()))
        (into / "kernel").write_bytes(kernel.body)
        (into / "kernel_at").write_text(str(kernel.at))
        pvh.boot_floppy(kernel.entry, into / "boot")

    recipe = cache.digest(image.kernel.name, str(image.kernel.stat().st_mtime_ns), HERE / "pvh.py", HERE / "pvh_boot.S")
    return cache.once(f"l1/kernel-{recipe}", build)


def environment() -> dict[str, str]:
    return {"BXSHARE": str(prepare() / "roms")}


def command_line(image: "Image", memory_mib: int, forwards: dict[int, int], state: Path) -> list[str]:  # noqa: F821
    """What starts L1; `forwards` maps L1's TCP ports to the host's."""
    if memory_mib > 3072:
        raise LabError("the Bochs lab has at most 3072 MiB: more is for the QEMU lab")
    home = prepare()
    rules = [f"hostfwd = tcp:127.0.0.1:{host}-10.0.2.15:{l1}\n" for l1, host in forwards.items()]
    (state / "slirp.conf").write_text("# slirp config\nrestricted = 1\n" + "".join(rules))
    (state / "start_info").write_bytes(
        pvh.start_info(image.cmdline + _CMDLINE, image.initrd.stat().st_size, memory_mib))
    files = _boot_files(image)
    (state / "bochsrc").write_text(_CONFIG.format(
        memory=memory_mib, home=home, state=state, files=files, initrd=image.initrd, info_at=pvh.INFO_AT,
        initrd_at=pvh.INITRD_AT, kernel_at=int((files / "kernel_at").read_text())))
    return [str(home / "bin/bochs"), "-q", "-f", str(state / "bochsrc")]
