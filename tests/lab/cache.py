"""The lab's cache: things made once, under a name that says what they were made of.

A thing is built in a temporary directory beside its place and renamed when complete, so it is there whole or not at
all; a lock per name makes a second process wait for the first instead of building twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent


class LabError(Exception):
    """The lab itself failed; its text is for the user."""


def root() -> Path:
    base = os.environ.get("RINGSIDE_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ringside")
    path = Path(base).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def digest(*parts: str | bytes | Path) -> str:
    """A short name for the sum of some recipe parts; a Path stands for its contents."""
    import hashlib  # here and below: what `lab exec` has no use for is imported late, it shall start fast
    h = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Holds the cache-wide lock of that name; the kernel drops it with the process."""
    locks = root() / "locks"
    locks.mkdir(exist_ok=True)
    with open(locks / name.replace("/", "_"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def once(name: str, build: Callable[[Path], None]) -> Path:
    """The directory of that name in the cache; if it is not there yet, `build` fills a fresh one."""
    place = root() / name
    if place.exists():
        return place
    with locked(name):
        if place.exists():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        import tempfile
        fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            build(fresh)
            fresh.chmod(0o755)
            fresh.rename(place)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return place


def keep_newest(parent: Path, pattern: str, keep: Path) -> None:
    """Drops older things of one kind, so that the cache does not grow with every change of a recipe."""
    for old in parent.glob(pattern):
        if old != keep and time.time() - old.stat().st_mtime > 7 * 86400:
            shutil.rmtree(old, ignore_errors=True)


def command(argv: list[str], log: Path | None = None, **options) -> str:
    """Runs a host command to its end and returns its output; a failure shows the last lines of it."""
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", **options)
    if log:
        with open(log, "a") as f:
            f.write(f"$ {' '.join(argv)}\n{p.stdout}")
    if p.returncode:
        tail = "\n".join(p.stdout.splitlines()[-25:])
        raise LabError(f"`{' '.join(argv[:6])}` failed with {p.returncode}:\n{tail}")
    return p.stdout
