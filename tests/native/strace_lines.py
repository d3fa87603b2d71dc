"""Lines of strace made comparable: what differs from run to run gets a stand-in. Used for the real strace against our
decoders, on this machine and in a guest."""

from __future__ import annotations

import re

# Numbers that a run cannot repeat, by the words around them.
_VOLATILE = [
    (re.compile(r"(tv_sec|tv_nsec|tv_usec|si_utime|si_stime|tms_\w+|uptime|freeram|bufferram|sharedram|procs|freeswap|"
                r"f_bfree|f_bavail|f_ffree|maxerror|esterror|offset|freq|stx_ino|nl_pid)=-?\d+( /\* [^*]* \*/)?"),
     r"\1=#"),
    (re.compile(r"loads=\[\d+, \d+, \d+\]"), "loads=#"),
    (re.compile(r"/\* \d{4}-\d\d-\d\dT[^*]*\*/"), "/* date */"),
    (re.compile(r"\b(anon_inode|socket|pipe|mnt|net|pid|ipc|uts|user):\[\d+\]"), r"\1:[#]"),
    (re.compile(r"(htons\()\d{5}\)"), r"\1#)"),
]
_ADDRESS = re.compile(r"0x[0-9a-f]{6,16}\b")
# Calls whose results say how much time or luck there was.
_RESULT = re.compile(r"^(times|time|getrandom|sched_getaffinity|clock_\w+|sysinfo|ioprio_get|gettimeofday|alarm|brk)\(")
_RESTORED = re.compile(r"^(rt_sigreturn\(.*\)) = .*")  # the result of whatever the signal came behind
_RANDOM = re.compile(r'^getrandom\(".*?"(\.\.\.)?, ')
# Process numbers: results, members, arguments.
_PROCESS = [re.compile(text) for text in (
    r"^((?:getpid|gettid|getppid|v?fork|clone3?|set_tid_address|wait4|setsid|getpgrp|getpgid|getsid)\(.*\) = )(\d+)$",
    r"(\b(?:si_pid|pid|l_pid)=)(\d+)", r"(\bparent_tid=\[)(\d+)(?=\])", r"(\bTIOC[GS](?:PGRP|SID), \[)(\d+)(?=\])",
    r"^((?:kill|tgkill|tkill|rt_sigqueueinfo|wait4|prlimit64|sched_\w+|setpgid|getpgid|getpriority)\(-?)(\d{2,})",
    r"^((?:tgkill|waitid|setpgid)\([^,]*, )(\d{2,})")]
_PROCESS_FILE = re.compile(r"/proc/\d+(?=[/\"])|(?<=readlink\(\"/proc/self\", \")\d+(?=\")")
_TEMPORARY = re.compile(r"/tmp/cc\w{6}")


def normalise(line: str, names: dict[int, str]) -> str:
    """`names`: what to write for each process number."""
    line = re.sub(r"\)\s+= ", ") = ", line.rstrip("\n"), count=1)
    line = _RANDOM.sub('getrandom("#", ', line)
    for pattern, stand_in in _VOLATILE:
        line = pattern.sub(stand_in, line)
    line = _ADDRESS.sub("ADDR", line)
    line = _PROCESS_FILE.sub("/proc/PID", line)
    line = _TEMPORARY.sub("/tmp/ccTEMPOR", line)
    if _RESULT.match(line):
        line = re.sub(r"\) = -?[\dx][0-9a-f]*( \(.*\))?$", ") = #", line)
    line = _RESTORED.sub(r"\1 = #", line)
    for pattern in _PROCESS:
        line = pattern.sub(lambda m: m[1] + names.get(int(m[2]), "#" if m[1].startswith("getppid") else m[2]), line)
    return line


def late_signals_last(lines: list[str]) -> list[str]:
    """A child's end is told when it happens: its lines, with the return from a handler, stand behind all others."""
    straight, late = [], []
    for line in lines:
        after_signal = line.startswith("rt_sigreturn(") and late and late[-1].startswith("---")
        (late if line.startswith("--- SIGCHLD") or after_signal else straight).append(line)
    return straight + late


def normalise_all(processes: dict[int, list[str]]) -> list[list[str]]:
    """The lines of each process, in the order in which the processes came to be."""
    names = {pid: f"PID{i}" for i, pid in enumerate(sorted(processes))}
    return [late_signals_last([normalise(line, names) for line in processes[pid]]) for pid in sorted(processes)]
