"""A gdb newer than the host's, from another Debian suite, with all that it needs, installed nowhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cache
import debian
from cache import LabError, command, say

_RUNNER = """#!/bin/sh
there={there}
export PYTHONHOME=$there/usr PYTHONDONTWRITEBYTECODE=1 TERMINFO=$there/usr/share/terminfo
exec $there/usr/lib64/ld-linux-x86-64.so.2 --library-path $there/usr/lib/x86_64-linux-gnu \\
  $there/usr/bin/gdb --data-directory=$there/usr/share/gdb "$@"
"""


def _needed(suite: debian.Suite) -> list[str]:
    """gdb and all it depends on, down to libc: what apt would install on a machine with nothing on it."""
    plan = suite.get("install", "--simulate", "--no-install-recommends", "gdb")
    return sorted(set(re.findall(r"^Inst (\S+) ", plan, re.MULTILINE)))


def newer(suite_name: str = "trixie") -> Path:
    """Downloads it if need be; the path runs like gdb."""
    suite = debian.Suite(suite_name)
    suite.refresh()
    version = suite.candidate("gdb")
    if version is None:
        raise LabError(f"{suite_name} has no gdb")
    home = cache.root() / "gdb" / f"{suite_name}-{re.sub(r'[^0-9A-Za-z.+~-]', '_', version)}"
    runner = home / "gdb"
    with cache.locked(f"gdb-{suite_name}"):
        if runner.exists():
            return runner
        say(f"fetching gdb {version} of {suite_name}")
        shutil.rmtree(home, ignore_errors=True)
        tree = home / "root"
        suite.unpack(_needed(suite), tree,
                     only=["./usr/bin/gdb", "./usr/lib*", "./lib*", "./usr/share/gdb*", "./usr/share/terminfo*"])
        draft = home / "gdb.draft"
        draft.write_text(_RUNNER.format(there=tree))
        draft.chmod(0o755)
        command([str(draft), "--version"])  # it must run before it counts as there
        draft.rename(runner)
    return runner


if __name__ == "__main__":
    print(newer())
