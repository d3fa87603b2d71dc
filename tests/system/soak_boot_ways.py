"""The ways into the kernel that test_boot_ways.py has no time for: 6.12 and sid by the others, and a plain vmlinux. A minute
and a half."""

import unittest

from harness import kernels
from test_boot_ways import Ways


class OtherWaysIn(Ways):
    def test_the_32_bit_entry(self) -> None:
        for suite in ("6.12", "sid"):
            with self.subTest(suite):
                self.entry32(suite)

    def test_the_64_bit_entry(self) -> None:
        for suite in ("6.12", "sid"):
            with self.subTest(suite):
                self.entry64(suite)

    def test_the_elf_entry(self) -> None:
        for suite in ("6.12", "sid"):
            with self.subTest(suite):
                self.elf(suite)

    def test_pvh_of_sid(self) -> None:
        self.assertEqual(self.pvh("sid", "--kaslr=0x2000000"), 0x2000000)

    def test_pvh_of_a_vmlinux(self) -> None:
        self.assertEqual(self.pvh(kernels.stripped_vmlinux()), 0)


if __name__ == "__main__":
    unittest.main()
