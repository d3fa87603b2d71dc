"""The ways into the kernel that test_boot_ways.py has no time for: 6.12 and sid by the others, and a plain vmlinux. A minute
and a half."""

import re
import unittest

from harness import kernels
from harness.guest import Guest
from harness.rawclient import RawClient
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


class Stops(Ways):
    """The places of the boot, by the ways that test_early.py does not take."""

    def stops(self, way: str, *places: str) -> None:
        with Guest(f"--boot={way}", f"--stop-at={','.join(places)}", init="poweroff -f", cpus=2, wait=True) as guest:
            seen = []
            with RawClient(guest, timeout=60) as client:
                client.attach()
                client.send("vCont;c")
                while not (reply := client.receive()).startswith("W"):
                    if reply.startswith("O"):
                        seen.append(bytes.fromhex(reply[1:]).decode())
                    else:
                        client.send("vCont;c")
            self.assertEqual(guest.status(), 0)
        told = [re.search(r"stopped: (the kernel runs|\w+)", text)[1] for text in seen]
        self.assertEqual(told, ["the kernel runs" if place == "relocated" else place for place in places])

    def test_of_the_16_and_32_bit_entries(self) -> None:
        for way in ("real", "32"):
            with self.subTest(way):
                self.stops(way, "entry32", "entry64", "decompressor", "relocated", "start_kernel", "init")

    def test_of_pvh(self) -> None:
        self.stops("pvh", "relocated", "start_kernel", "init")


if __name__ == "__main__":
    unittest.main()
