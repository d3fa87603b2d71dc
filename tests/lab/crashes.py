"""A crash (the reader of kernel dumps) newer than Debian 12's, from another suite, installed nowhere.

Debian 12's 8.0.2 opens a dump of Debian's present 6.1, but finds no tasks in it (its struct pid has changed, Linux
commit b69f0aeb0689). Both it and 8.0.6 fail at the stacks of CPUs that no panic has stopped; 9.0.2 shows them.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cache
import debian
from cache import LabError, command, say

_RUNNER = """#!/bin/sh
there={there}
exec $there/usr/lib64/ld-linux-x86-64.so.2 --library-path $there/usr/lib/x86_64-linux-gnu $there/usr/bin/crash "$@"
"""


def newer(suite_name: str = "sid") -> Path:
    """Downloads it if need be; the path runs like crash."""
    suite = debian.Suite(suite_name)
    suite.refresh()
    version = suite.candidate("crash")
    if version is None:
        raise LabError(f"{suite_name} has no crash")
    home = cache.root() / "crash" / f"{suite_name}-{re.sub(r'[^0-9A-Za-z.+~-]', '_', version)}"
    runner = home / "crash"
    with cache.locked(f"crash-{suite_name}"):
        if runner.exists():
            return runner
        say(f"fetching crash {version} of {suite_name}")
        shutil.rmtree(home, ignore_errors=True)
        tree = home / "root"
        plan = suite.get("install", "--simulate", "--no-install-recommends", "crash")
        suite.unpack(sorted(set(re.findall(r"^Inst (\S+) ", plan, re.MULTILINE))), tree,
                     only=["./usr/bin/crash", "./usr/lib*", "./lib*"])
        draft = home / "crash.draft"
        draft.write_text(_RUNNER.format(there=tree))
        draft.chmod(0o755)
        command([str(draft), "--version"])  # it must run before it counts as there
        draft.rename(runner)
    return runner


if __name__ == "__main__":
    print(newer())
