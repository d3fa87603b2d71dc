"""Packages of any Debian suite, downloaded and unpacked without touching the host's own package state.

Every suite gets private lists, an empty package status and its own sources file in the cache; only the addresses come
from the host: whatever archive apt is configured to use for its own suite is asked for the others, too. Nothing is
pinned: apt says what the current version is.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import cache
from cache import LabError, command, say

LISTS_GOOD_FOR = 24 * 3600
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What belongs to a suite: (archive, distribution). "main" is the archive the host gets its own release from.
SUITES = {
    "bookworm": [("main", "bookworm"), ("main", "bookworm-updates"), ("security", "bookworm-security")],
    "bookworm-backports": [("main", "bookworm-backports")],
    "trixie": [("main", "trixie"), ("security", "trixie-security")],
    "sid": [("main", "sid")],
}


def find_archives(print_uris: str) -> dict[str, str]:
    """Reads the archives' addresses out of what `apt-get --print-uris update` prints."""
    found: dict[str, str] = {}
    for address, dist in re.findall(r"'(\S+)/dists/([^/'\s]+(?:/updates)?)/InRelease'", print_uris):
        if "debian" not in address:
            continue
        kind = "security" if dist.endswith(("-security", "/updates")) else "main"
        found.setdefault(kind, address)
    return found


def first_dependency(depends: str, prefix: str) -> str | None:
    """The real package behind a meta package, from what `apt-cache depends` prints."""
    match = re.search(rf"^\s*(?:Pre)?Depends:\s+({re.escape(prefix)}\S*)", depends, re.MULTILINE)
    return match.group(1) if match else None


def install(packages: list[str]) -> None:
    """Installs what is missing on the host, saying what."""
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
                           capture_output=True, text=True)
    there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    missing = [p for p in packages if p not in there]
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError(f"please install these packages first: apt-get install {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    get = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "install", *missing]
    try:
        command(get, env=env)
    except LabError:  # no lists yet, or lists the archive has moved on from
        command(["apt-get", "-q", "update"], env=env)
        command(get, env=env)


class Suite:
    """One Debian suite, as apt sees it from a private corner of the cache."""

    def __init__(self, name: str) -> None:
        if name not in SUITES:
            raise LabError(f"unknown suite {name}; known: {', '.join(SUITES)}")
        self.name = name
        self.home = cache.root() / "apt" / name
        for d in ("lists/partial", "cache/archives/partial"):
            (self.home / d).mkdir(parents=True, exist_ok=True)
        (self.home / "status").touch()
        (self.home / "sources.list").touch()

    def _options(self) -> list[str]:
        h = self.home
        settings = {"Dir::State::lists": h / "lists", "Dir::State::status": h / "status", "Dir::Cache": h / "cache",
                    "Dir::Etc::sourcelist": h / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
                    "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "3"}
        return [x for key, value in settings.items() for x in ("-o", f"{key}={value}")]

    def get(self, *arguments: str, **options) -> str:
        return command(["apt-get", "-q", *self._options(), *arguments], **options)

    def ask(self, *arguments: str) -> str:
        return command(["apt-cache", *self._options(), *arguments])

    def refresh(self, force: bool = False) -> None:
        """Brings the lists up to date if they are old. Without a network the old ones serve, if there are any."""
        stamp = self.home / "refreshed"
        with cache.locked(f"apt-{self.name}"):
            if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_GOOD_FOR:
                return
            try:
                self._write_sources()
                self.get("update", "-o", "APT::Update::Error-Mode=any")
                stamp.touch()
            except LabError as e:
                if not stamp.exists():
                    raise LabError(f"no package lists of {self.name}: {e}") from e
                say(f"package lists of {self.name} cannot be refreshed, using old ones")

    def _write_sources(self) -> None:
        archives = find_archives(command(["apt-get", "--print-uris", "update", "-o", "APT::Sandbox::User=root",
                                          "-o", f"Dir::State::lists={self.home}/lists"]))
        if "main" not in archives:
            raise LabError("apt on this host is not configured with any Debian archive")
        archives.setdefault("security", archives["main"] + "-security")
        signed = f"[signed-by={KEYRING}] " if Path(KEYRING).exists() else ""
        lines = [f"{kind} {signed}{archives[archive]} {dist} main\n"
                 for archive, dist in SUITES[self.name] for kind in ("deb", "deb-src")]
        (self.home / "sources.list").write_text("".join(lines))

    def candidate(self, package: str) -> str | None:
        match = re.search(r"^\s*Candidate: (\S+)", self.ask("policy", package), re.MULTILINE)
        return match.group(1) if match and match.group(1) != "(none)" else None

    def source_version(self, package: str) -> str:
        versions = re.findall(r"^Version: (\S+)", self.ask("showsrc", "--only-source", package), re.MULTILINE)
        newest = ""
        for v in versions:
            if not newest or subprocess.run(["dpkg", "--compare-versions", v, "gt", newest]).returncode == 0:
                newest = v
        if not newest:
            raise LabError(f"{self.name} has no source package {package}")
        return newest

    def real_package(self, meta: str, prefix: str) -> str:
        real = first_dependency(self.ask("depends", meta), prefix)
        if not real:
            raise LabError(f"{meta} of {self.name} depends on no {prefix}*")
        return real

    def unpack(self, packages: list[str], into: Path, only: list[str] | None = None) -> None:
        """Downloads packages and unpacks them (only what matches the tar patterns, if given) below `into`."""
        into.mkdir(parents=True, exist_ok=True)
        for deb in self._download(packages, into):
            if only is None:
                command(["dpkg-deb", "-x", str(deb), str(into)])
            else:
                with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as tar:
                    p = subprocess.run(["tar", "-x", "-C", into, "--wildcards", *only], stdin=tar.stdout,
                                       capture_output=True, text=True)
                if p.returncode and "Not found in archive" not in p.stderr:
                    raise LabError(f"cannot unpack {deb.name}: {p.stderr.strip()}")
            deb.unlink()

    def _download(self, packages: list[str], into: Path) -> list[Path]:
        try:
            self.get("download", *packages, cwd=into)
        except LabError:  # the archive moved on since the lists were made
            self.refresh(force=True)
            self.get("download", *packages, cwd=into)
        debs = []
        for package in packages:
            found = sorted(into.glob(f"{package.split('=')[0]}_*.deb"))
            if not found:
                raise LabError(f"downloading {package} left no file")
            debs.append(found[-1])
        return debs

    def unpack_source(self, package: str, version: str, into: Path) -> Path:
        """Downloads a source package and unpacks it, Debian's patches applied, to `into`/source.

        The tarballs are all it takes: apt checks them against the signed index, so the .dsc, which mirrors at times
        lack, is not needed and dpkg-source neither.
        """
        into.mkdir(parents=True, exist_ok=True)
        source = into / "source"
        source.mkdir()
        problem: LabError | None = None
        try:
            self.get("source", "--download-only", f"{package}={version}", cwd=into)
        except LabError as e:
            problem = e
        for pattern, options in (("*.orig.tar.*[!c]", ["--strip-components=1"]), ("*.debian.tar.*", [])):
            tarball = next(into.glob(pattern), None)
            if tarball is None:
                raise problem or LabError(f"the source of {package} has no {pattern}")
            command(["tar", "-x", "-f", str(tarball), "-C", str(source), *options])
        series = source / "debian/patches/series"
        for line in series.read_text().splitlines() if series.exists() else []:
            if name := line.split("#")[0].split():
                command(["patch", "-p1", "-s", "-i", f"debian/patches/{name[0]}"], cwd=source)
        return source
