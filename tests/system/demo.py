#!/usr/bin/env python3
"""./dev demo: a stock Debian kernel, KASLR on, debugged from its first instruction with stock gdb, told as it goes.

Every step has something that must be seen; the demo ends with an error at the first that is not.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import kernels  # noqa: E402
from harness.gdb import Gdb  # noqa: E402
from harness.guest import Guest  # noqa: E402

INIT = "cat /etc/greeting; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); cat /proc/uptime; done; poweroff -f"


def tell(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m", flush=True)


def step(who: str, gdb: Gdb, command: str, must_show: str) -> re.Match[str]:
    """Types a command into that gdb, shows what came, and holds it to what has to be there."""
    print(f"  ({who}) {command}", flush=True)
    text = gdb.run(command, timeout=90)
    for line in text.splitlines():
        if line.strip() and "No such file or directory" not in line:
            print(f"      {line}", flush=True)
    match = re.search(must_show, text)
    if match is None:
        sys.exit(f"\ndemo: expected {must_show!r} here, and it did not come")
    return match


def early_boot(gdb: Gdb) -> None:
    tell("1. The guest stands at its first instruction; nothing has run. Where the kernel will be is known already:")
    step("gdb", gdb, "x/3i $pc", r"=> 0x[0-9a-f]+:")
    step("gdb", gdb, "monitor kaslr", r"_text 0xffffffff[0-9a-f]+ offset 0x")
    tell("2. On to start_kernel, without nokaslr and without a ritual:")
    step("gdb", gdb, "hbreak start_kernel", r"Hardware assisted breakpoint 1 at .*init/main\.c")
    step("gdb", gdb, "continue", r"hit Breakpoint 1, start_kernel \(\) at init/main\.c:\d+")
    step("gdb", gdb, "backtrace", r"#1 .*secondary_startup_64 .*head_64\.S:\d+")
    step("gdb", gdb, "delete", "")


def user_space(gdb: Gdb) -> None:
    tell("3. The first files that process 1 opens, seen in do_sys_openat2:")
    step("gdb", gdb, "break do_sys_openat2", r"Breakpoint 2 at .*fs/open\.c")
    step("gdb", gdb, "continue", r"hit Breakpoint 2, do_sys_openat2 \(.*\) at fs/open\.c")
    for _ in range(8):
        match = step("gdb", gdb, "x/s filename", r'"(.*)"')
        if match.group(1) == "/etc/greeting":
            break
        step("gdb", gdb, "continue", r"hit Breakpoint 2")
    else:
        sys.exit("demo: /etc/greeting was never opened")
    step("gdb", gdb, "delete", "")
    tell("4. Who counts the jiffies? A hardware watchpoint:")
    step("gdb", gdb, "watch jiffies", r"Hardware watchpoint 3: jiffies")
    step("gdb", gdb, "continue", r"Old value = \d+\s+New value = \d+")
    step("gdb", gdb, "backtrace 3", r"#0 .*tick_do_update_jiffies64")
    step("gdb", gdb, "delete", "")


def alternate(own: dict[str, tuple[Gdb, str]]) -> None:
    """Both have said continue. Whoever stops is shown and goes on, until each has stopped; then both stand."""
    stopped: dict[str, bool] = dict.fromkeys(own, False)
    end = time.monotonic() + 120
    while not all(stopped.values()):
        if time.monotonic() > end:
            sys.exit("demo: not both gdbs have seen their breakpoints")
        for who, (gdb, must_show) in own.items():
            if gdb.busy:
                continue
            text = gdb.finish(60)
            if must_show not in text:
                sys.exit(f"demo: {who} stopped, but not with {must_show!r}:\n{text}")
            if not stopped[who]:
                print(f"  ({who}) " + re.search(r"Thread .* hit .*", text).group(0), flush=True)
            stopped[who] = True
            gdb.start("continue")
        time.sleep(0.05)
    for gdb, _ in own.values():
        gdb.interrupt()
        gdb.finish(60)


def two_at_once(guest: Guest, first: Gdb) -> None:
    tell("5. A second gdb on the same guest, at the same time:")
    with Gdb(guest) as second:
        step("second gdb", second, "info threads", r"CPU#1")
        step("first gdb ", first, "monitor tracers", r"1 .*\n2 .*holds CPU")
        step("first gdb ", first, "break do_exit", r"Breakpoint 4")
        step("second gdb", second, "break do_sys_openat2", r"Breakpoint 1")
        print("  both continue; each sees its own breakpoint and only that, and a stop of one lets the other wait", flush=True)
        own = {"first gdb ": (first, "hit Breakpoint 4, do_exit"), "second gdb": (second, "hit Breakpoint 1, do_sys_openat2")}
        for gdb, _ in own.values():
            gdb.start("continue")
        alternate(own)
        print("  the second gdb is killed (kill -9); the first does not notice", flush=True)
        second.kill()
    step("first gdb ", first, "monitor tracers", r"you are 1")
    first.run("delete 5-99")
    step("first gdb ", first, "continue", r"hit Breakpoint 4, do_exit")
    step("first gdb ", first, "delete", "")


def main() -> None:
    tell("Booting Debian's " + kernels.get("6.1").version + " under ringside, 2 CPUs, KASLR on:")
    with Guest(init=INIT, cpus=2, wait=True) as guest:
        print("  $ " + " ".join(guest.argv), flush=True)
        print(f"  $ gdb vmlinux -ex 'target remote {guest.target}'", flush=True)
        with Gdb(guest) as gdb:
            early_boot(gdb)
            user_space(gdb)
            two_at_once(guest, gdb)
            tell("6. gdb leaves; the guest runs on to its end:")
            step("gdb", gdb, "detach", r"detached")
        guest.wait_for(r"\d+\.\d+ \d+\.\d+")
        status = guest.status(120)
        print("      " + "\n      ".join(guest.console.strip().splitlines()[-2:]), flush=True)
        if status != 0:
            sys.exit(f"demo: the guest ended with status {status}")
    tell("All of it was seen. Your turn: README.md has the commands.")


if __name__ == "__main__":
    main()
