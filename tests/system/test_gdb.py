"""One debugging session with stock gdb on a KASLR kernel, from its first instruction into user space."""

import functools
import re
import unittest

import case
from harness.gdb import Output, gdb
from harness.guest import TICKING, Guest

SESSION = {
    "first": ["info registers rip", "x/i $pc", "info threads", "monitor kaslr"],
    "start": ["hbreak start_kernel", "continue"],
    "where": ["bt", "info symbol $pc", "list", "x/3i $pc"],
    "data": ["x/s linux_banner", "p init_task.comm", 
             "p sys_call_table[0]", "info symbol &idt_table"],
    "open": ["delete", "break do_sys_openat2", "continue", "x/s filename"],
    "callers": ["bt", "info args", "up", "info frame"],
    "hits": ["continue", "x/s filename"] * 6,
    "finish": ["finish"],
    "watch": ["delete", "watch jiffies", "continue"],
    "threads": ["delete", "info threads", "thread 1", "p $rip == 0", "thread 2"],
    # Held at a place of ordinary code, whatever the guest is about.
    "place": ["break *vfs_write", "continue", "p $pc == (long)&vfs_write", "delete"],
    "stepi": ["stepi", "p $pc == (long)&vfs_write + 5", "nexti", "step", "next"],
    "registers": ["info registers", "p $xmm0", "p $st0", "p $mxcsr", "p/x $fs_base", "p/x $gs_base"],
    "msr": ["info symbol $msr_lstar", "p/x $msr_star", "p $cr0", "p $efer", "p $msr_tsc > 0"],
    "write": ["set $old = $r15", "set $r15 = 0x1122334455667788", "p/x $r15", "set $r15 = $old", "p $r15 == $old",
              "set var panic_timeout = 77", "p panic_timeout", "set var panic_timeout = -1", "p panic_timeout",
              "p/x $eflags", "set $xmm0.v2_int64[0] = 42", "p $xmm0.v2_int64[0]"],
    "physical": ["p/x *(long*)&_text", "monitor phys on", "p/x *(int*)0xe0000", "monitor phys off"],
    "search": ["find /b linux_banner, +64, 'v', 'e', 'r', 's'"],
    "nowhere": ["x/x 0xdead000000000000", "p 6 * 7"],
    "end": ["detach"],
}


class Session:
    def __init__(self) -> None:
        with Guest(init="cat /etc/greeting\n" + TICKING, cpus=2, wait=True) as guest:
            self.before = guest.console
            self.output: Output = gdb(guest, SESSION, timeout=60)
            guest.next("tick [0-9]+")
            self.after, self.alive = guest.console, guest.running


@functools.cache
def session() -> Session:
    return Session()


class ASession(case.Case):
    def section(self, name: str) -> str:
        return session().output[name]

    def shows(self, name: str, *patterns: str) -> None:
        for pattern in patterns:
            self.assertRegex(self.section(name), re.compile(pattern, re.MULTILINE))

    def values(self, name: str) -> list[str]:
        """What the section's print commands printed, in order."""
        return re.findall(r"^\$\d+ = (.*)$", self.section(name), re.MULTILINE)

    def test_nothing_runs_before_gdb_says_so(self) -> None:
        self.assertEqual(session().before, "")

    def test_it_starts_at_the_first_instruction(self) -> None:
        self.shows("first", r"^=> 0x[0-9a-f]+:\slea .*%rsp", r"\* 1 +Thread 1\.1 \"CPU#0[ \"]", r"  2 +Thread 1\.2 \"CPU#1[ \"]")

    def test_the_slide_is_known_from_the_first_instruction(self) -> None:
        self.shows("first", r"_text 0xffffffff[0-9a-f]{8} offset 0x[0-9a-f]+00000")
        self.assertNotRegex(self.section("first"), r"offset 0x0\b")

    def test_hbreak_start_kernel_is_hit(self) -> None:
        self.shows("start", r"hit Breakpoint 1, start_kernel \(\) at init/main\.c:\d+")

    def test_the_backtrace_has_source_lines(self) -> None:
        self.shows("where", r"^#0 +start_kernel \(\) at init/main\.c:\d+", r"^#1 .*secondary_startup_64 .*head_64\.S:\d+")

    def test_init_text_is_moved_too(self) -> None:
        self.shows("where", r"^start_kernel in section \.init\.text")

    def test_list_and_disassembly_work(self) -> None:
        self.shows("where", r"^\d+.*init/main\.c", r"^=> 0xffffffff[0-9a-f]{8} <start_kernel>:")

    def test_data_rodata_and_bss_are_moved(self) -> None:
        self.shows("data", r"<linux_banner>:\s\"Linux version 6\.1", r'"swapper', r"<__x64_sys_read>",
                   r"^idt_table in section \.bss")

    def test_a_breakpoint_in_do_sys_openat2_shows_the_path(self) -> None:
        self.shows("open", r"hit Breakpoint 2, do_sys_openat2 \(.*\) at fs/open\.c:\d+", r'^0x[0-9a-f]+:\s"/init"')

    def test_the_callers_have_lines_down_to_the_entry(self) -> None:
        self.shows("callers", r"do_syscall_64 .*common\.c:\d+", r"entry_SYSCALL_64 .*entry_64\.S:\d+", r"^filename = 0x")

    def test_init_is_followed_from_file_to_file(self) -> None:
        self.shows("hits", r'"/etc/greeting"')
        self.assertGreaterEqual(self.section("hits").count("hit Breakpoint 2, do_sys_openat2"), 6)

    def test_finish_shows_the_value_returned(self) -> None:
        self.shows("finish", r"^Value returned is \$\d+ = \d+")

    def test_a_watchpoint_on_jiffies_shows_old_and_new(self) -> None:
        old, new = re.search(r"Old value = (\d+)\nNew value = (\d+)", self.section("watch")).groups()
        self.assertLess(int(old), int(new))

    def test_both_vcpus_are_threads(self) -> None:
        self.shows("threads", r'Thread 1\.1 "CPU#0 \[', r'Thread 1\.2 "CPU#1 \[')
        self.assertEqual(self.values("threads"), ["0"])

    def test_stepping_goes_one_instruction_at_a_time(self) -> None:
        self.assertEqual(self.values("place"), ["1"])
        self.assertEqual(self.values("stepi"), ["1"])
        self.shows("stepi", r"fs/read_write\.c")

    def test_all_groups_of_registers_are_readable(self) -> None:
        self.shows("registers", r"^rip +0xffffffff[0-9a-f]{8} .*<", r"^cr0 ", r"^cr3 ", r"^efer ", r"^msr_pat ", r"^tr_base ")
        self.assertNotIn("unavailable", self.section("registers"))
        self.assertRegex(self.values("registers")[-1], "0xffff[89a-f][0-9a-f]{11}")

    def test_msrs_have_their_values(self) -> None:
        self.shows("msr", r"^entry_SYSCALL_64 in section", r"0x23001000000000", r"\[ .*PG.* \]", r"\[ .*LMA.* \]")
        self.assertEqual(self.values("msr")[-1], "1")

    def test_registers_and_memory_are_writable(self) -> None:
        r15, restored, written, back, _, xmm = self.values("write")
        self.assertEqual((r15, restored, written, back, xmm), ("0x1122334455667788", "1", "77", "-1", "42"))

    def test_physical_memory_is_readable(self) -> None:
        self.assertEqual(self.values("physical")[1], "0x20445352", "the ACPI tables' \"RSD \"")

    def test_memory_is_searched(self) -> None:
        self.shows("search", r"<linux_banner\+6>", r"^1 pattern found")

    def test_an_unmapped_address_is_an_error_and_nothing_worse(self) -> None:
        self.shows("nowhere", "Cannot access memory at address 0xdead000000000000")
        self.assertEqual(self.values("nowhere"), ["42"])

    def test_the_guest_runs_on_after_detach(self) -> None:
        self.assertTrue(session().alive)
        self.assertIn("hello from the initrd", session().after)


if __name__ == "__main__":
    unittest.main()
