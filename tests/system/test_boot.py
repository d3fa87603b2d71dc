"""Debian's kernels boot, see what they were given, and their ends are told apart."""

import functools
import re
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.guest import Guest

GUESTS = Path(__file__).resolve().parent / "guests"
REPORT = """
echo "release: $(uname -r)"
echo "cpus: $(nproc)"
echo "cmdline: $(cat /proc/cmdline)"
echo "greeting: $(cat /etc/greeting)"
echo "text: $(grep ' _text$' /proc/kallsyms)"
echo "memory: $(head -n 1 /proc/meminfo)"
grep -E 'System RAM|Kernel code' /proc/iomem | sed 's/^ */iomem: /'
"""


class Boot:
    """A boot to its end, made once and judged by several tests."""

    def __init__(self, *options: str, end: str = "poweroff -f", timeout: float = 40, **guest) -> None:
        with Guest(*options, init=REPORT + end, **guest) as g:
            self.status = g.status(timeout)
            self.console, self.stderr = g.console, g.stderr

    def said(self, what: str) -> str:
        match = re.search(rf"^{what}: (.*)$", self.console, re.MULTILINE)
        if not match:
            raise AssertionError(f"the guest did not say {what}:\n{self.console[-3000:]}\n{self.stderr[-2000:]}")
        return match.group(1)

    @property
    def text(self) -> int:
        return int(self.said("text").split()[0], 16)

    def system_ram(self) -> list[tuple[int, int]]:
        found = re.findall(r"^iomem: ([0-9a-f]+)-([0-9a-f]+) : System RAM$", self.console, re.MULTILINE)
        return [(int(a, 16), int(b, 16) + 1) for a, b in found]


LINK_TEXT = 0xFFFFFFFF81000000


@functools.cache
def bookworm() -> Boot:
    return Boot(kernel="6.1", append="ringside.word=42", cpus=2)


@functools.cache
def backports() -> Boot:
    return Boot(kernel="6.12", cpus=4, end="reboot -f")


@functools.cache
def sid() -> Boot:
    return Boot(kernel="sid", end="halt -f", memory="512M")


@functools.cache
def no_kaslr() -> Boot:
    return Boot(append="nokaslr", end="echo c >/proc/sysrq-trigger; sleep 60")


@functools.cache
def sixteen() -> Boot:
    return Boot("--kaslr=0x1c000000", cpus=16, timeout=90)


@functools.cache
def big() -> Boot:
    return Boot("--kaslr=off", memory="5G")


class DebianKernels(case.Case):
    def test_6_1_boots_to_init_and_powers_off_with_status_0(self) -> None:
        self.assertIn("6.1.", bookworm().said("release"))
        self.assertEqual(bookworm().status, 0, bookworm().stderr)

    def test_6_12_boots_to_init(self) -> None:
        self.assertRegex(backports().said("release"), r"^6\.1[2-9]\.")

    def test_the_newest_of_sid_boots_to_init(self) -> None:
        self.assertEqual(sid().said("release"), kernels.get("sid").version)

    def test_a_reboot_ends_with_status_10(self) -> None:
        self.assertEqual(backports().status, 10, backports().stderr)
        self.assertIn("rebooted", backports().stderr)

    def test_a_halt_ends_with_status_11(self) -> None:
        self.assertEqual(sid().status, 11, sid().stderr)
        self.assertIn("halted", sid().stderr)

    def test_a_panic_reboots_when_the_command_line_says_so(self) -> None:
        self.assertIn("Kernel panic", no_kaslr().console)
        self.assertEqual(no_kaslr().status, 10, no_kaslr().stderr)

    def test_the_kernel_is_quiet_so_ringside_is_quiet_too(self) -> None:
        self.assertEqual(bookworm().stderr, "")


class WhatTheGuestIsGiven(case.Case):
    def test_one_vcpu_by_default(self) -> None:
        self.assertEqual(sid().said("cpus"), "1")

    def test_two_vcpus_come_up(self) -> None:
        self.assertEqual(bookworm().said("cpus"), "2")

    def test_four_vcpus_come_up(self) -> None:
        self.assertEqual(backports().said("cpus"), "4")

    def test_sixteen_vcpus_come_up(self) -> None:
        self.assertEqual(sixteen().said("cpus"), "16")

    def test_the_command_line_arrives_word_for_word(self) -> None:
        self.assertEqual(bookworm().said("cmdline"), "console=ttyS0 quiet panic=-1 ringside.word=42")

    def test_the_initrd_arrives(self) -> None:
        self.assertEqual(bookworm().said("greeting"), "hello from the initrd")

    def test_72_mib_are_enough(self) -> None:
        with Guest(init=kernels.c_program(GUESTS / "tiny_init.c"), memory="72M",
                   append="cryptomgr.notests nokaslr") as guest:
            self.assertEqual(guest.status(), 0, guest.console)
            self.assertLess(int(re.search(r"memory: MemTotal: *([0-9]+) kB", guest.console)[1]), 72 << 10)

    def test_64_mib_are_given_though_debians_kernel_wants_more(self) -> None:
        with Guest(append="loglevel=7 nokaslr", memory="64M") as guest:
            guest.wait_for(r"BIOS-e820: \[mem 0x0000000000100000-0x0000000003ffffff\] usable")
            guest.wait_for(r"Memory: \d+K/6\d{4}K available")

    def test_5_gib_have_the_hole_below_4_gib(self) -> None:
        self.assertGreater(int(big().said("memory").split()[1]), 4.6 * (1 << 20))
        ram = big().system_ram()
        self.assertEqual(max(end for _, end in ram if end <= 1 << 32), 3 << 30, ram)
        self.assertIn((4 << 30, 6 << 30), ram)


class Kaslr(case.Case):
    def test_two_boots_have_two_slides(self) -> None:
        self.assertNotEqual(bookworm().text, LINK_TEXT)
        self.assertNotEqual(bookworm().text, backports().text)
        self.assertEqual(bookworm().text % (2 << 20), 0)

    def test_nokaslr_on_the_command_line_is_obeyed(self) -> None:
        self.assertEqual(no_kaslr().text, LINK_TEXT)

    def test_kaslr_off_is_obeyed(self) -> None:
        self.assertEqual(big().text, LINK_TEXT)

    def test_a_given_offset_is_taken(self) -> None:
        self.assertEqual(sixteen().text, LINK_TEXT + 0x1C000000)


class OtherWaysIn(case.Case):
    def test_an_elf_vmlinux_boots(self) -> None:
        boot = Boot(kernel=kernels.stripped_vmlinux())
        self.assertEqual((boot.status, boot.text), (0, LINK_TEXT))

    def test_the_kernels_own_decompressor_boots_it(self) -> None:
        boot = Boot("--boot=bzimage", timeout=90)
        self.assertEqual(boot.status, 0)
        self.assertNotEqual(boot.text, LINK_TEXT)


class Console(case.Case):
    def test_what_is_typed_reaches_the_guest(self) -> None:
        with Guest(init='while read -r line; do echo "got <$line>"; [ "$line" = end ] && poweroff -f; done') as guest:
            guest.wait_for("guest: init")
            guest.type("first words\n" + "x" * 200 + "\n")
            guest.wait_for(r"got <first words>")
            guest.wait_for(r"got <x{200}>")
            guest.type("\x01x\x01X\nend\n")  # no terminal: Ctrl-a is a key like any other
            self.assertEqual(guest.status(), 0)

    def test_a_closed_stdin_does_not_disturb_the_guest(self) -> None:
        with Guest(init="sleep 1; poweroff -f") as guest:
            guest.process.stdin.close()
            self.assertEqual(guest.status(), 0)

    def test_sigterm_ends_ringside_with_status_14(self) -> None:
        with Guest(init="echo looping; while :; do :; done") as guest:
            guest.wait_for("looping")
            guest.process.terminate()
            self.assertIn(guest.status(), (14, 128 + 15))  # the lab's stand-in tells of the signal it passed on


if __name__ == "__main__":
    unittest.main()
