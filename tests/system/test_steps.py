"""Single steps out of a program into the kernel and back: syscall, faults, traps, sysret, iretq."""

import re
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb
from harness.guest import Guest

STEPS = Path(__file__).resolve().parent / "guests/steps.c"


class Steps(case.Case):
    guest: Guest
    places: dict[str, int]

    @classmethod
    def setUpClass(cls) -> None:
        cls.guest = Guest(init="/bin/steps", files=((kernels.c_program(STEPS), "/bin/steps"),), gdb=True)
        line = cls.guest.wait_for(r"steps: (syscall=.*)\n")[1]
        cls.places = {name: int(at, 16) for name, at in re.findall(r"(\w+)=(0x[0-9a-f]+)", line)}
        cls.guest.wait_for("steps: round 3, 0 wrong")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()

    def tearDown(self) -> None:
        super().tearDown()
        mark = self.guest.shown  # what the program has seen of it: nothing
        for _ in range(2):
            self.assertEqual(self.guest.wait_for(r"steps: round \d+, (\d+) wrong", start=mark)[1], "0")

    def value(self, one: Gdb, expression: str) -> int:
        answer = one.run(f"p/x (long)({expression})")
        found = re.search(r"= (0x[0-9a-f]+)", answer)
        self.assertTrue(found, answer)
        return int(found[1], 16)

    def run_to(self, one: Gdb, place: int | str) -> None:
        where = f"{place:#x}" if isinstance(place, int) else place
        one.run(f"tbreak *{where}")
        self.assertIn("Temporary breakpoint", one.run("continue"))

    def step(self, one: Gdb) -> int:
        one.run("stepi")
        return self.value(one, "$pc")


    def instruction(self, one: Gdb, function: str, mnemonic: str) -> int:
        listing = one.run(f"disassemble {function}")
        return int(re.search(rf"^\s*(0x[0-9a-f]+) <\+\d+>:\s+{mnemonic}", listing, re.MULTILINE)[1], 16)

    def test_syscall_lands_at_the_entry_and_sysret_behind_it(self) -> None:
        with Gdb(self.guest) as one:
            self.run_to(one, self.places["syscall"])
            self.assertEqual(self.step(one), self.value(one, "&entry_SYSCALL_64"))
            self.assertEqual(self.value(one, "$r11 & 0x100"), 0)
            self.assertEqual(self.value(one, "$rcx"), self.places["syscall"] + 2)
            self.run_to(one, self.instruction(one, "entry_SYSCALL_64", "(?:rex.W )?sysret"))
            self.assertEqual(self.step(one), self.places["syscall"] + 2)
            one.quit()

    def test_a_page_fault_lands_in_its_handler_and_iretq_back_at_the_instruction(self) -> None:
        with Gdb(self.guest) as one:
            self.run_to(one, self.places["touch"])
            self.assertEqual(self.step(one), self.value(one, "&asm_exc_page_fault"))
            self.assertEqual(self.value(one, "((long *)$rsp)[1]"), self.places["touch"])
            self.assertEqual(self.value(one, "((long *)$rsp)[3] & 0x100"), 0)
            # Other interrupts return by the same instruction meanwhile.
            self.run_to(one, f"&native_irq_return_iret if *(long *)$rsp == {self.places['touch']:#x}")
            self.assertEqual(self.step(one), self.places["touch"])
            self.assertEqual(self.step(one), self.places["touch"] + 3)
            one.quit()

    def test_ud2_lands_in_its_handler(self) -> None:
        with Gdb(self.guest) as one:
            self.run_to(one, self.places["ud2"])
            self.assertEqual(self.step(one), self.value(one, "&asm_exc_invalid_op"))
            one.quit()

    def test_the_programs_own_int3_lands_in_its_handler(self) -> None:
        with Gdb(self.guest) as one:
            self.run_to(one, self.places["int3"])  # a nop: gdb inserts nothing where an int3 is
            self.assertEqual(self.step(one), self.places["int3"] + 1)
            self.assertEqual(self.step(one), self.value(one, "&asm_exc_int3"))
            one.quit()

    def test_pushf_shows_no_step(self) -> None:
        with Gdb(self.guest) as one:
            self.run_to(one, self.places["pushf"])
            self.assertEqual(self.step(one), self.places["pushf"] + 1)
            self.assertEqual(self.value(one, "((long *)$rsp)[0] & 0x100"), 0)
            one.quit()

    def test_every_step_from_a_system_call_to_its_return_is_one_instruction(self) -> None:
        with Gdb(self.guest) as one:
            self.run_to(one, self.places["syscall"])
            at, way = self.places["syscall"], []
            while at != self.places["syscall"] + 2 and len(way) < 2000:
                at = self.step(one)
                way.append(at)
            self.assertEqual(way[0], self.value(one, "&entry_SYSCALL_64"))
            self.assertEqual(way[-1], self.places["syscall"] + 2)
            self.assertIn(self.value(one, "&do_syscall_64"), way)
            self.assertIn(self.value(one, "&__x64_sys_getppid"), way)
            one.quit()


if __name__ == "__main__":
    unittest.main()
