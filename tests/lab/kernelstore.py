"""Debian's kernels in the cache: image, configuration, modules and, when asked for, the vmlinux with DWARF.

The meta package says which kernel is current; versions are never written down here. A kernel that was fetched once
stays usable without a network.
"""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import cache
import debian
from cache import LabError, command, say

# The names users say, and the suite each comes from.
KERNELS = {"6.1": "bookworm", "6.12": "bookworm-backports", "sid": "sid"}


class Kernel:
    """One unpacked kernel. `home` holds image/ and perhaps debug/."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def version(self) -> str:
        return self.modules.name

    @property
    def vmlinuz(self) -> Path:
        return self._the_file("vmlinuz")

    @property
    def config(self) -> Path:
        return self._the_file("config")

    @property
    def system_map(self) -> Path | None:
        path = self._the_file("System.map")
        return path if path.stat().st_size > 4096 else None  # Debian's is a note where to find the real one

    @property
    def modules(self) -> Path:
        found = [p for base in ("lib", "usr/lib") for p in (self.home / "image" / base / "modules").glob("*")]
        if not found:
            raise LabError(f"no modules in {self.home}")
        return found[0]

    @property
    def vmlinux(self) -> Path | None:
        found = [p for p in (self.home / "debug").rglob("vmlinux*") if p.is_file() and not p.is_symlink()]
        return max(found, key=lambda p: p.stat().st_size, default=None)

    def _the_file(self, name: str) -> Path:
        """Older packages have it in /boot, newer ones among the modules."""
        for path in (self.home / "image/boot" / f"{name}-{self.version}", self.modules / name):
            if path.is_file():
                return path
        raise LabError(f"no {name} in {self.home}/image")

    def module_files(self, names: list[str]) -> list[Path]:
        """The files of these modules and of all they need, in loading order. What is built in is left out."""
        by_name: dict[str, tuple[str, list[str]]] = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, needs = line.split(":", 1)
            by_name[module_name(path)] = (path, needs.split())
        builtin = {module_name(p) for p in (self.modules / "modules.builtin").read_text().split()}
        order: list[str] = []
        for name in (n.replace("-", "_") for n in names):
            if name in by_name:
                path, needs = by_name[name]
                order += [p for p in [*reversed(needs), path] if p not in order]
            elif name not in builtin:
                raise LabError(f"kernel {self.version} has no module {name}")
        return [self.modules / p for p in order]


def module_name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


def module_bytes(path: Path) -> bytes:
    """A module's ELF bytes, whatever it is packed with: busybox's insmod takes only plain ones."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout
    return path.read_bytes()


def _parts(suite: debian.Suite, image: str) -> list[str]:
    """The package itself and those it is split into: newer kernels ship linux-binary-, linux-modules-, ..."""
    flavour = image.removeprefix("linux-image-")
    depends = suite.ask("depends", image)
    split = [w for w in depends.split() if w.startswith("linux-") and w.endswith(flavour) and "-image-" not in w]
    return [image, *dict.fromkeys(split)]


def _fetch(suite: debian.Suite, meta: str, debug: bool) -> Kernel:
    image = suite.real_package(meta, "linux-image-")
    version = suite.candidate(image) or "unknown"
    name = f"kernels/{suite.name}/{image.removeprefix('linux-image-')}_{version.replace(':', '%')}"

    def unpack_image(into: Path) -> None:
        say(f"fetching kernel {image} {version}")
        suite.unpack(_parts(suite, image), into, ["*/boot/*", "*/modules/*"])
        if not (into / "lib").exists() and (into / "usr/lib").exists():
            (into / "lib").symlink_to("usr/lib")
        modules = next((into / "lib/modules").glob("*"))
        command(["/sbin/depmod", "-b", str(into), modules.name])

    def unpack_debug(into: Path) -> None:
        say(f"fetching {image}-dbg (about 300 MB)")
        suite.unpack([f"{image}-dbg"], into, ["*/vmlinux*"])

    cache.once(f"{name}/image", unpack_image)
    if debug:
        cache.once(f"{name}/debug", unpack_debug)
    return Kernel(cache.root() / name)


def _cached(suite_name: str, meta: str, debug: bool) -> Kernel | None:
    flavour = "-cloud-" in meta
    kernels = [Kernel(p.parent) for p in (cache.root() / "kernels" / suite_name).glob("*/image")]
    fit = [k for k in kernels if ("-cloud-" in k.home.name) == flavour and (k.vmlinux or not debug)]
    return max(fit, key=lambda k: k.home.stat().st_mtime, default=None)


def fetch(suite_name: str, debug: bool = False, meta: str = "linux-image-cloud-amd64", current: bool = True) -> Kernel:
    """The kernel that `meta` stands for in that Debian suite; with `current` false any cached one will do."""
    if not current and (kernel := _cached(suite_name, meta, debug)):
        return kernel
    suite = debian.Suite(suite_name)
    try:
        suite.refresh()
        try:
            return _fetch(suite, meta, debug)
        except LabError:
            suite.refresh(force=True)  # between looking up and downloading the archive moved on
            return _fetch(suite, meta, debug)
    except LabError as e:
        if kernel := _cached(suite_name, meta, debug):
            say(f"using the cached {kernel.home.name}: {e}")
            return kernel
        raise
