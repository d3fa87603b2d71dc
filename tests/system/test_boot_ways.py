"""Every way into the kernel, from its very first instruction to init, with KASLR and two CPUs; and a walk by gdb from the
16-bit entry through all modes to start_kernel."""

import re
import unittest
from pathlib import Path
from typing import NamedTuple

import case
from harness import kernels
from harness.gdb import Gdb
from harness.guest import Guest
from harness.place import the_place
from harness.rawclient import RawClient

GDBINIT = Path(__file__).resolve().parents[2] / "gdbinit/ringside.gdb"
LINK_TEXT = 0xFFFFFFFF81000000
INIT = """
echo "text: $(grep ' _text$' /proc/kallsyms)"
echo "cpus: $(nproc)"
echo "bad: $(dmesg | grep -E 'WARNING: CPU|BUG:|Oops')"
poweroff -f
"""


class Registers(dict[str, int]):
    def __init__(self, client: RawClient) -> None:
        super().__init__({name: int(value, 16) for name, value in
                          re.findall(r"([a-z]\w*) ([0-9a-f]{16})\b", client.monitor("regs"))})

    @property
    def mode(self) -> int:
        if self["efer"] & 0x400:
            return 64
        return 32 if self["cr0"] & 1 else 16


class Boot(NamedTuple):
    registers: Registers
    code: str
    text: int
    stderr: str


class Ways(case.Case):
    """How to enter a kernel each way, and what has to be seen. The tests are WaysIn's, and those of soak_boot_ways.py."""

    def boot(self, way: str, kernel: str | Path, *options: str) -> Boot:
        with Guest(f"--boot={way}", *options, kernel=kernel, init=INIT, cpus=2, wait=True) as guest:
            client = RawClient(guest)
            self.assertTrue(client.ask("?").startswith("T05"))
            registers, code = Registers(client), client.monitor("x/1i")
            client.send("vCont;c")
            client.socket.close()
            self.assertEqual(guest.status(60), 0, guest.console[-2000:] + guest.stderr)
            text = re.search(r"text: ([0-9a-f]+) ", guest.console)
            self.assertTrue(text, guest.console[-2000:])
            self.assertIn("cpus: 2\n", guest.console)
            self.assertIn("bad: \n", guest.console)
            return Boot(registers, code, int(text[1], 16), guest.stderr)

    def real(self, kernel: str) -> None:
        boot = self.boot("real", kernel)
        regs = boot.registers
        self.assertEqual((regs.mode, regs["rip"], regs["cs"], regs["cs_base"]), (16, 0, 0x1020, 0x10200))
        self.assertEqual((regs["ds"], regs["ss"], regs["rsp"]), (0x1000, 0x1000, 0xE000))
        self.assertRegex(boot.code, r"^0x10200 1020:0000:\tjmp 0x[0-9a-f]+\n$")
        self.assertNotIn("bios:", boot.stderr)

    def entry32(self, kernel: str) -> None:
        regs = (boot := self.boot("32", kernel)).registers
        self.assertEqual((regs.mode, regs["rip"], regs["cs"], regs["ds"]), (32, 0x1000000, 0x10, 0x18))
        self.assertEqual((regs["rsi"], regs["rbp"], regs["rdi"], regs["rbx"]), (0x7000, 0, 0, 0))
        self.assertRegex(boot.code, r"^0x1000000:\tcld")

    def entry64(self, kernel: str) -> None:
        regs = self.boot("64", kernel).registers
        self.assertEqual((regs.mode, regs["rip"], regs["rsi"]), (64, 0x1000200, 0x7000))

    def elf(self, kernel: str) -> None:
        boot = self.boot("elf", kernel, "--kaslr=0x1c000000")
        self.assertEqual(boot.registers.mode, 64)
        self.assertEqual(boot.text, LINK_TEXT + 0x1C000000)

    def pvh(self, kernel: str | Path, *options: str) -> int:
        """Returns the slide."""
        regs = (boot := self.boot("pvh", kernel, *options)).registers
        self.assertEqual((regs.mode, regs["cs"], regs["rbx"]), (32, 0x10, 0x8000))
        slide = boot.text - LINK_TEXT
        self.assertIn(regs["rip"] - 0x1000000 - slide, range(0x8000000))  # in the image, which has moved as one
        self.assertRegex(boot.code, r":\tcld")
        return slide


class WaysIn(Ways):
    def test_real_mode_of_6_1(self) -> None:
        self.real("6.1")

    def test_real_mode_of_6_12(self) -> None:
        self.real("6.12")

    def test_real_mode_of_sid(self) -> None:
        self.real("sid")

    def test_the_32_bit_entry_of_6_1(self) -> None:
        self.entry32("6.1")

    def test_the_64_bit_entry_of_6_1(self) -> None:
        self.entry64("6.1")

    def test_the_elf_entry_of_the_payload_of_6_1(self) -> None:
        self.elf("6.1")

    def test_pvh_of_the_payload_of_6_1(self) -> None:
        self.pvh("6.1")

    def test_pvh_of_the_payload_of_6_12(self) -> None:
        self.assertEqual(self.pvh("6.12", "--kaslr=0x3600000"), 0x3600000)


class FirstWords(case.Case):
    def test_what_the_setup_code_prints_by_int_10h_is_on_the_console(self) -> None:
        kernel = the_place().put(kernels.get("6.1").vmlinuz)
        with Guest(raw_argv=["run", kernel, "--boot=real", "--memory", "256M", "--append", "panic=-1"]) as guest:
            guest.wait_for(r"^Probing EDD \(edd=off to disable\)... ok")


class Walk(case.Case):
    """One gdb, one connection, one target description: 16, 32 and 64 bits."""

    def test_from_the_16_bit_entry_to_start_kernel(self) -> None:
        with Guest("--boot=real", "--kaslr=off", wait=True, cpus=2) as guest, Gdb(guest) as gdb:
            gdb.run(f"source {GDBINIT}")
            self.assertIn("0x10200 1020:0000:\tjmp", gdb.run("rs-real on"))
            first = gdb.run("rs-si")
            self.assertRegex(first, r"1020:[0-9a-f]{4}:\tmovw %ds, %ax")
            # A breakpoint at a linear address in real mode: gdb stops.
            gdb.run("rs-break f000:e054")
            self.assertIn("SIGTRAP", gdb.run("continue", 60))
            self.assertIn("f000:e054:\toutb %al, $0xb2", gdb.run("rs-x 1"))
            gdb.run("delete")
            # The monitor evaluates the condition: gdb, which does not know the breakpoint for its own, never would.
            gdb.run("hbreak *0xfe054 if ($rax & 0xffff) == 0xe820")
            self.assertIn("SIGTRAP", gdb.run("continue", 60))
            self.assertEqual(self.number(gdb, "$rax"), 0xE820)
            gdb.run("delete")
            self.assertIn("iretw", gdb.run("rs-si"))  # the service is done by the end of the step
            self.assertIn(" 1000:", gdb.run("rs-si"))
            # intcall's int, met again: a step goes into the service, and the flags that it saved have no TF.
            call = self.call_before(gdb)
            self.assertRegex(gdb.run(f"rs-until {call:#x}", 60), r"int \$0x")
            self.assertIn(" f000:e0", gdb.run("rs-si"))
            flags = self.number(gdb, "*(unsigned short *)($ss_base + ((long)$rsp & 0xffff) + 4)")
            self.assertEqual(flags & 0x100, 0)
            self.assertIn(f"{call + 2:#x} 1000:", gdb.run(f"rs-until {call + 2:#x}", 60))
            self.assertRegex(gdb.run(f"rs-until {call:#x}", 60), r"int \$0x")
            self.assertIn(f"{call + 2:#x} 1000:", gdb.run("rs-ni", 60))
            # protected_mode_jump: mov %edx,%cr0; ljmpl
            switch = self.find(gdb, 0x10000, 0x18000, "0x0f,0x22,0xc2,0x66,0xea")
            self.assertRegex(gdb.run(f"rs-until {switch:#x}", 60), r"movl %edx, %cr0")
            self.assertRegex(gdb.run("rs-si"), r"ljmpl \$0x10:")
            self.assertRegex(gdb.run("rs-si"), r"(?m)^0x[0-9a-f]+:\tmovl %ecx, %ds")
            self.assertEqual(self.number(gdb, "$cs"), 0x10)
            self.assertIn("cld", gdb.run("rs-until 0x1000000"))
            # startup_32 turns paging on: mov %eax,%cr0; lret
            paging = self.find(gdb, 0x1000000, 0x1000200, "0x0f,0x22,0xc0,0xcb")
            self.assertRegex(gdb.run(f"rs-until {paging:#x}", 60), r"movl %eax, %cr0")
            self.assertRegex(gdb.run("rs-si"), r":\tlret")
            self.assertRegex(gdb.run("rs-si"), r"0x1000200:\t")
            self.assertEqual(self.number(gdb, "$cs"), 0x10)
            self.assertNotEqual(self.number(gdb, "$efer") & 0x400, 0)
            gdb.run("hbreak start_kernel")
            self.assertRegex(gdb.run("continue", 60), r"Breakpoint \d+, start_kernel")

    def test_more_breakpoints_in_real_mode_than_debug_registers(self) -> None:
        with Guest("--boot=real", wait=True) as guest, Gdb(guest, vmlinux=False) as gdb:
            gdb.run(f"source {GDBINIT}")
            gdb.run("rs-si")
            places = re.findall(r"^(0x[0-9a-f]+) 1020:", gdb.run("rs-x 7"), re.MULTILINE)[1:]
            self.assertEqual(len(places), 6)
            for place in places:
                gdb.run(f"break *{place}")
            for place in places:
                self.assertIn("SIGTRAP", gdb.run("continue", 60))
                self.assertIn(f"{place} 1020:", gdb.run("rs-x 1"))
            gdb.run("delete")
            gdb.quit()
            self.assertEqual(guest.status(60), 0, guest.console[-1000:])

    def call_before(self, gdb: Gdb) -> int:
        """Linear address of the `int` behind which the CPU stands."""
        return self.number(gdb, "($cs_base + (long)$rip)") - 2

    def number(self, gdb: Gdb, expression: str) -> int:
        return int(gdb.run(f"output/x (long){expression}"), 16)

    def find(self, gdb: Gdb, begin: int, end: int, what: str) -> int:
        found = re.search(r"^0x[0-9a-f]+", gdb.run(f"find /b {begin:#x}, {end:#x}, {what}"), re.MULTILINE)
        self.assertTrue(found, what)
        return int(found[0], 16)


if __name__ == "__main__":
    unittest.main()
