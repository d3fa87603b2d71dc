"""Coming and going: ^C, detaching, being killed, several tracers at once, clients that speak nonsense."""

import os
import re
import socket
import time
import unittest

import case
from harness.gdb import Gdb, gdb
from harness.guest import TICKING, Guest
from harness.place import ringside, the_place
from harness.rawclient import RawClient

TICK = r"tick [0-9]+\r?\n"
COMPLAINT = r"(?i)\berror\b|closed|refused|timed out|bogus"  # of gdb's; the guest may well stand in error_entry


class WithARunningGuest(case.TickingCase):
    """Each test leaves it running, and alone."""

    def tearDown(self) -> None:
        super().tearDown()
        # A connection that has just been dropped may take a moment until the other side has seen it.
        end = time.monotonic() + self.guest.patience(5)
        while self.tracers() != 1 and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(self.tracers(), 1, "somebody is still attached besides the one who asks")

    def runs(self) -> None:
        self.guest.next(TICK)

    def stands(self) -> None:
        time.sleep(0.3)  # what was under way comes out
        self.assertTrue(self.guest.shows_nothing_new(1.0 * self.guest.place.slowness), "the guest runs")

    def tracers(self) -> int:
        with RawClient(self.guest) as client:
            return len(re.findall(r"^\d+ .* points ", client.monitor("tracers"), re.MULTILINE))


class ComingAndGoing(WithARunningGuest):
    def test_attaching_stops_the_guest_and_detaching_lets_it_run(self) -> None:
        with Gdb(self.guest) as one:
            self.assertRegex(one.attached, r"0x[0-9a-f]+ in |\w+ \(")
            self.stands()
            self.assertIn("detached", one.run("detach"))
            self.runs()
            one.quit()

    def test_interrupt_stops_it_again_and_again(self) -> None:
        with Gdb(self.guest) as one:
            for _ in range(5):
                one.start_continue()
                self.runs()
                one.interrupt()
                self.assertIn("SIGINT", one.finish())
            self.stands()
            one.quit()

    def test_twenty_times_attached_and_detached_the_guest_runs_on_between(self) -> None:
        for _ in range(20):
            with RawClient(self.guest) as client:
                self.assertRegex(client.attach(), "^T05.*thread:p1")
                self.assertEqual(client.ask("D;1"), "OK")
            self.runs()

    def test_gdb_reattaches_from_the_same_session(self) -> None:
        with Gdb(self.guest) as one:
            for _ in range(5):
                one.run("detach")
                self.runs()
                self.assertNotRegex(one.run(f"target remote {self.guest.target}"), COMPLAINT)
            self.assertIn("hit Breakpoint", one.run("break do_sys_openat2") + one.run("continue"))
            one.quit()

    def test_leaving_gdb_is_detaching(self) -> None:
        with Gdb(self.guest) as one:
            one.run("break do_sys_openat2")
            self.assertEqual(one.quit(), 0)

    def test_a_killed_gdb_leaves_a_running_guest_without_its_breakpoints(self) -> None:
        with Gdb(self.guest) as one:
            one.run("break do_sys_openat2")
            self.assertIn("hit Breakpoint 1", one.run("continue"))
            self.stands()
            one.kill()
        self.runs()
        with RawClient(self.guest) as client:
            self.assertIn("no points", client.monitor("probes"))

    def test_a_gdb_killed_while_the_guest_runs_leaves_it_running(self) -> None:
        with Gdb(self.guest) as one:
            one.run("watch panic_timeout")
            one.start_continue()
            self.runs()
            one.kill()
        self.runs()

    def test_the_kill_command_only_detaches(self) -> None:
        with Gdb(self.guest) as one:
            one.run("kill")
            self.runs()
            one.quit()

    def test_the_k_packet_only_detaches(self) -> None:
        with RawClient(self.guest) as client:
            client.attach()
            client.send("k")
            self.runs()


class TwoAtOnce(WithARunningGuest):
    def test_each_has_its_own_breakpoints_and_stops(self) -> None:
        with Gdb(self.guest) as one, Gdb(self.guest) as two:
            one.run("break do_sys_openat2")
            two.run("break ksys_write")
            hits = {one: [], two: []}
            for gdb_ in hits:
                gdb_.start("continue")
            end = time.monotonic() + self.guest.patience(30)
            while min(map(len, hits.values())) < 3 and time.monotonic() < end:
                for gdb_, seen in hits.items():  # whoever is told goes on; the guest runs when both have
                    if not gdb_.busy:
                        seen.append(gdb_.finish())
                        gdb_.start("continue")
                time.sleep(0.02)
            self.assertGreaterEqual(min(map(len, hits.values())), 3, hits)
            self.assertTrue(all("do_sys_openat2" in text for text in hits[one]), hits[one])
            self.assertTrue(all("ksys_write" in text for text in hits[two]), hits[two])

    def test_ones_stop_is_not_shown_to_the_other(self) -> None:
        with Gdb(self.guest) as one, Gdb(self.guest) as two:
            two.start_continue()
            one.run("break do_sys_openat2")
            for _ in range(3):
                self.assertIn("hit Breakpoint 1", one.run("continue"))
                self.assertTrue(two.busy, "the other one was stopped")
            one.quit()
            self.runs()
            two.interrupt()
            self.assertIn("SIGINT", two.finish())
            two.quit()

    def test_detaching_keeps_the_others_breakpoints(self) -> None:
        with Gdb(self.guest) as one, Gdb(self.guest) as two:
            for gdb_ in (one, two):
                gdb_.run("break do_sys_openat2")
            for gdb_ in (one, two):
                gdb_.start("continue")
            for gdb_ in (one, two):  # one place, two breakpoints, both are told
                self.assertIn("hit Breakpoint 1", gdb_.finish())
            two.quit()
            for _ in range(3):
                self.assertIn("hit Breakpoint 1", one.run("continue"))
            one.quit()

    def test_each_is_listed_with_what_it_holds(self) -> None:
        with Gdb(self.guest) as one, RawClient(self.guest) as two:
            one.run("hbreak panic")
            one.run("stepi")  # inserted now, and taken out again
            two.attach()
            lines = one.run("monitor tracers").splitlines()
            self.assertEqual(len([x for x in lines if "holds CPU 0,1" in x]), 2, lines)
            two.ask("D;1")
            one.quit()

    def test_memory_never_shows_the_others_breakpoints(self) -> None:
        with Gdb(self.guest) as one, RawClient(self.guest) as two:
            before = one.run("x/8xb do_sys_openat2")
            at = int(re.search(r"0x([0-9a-f]+)", before)[1], 16)
            two.attach()
            self.assertEqual(two.ask(f"Z0,{at:x},1"), "OK")
            one.run("maintenance flush dcache")
            self.assertEqual(one.run("x/8xb do_sys_openat2"), before)
            self.assertNotIn("cc", two.ask(f"m{at:x},1"))
            two.ask("D;1")
            one.quit()


class ThroughAPipe(WithARunningGuest):
    def test_gdb_reaches_the_guest_through_ringside_attach(self) -> None:
        with Gdb(self.guest, attach=False) as one:
            self.assertNotRegex(one.run(f"target remote | {ringside()} attach {self.guest.target}"), COMPLAINT)
            one.run("break do_sys_openat2")
            for _ in range(3):
                self.assertIn("hit Breakpoint 1", one.run("continue"))
            one.run("delete")
            one.start_continue()
            self.runs()
            one.interrupt()
            self.assertIn("SIGINT", one.finish())
            one.quit()


class Observers(case.Case):
    """A guest with two doors: one for anybody, one for who only looks."""

    def setUp(self) -> None:
        super().setUp()
        listen, address = the_place().listen()
        self.guest = Guest("--gdb", f"{listen},ro", init=TICKING, cpus=2, gdb=True)
        self.addCleanup(self.guest.end)
        self.target = "{}:{}".format(*address)
        self.guest.wait_for(TICK)

    def test_gdb_looks_at_a_guest_that_runs_and_changes_nothing(self) -> None:
        with Gdb(self.guest, attach=False) as one:
            self.assertNotRegex(one.run(f"target remote {self.target}"), COMPLAINT)
            self.guest.next(TICK)
            self.assertRegex(one.run("p/x $rip"), "= 0x[0-9a-f]+")
            self.assertIn("CPU#1", one.run("info threads"))
            self.assertIn("Linux version", one.run("p linux_banner"))
            before = one.run("p panic_timeout")
            self.assertRegex(one.run("set var panic_timeout = 77"), "Cannot access memory")
            self.assertEqual(one.run("p panic_timeout").split("=")[1], before.split("=")[1])
            one.run("break do_sys_openat2")
            self.assertRegex(one.run("continue"), "Cannot insert breakpoint")
            one.run("delete")
            one.start_continue()
            self.guest.next(TICK)
            one.interrupt()
            self.assertIn("SIGINT", one.finish())
            self.guest.next(TICK)
            self.assertIn("only looks on", one.run("monitor tracers"))
            one.quit()
        self.guest.next(TICK)

    def test_a_tracer_is_not_hindered_by_who_looks(self) -> None:
        with Gdb(self.guest, attach=False) as looker, Gdb(self.guest) as one:
            looker.run(f"target remote {self.target}")
            one.run("break do_sys_openat2")
            for _ in range(3):
                hit = one.run("continue")
                self.assertIn("hit Breakpoint 1", hit)
                self.assertNotIn("waiting", hit)
            looker.run("monitor quit")
            self.assertTrue(self.guest.running)
            one.quit()
        self.guest.next(TICK)


class NonsenseClients(WithARunningGuest):
    def test_garbage_costs_nobody_anything(self) -> None:
        with RawClient(self.guest) as good:
            good.attach()
            for data in (os.urandom(5000), b"GET / HTTP/1.1\r\n\r\n", b"$" * 3000, b"\x03" * 50, b"$g#00$g#zz",
                         b"$" + b"A" * 400_000):
                with socket.create_connection(self.guest.address, 10) as bad:
                    bad.sendall(data)
                    self.assertRegex(good.ask("qC"), "^QCp1")
            self.assertEqual(good.ask("D;1"), "OK")

    def test_unknown_and_broken_packets_get_an_answer(self) -> None:
        with RawClient(self.guest) as client:
            client.attach()
            for packet in ("qNoSuchThing", "vNoSuchThing", "!!", "jThreadsInfo", "_M1000,rwx"):
                self.assertEqual(client.ask(packet), "", packet)
            for packet in ("mzz,10", "m0", "Z0,zz,1", "P9999=00", "Hgq", "Tp9.9", "vCont;x", "X0,5:abc"):
                self.assertRegex(client.ask(packet), "^E|^$", packet)
            self.assertRegex(client.ask("g"), "^[0-9a-fx]{100}")
            client.ask("D;1")

    def test_packets_may_come_torn_at_every_byte(self) -> None:
        with RawClient(self.guest) as client:
            stop = client.attach()
            for byte in client.frame("?") + client.frame("qC") + client.frame("vCont?"):
                client.send_raw(bytes([byte]))
                time.sleep(0.005)
            self.assertEqual(client.receive()[:3], stop[:3])
            self.assertRegex(client.receive(), "^QC")
            self.assertEqual(client.receive(), "vCont;c;C;s;S;t;r")
            client.ask("D;1")

    def test_a_wrong_checksum_is_refused_and_the_right_one_taken(self) -> None:
        with RawClient(self.guest, acks=True) as client:
            client.send_raw(b"$qC#00")
            client.socket.settimeout(20)
            self.assertEqual(client.socket.recv(1), b"-")
            client.send_raw(client.frame("qC"))
            self.assertRegex(client.receive(), "^QC|^E")

    def test_a_second_interrupt_gives_no_second_stop(self) -> None:
        with RawClient(self.guest) as client:
            client.attach()
            client.send("vCont;c")
            self.runs()
            client.send_raw(b"\x03")
            self.assertRegex(client.receive(), "^T0")
            client.send_raw(b"\x03\x03")
            self.assertTrue(client.silent(1.0))
            client.ask("D;1")

    def test_a_client_that_says_nothing_disturbs_nobody(self) -> None:
        with socket.create_connection(self.guest.address, 10):
            with Gdb(self.guest, vmlinux=None) as one:
                self.assertIn("0x", one.attached)
                one.quit()


class Monitor(WithARunningGuest):
    def test_every_command_of_monitor_help_does_something(self) -> None:
        out = gdb(self.guest, {
            "help": ["monitor help"], "tracers": ["monitor tracers"], "regs": ["monitor regs"],
            "x": ["monitor x/3i $rip"], "phys": ["monitor phys on", "monitor phys off"], "kaslr": ["monitor kaslr"],
            "none": ["monitor nosuch"], "text": ["p/x (long)&_text"],
            "probes": ["set breakpoint always-inserted on", "hbreak panic", "break do_sys_openat2", "watch panic_timeout",
                       "monitor probes"],
        })
        for word in ("tracers", "probes", "regs", "x/", "phys", "kaslr", "reset", "quit"):
            self.assertIn(word, out["help"])
        self.assertRegex(out["tracers"], r"(?m)^1?\d+ .*holds CPU 0,1[^$]*you are \d+")
        self.assertRegex(out["regs"], r"rip ffffffff[0-9a-f]{8}[\s\S]*cr3 [0-9a-f]{16}[\s\S]*msr_lstar")
        self.assertEqual(len(re.findall(r"(?m)^0x[0-9a-f]+|^ffffffff[0-9a-f]+", out["x"])), 3, out["x"])
        text = re.search(r"= (0x[0-9a-f]+)", out["text"])[1]
        self.assertIn(f"_text {text} offset", out["kaslr"])
        self.assertIn("monitor help", out["none"])
        for probe in (r"break 0x[0-9a-f]+, tracer \d+, by ", r"hbreak 0x[0-9a-f]+, tracer \d+, by debug register",
                      r"watch 0x[0-9a-f]+\+4, tracer \d+, by debug register"):
            self.assertRegex(out["probes"], probe)


if __name__ == "__main__":
    unittest.main()
