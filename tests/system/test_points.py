"""Breakpoints and watchpoints on a kernel with two CPUs: more than the CPU has, on both CPUs, the guest's own."""

import re
import time
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb, gdb
from harness.guest import TICKING, Guest
from harness.rawclient import RawClient

OWN_INT3 = Path(__file__).resolve().parent / "guests/own_int3.c"
# Each iteration of the init calls all of these.
MANY = ["do_sys_openat2", "ksys_write", "do_filp_open", "vfs_open", "path_openat", "vfs_write", "kernel_clone", "do_exit"]


class ManyPoints(case.TickingCase):
    with_guest = {"init": "/bin/own_int3 &\n" + TICKING, "files": ((kernels.c_program(OWN_INT3), "/bin/own_int3"),)}

    def test_eight_software_breakpoints_are_all_hit(self) -> None:
        out = gdb(self.guest, {"set": [f"break {name}" for name in MANY], "hits": ["continue"] * 60,
                               "probes": ["set breakpoint always-inserted on", "tbreak panic", "monitor probes"]})
        hit = set(re.findall(r"hit Breakpoint [\d.]+, (?:0x[0-9a-f]+ in )?(\w+) ", out["hits"]))
        self.assertEqual(set(MANY) - hit, set(), out.text[-3000:])

    def test_a_breakpoint_is_hit_on_both_cpus(self) -> None:
        out = gdb(self.guest, ["break do_sys_openat2", *["continue"] * 40])
        self.assertRegex(out.text, r'Thread 1 "CPU#0[^"]*" hit')
        self.assertRegex(out.text, r'Thread 2 "CPU#1[^"]*" hit')

    def test_a_thread_specific_breakpoint_is_hit_on_its_cpu_only(self) -> None:
        out = gdb(self.guest, ["break do_sys_openat2 thread 2", *["continue"] * 10])
        self.assertEqual(set(re.findall(r'"(CPU#\d)[^"]*" hit', out.text)), {"CPU#1"})

    def test_a_condition_is_heeded(self) -> None:
        out = gdb(self.guest, ["break ksys_write if count > 3 && $rsi != 0", "continue", "p count > 3"])
        self.assertIn("hit Breakpoint 1", out.text)
        self.assertIn("$1 = 1", out.text)

    def test_single_steps_on_one_cpu_stay_on_their_path(self) -> None:
        out = gdb(self.guest, ["break *do_sys_openat2", "continue", *["stepi", "p/x $pc"] * 20, "bt 1"])
        self.assertNotRegex(out.text, r"asm_sysvec|apic_timer", "a step landed in an interrupt")
        self.assertEqual(len(re.findall(r"^\$\d+ = 0xffffffff", out.text, re.MULTILINE)), 20)

    def test_stepping_by_lines_comes_back_to_the_caller(self) -> None:
        out = gdb(self.guest, {"in": ["break do_sys_openat2", "continue", "delete"],
                               "over": ["next"] * 4, "out": ["finish", "p $pc > (long)&do_sys_openat2"]})
        self.assertNotIn("SIGTRAP", out["over"])
        self.assertIn("Value returned is", out["out"])

    def test_four_hardware_breakpoints_and_not_one_more(self) -> None:
        names = [name for name in MANY if name != "vfs_open"][:5]  # inlined at other places, too
        out = gdb(self.guest, {"five": [*(f"hbreak {name}" for name in names), "continue"],
                               "four": ["delete 5", "continue"]})
        self.assertIn("Could not insert hardware breakpoints", out["five"])
        self.assertIn("hit Breakpoint", out["four"])

    def test_slots_are_shared_by_all_tracers_and_come_back(self) -> None:
        with RawClient(self.guest) as one, RawClient(self.guest) as two:
            one.attach()
            two.attach()
            for i in range(4):
                self.assertEqual(one.ask(f"Z1,{0xffffffff81000000 + 16 * i:x},1"), "OK")
            self.assertRegex(two.ask("Z1,ffffffff82000000,1"), "^E")
            self.assertEqual(one.ask("D;1"), "OK")
            self.assertEqual(two.ask("Z1,ffffffff82000000,1"), "OK")
            two.ask("D;1")

    def test_watchpoints_see_writes_and_reads(self) -> None:
        out = gdb(self.guest, {"write": ["watch jiffies", "continue", "delete"],
                               "read": ["rwatch panic_timeout", "delete"],
                               "access": ["awatch jiffies", "continue", "continue"]})
        self.assertRegex(out["write"], r"Old value = \d+\nNew value = \d+")
        self.assertRegex(out["access"], r"hit Hardware access \(read/write\) watchpoint \d+: jiffies[\s\S]*Value = \d+")

    def test_a_watchpoint_with_a_condition_is_heeded(self) -> None:
        out = gdb(self.guest, ["watch jiffies if jiffies % 16 < 8", "continue", "p jiffies % 16 < 8"])
        self.assertIn("$1 = 1", out.text)

    def test_the_guests_own_int3_reaches_the_guest(self) -> None:
        with Gdb(self.guest) as one:
            one.run("break do_sys_openat2 if 0")
            one.run("break panic")
            one.start_continue()
            for _ in range(3):
                wrong = int(self.guest.next(r"own int3: [0-9]+ made, ([0-9]+) wrong")[1])
            self.assertTrue(one.busy, "the guest's own int3 was shown as a stop")
            one.interrupt()
            one.finish()
            one.quit()
        if self.guest.place.name == "lab qemu kvm-amd":
            # Without nrip-save, which QEMU does not emulate, KVM_GUESTDBG_INJECT_BP loses one in some hundreds.
            print(f"  the guest's own int3 that went wrong so far: {wrong}")
            self.assertLess(wrong, 4)
        else:
            self.assertEqual(wrong, 0)

    def test_breakpoints_come_and_go_while_another_gdb_steps(self) -> None:
        with Gdb(self.guest) as one, Gdb(self.guest) as two:
            one.run("break *do_sys_openat2")
            two.start_continue()
            self.assertIn("hit Breakpoint 1", one.run("continue"))
            for _ in range(5):
                two.interrupt()
                two.finish()
                two.run("delete")
                two.run("break panic")
                two.run("watch panic_timeout")
                before = one.run("p $pc")
                two.start_continue()
                one.run("stepi")
                self.assertNotEqual(one.run("p $pc").split("=")[1], before.split("=")[1])
            self.assertTrue(two.busy)
            one.quit()


class IsolatedKernel(case.Case):
    def rip(self, client: RawClient, cpu: int) -> int:
        self.assertEqual(client.ask(f"Hgp1.{cpu}"), "OK")
        return int.from_bytes(bytes.fromhex(client.ask("p10")), "little")

    def test_breakpoints_are_met_that_were_set_while_programs_ran_with_tables_that_have_no_kernel(self) -> None:
        init = "dmesg | grep -o 'tables isolation: .*'\n(while :; do :; done) &\n(while :; do :; done) &\n" + TICKING
        with Guest(init=init, cpus=2, gdb=True, append="pti=on") as guest, RawClient(guest, timeout=60) as client:
            guest.wait_for("tables isolation: enabled", 60)
            guest.wait_for("tick 2", 60)
            self.assertRegex(client.attach(), "^T05")
            points = {client.symbol(name) for name in MANY}
            for _ in range(100):
                if all(self.rip(client, cpu) < 1 << 63 for cpu in (1, 2)):
                    break
                client.send("vCont;c")
                time.sleep(0.05)
                client.send_raw(b"\x03")
                self.assertRegex(client.receive(), "^T02")
            else:
                self.fail("the CPUs are never both in programs")
            for at in points:
                self.assertEqual(client.ask(f"Z0,{at:x},1"), "OK")
            self.assertNotIn("pending", client.monitor("probes"))
            hit = set()
            for _ in range(200):
                stop = client.ask("vCont;c")
                self.assertRegex(stop, "^T05")
                hit.add(int.from_bytes(bytes.fromhex(re.search(r"10:([0-9a-f]{16});", stop)[1]), "little"))
                if hit == points:
                    break
            self.assertEqual(hit, points)


if __name__ == "__main__":
    unittest.main()
