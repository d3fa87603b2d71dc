"""Time stands still while every CPU is held: nothing in the guest notices, whatever it counts by."""

import contextlib
import re
import time
import unittest

import case
from harness.guest import Guest
from harness.rawclient import RawClient

CPUS = 4
# Two watchdogs that bark long before the hold is over: soft lockups after 8 s, RCU stalls after 3 s.
WATCHED = "watchdog_thresh=4 rcupdate.rcu_cpu_stall_timeout=3"
TELLING = """dmesg -c >/dev/null
echo "source: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
i=0
while :; do
  i=$((i+1))
  read up rest </proc/uptime
  echo "now: $i $up $(date +%s) ."
  [ $((i % 10)) = 0 ] && dmesg -c | grep -E 'lockup|stall|[Cc]locksource|unstable|hung|blocked' | sed 's/^/complaint: /'
  usleep 100000
done"""
NOW = r"now: (\d+) ([\d.]+) (\d+) \."


class Held(case.Case):
    """What is done, and what has to be seen. The tests are those below, and soak_time.py's."""

    def setUp(self) -> None:
        super().setUp()
        self.guests = contextlib.ExitStack()
        self.addCleanup(self.guests.close)

    def boot(self, append: str) -> Guest:
        return self.guests.enter_context(Guest(init=TELLING, cpus=CPUS, gdb=True, append=f"{WATCHED} {append}"))

    def clocks(self, guest: Guest, start: int) -> tuple[int, float, int]:
        """The first that the guest tells of after that place in its console: number, uptime, date."""
        found = guest.wait_for(NOW, 60, start)
        return int(found[1]), float(found[2]), int(found[3])

    def hold(self, seconds: float) -> None:
        # Whatever a guest may count by, with each kind of local timer: KVM's clock, the CPU's counter, our device.
        guests = {"kvm-clock": self.boot("lapic=notscdeadline"), "tsc": self.boot("clocksource=tsc tsc=reliable"),
                  "acpi_pm": self.boot("no-kvmclock clocksource=acpi_pm")}
        for source, guest in guests.items():
            self.assertEqual(guest.wait_for(r"source: ([\w-]+)\s", 90)[1], source)
            guest.wait_for(r"now: 3 ", 60)
        with contextlib.ExitStack() as clients:
            held, ran = [], []  # and for how long each has run since what it told last
            for guest in guests.values():
                client = clients.enter_context(RawClient(guest))
                guest.next(r"now: \d+ [\d.]+ \d+ \.")
                told = time.monotonic()
                self.assertRegex(client.attach(), "^T05")
                held.append((guest, client))
                ran.append(time.monotonic() - told)
            time.sleep(0.5)  # what was printed last is on its way
            seen = [guest.shown for guest, _ in held]
            before = [re.findall(NOW, guest.console)[-1] for guest, _ in held]
            time.sleep(seconds)
            self.assertEqual([guest.shown for guest, _ in held], seen)
            going = time.monotonic()
            for _, client in held:
                client.send("vCont;c")
            for source, (guest, _), start, last, short in zip(guests, held, seen, before, ran):
                number, uptime, date = self.clocks(guest, start)
                may = 1.0 + short + time.monotonic() - going
                with self.subTest(clock=source):
                    self.assertLess(may, seconds)
                    self.assertLessEqual(number, int(last[0]) + 2)
                    self.assertLess(uptime - float(last[1]), may)
                    self.assertGreaterEqual(uptime, float(last[1]))
                    self.assertLessEqual(date - int(last[2]), may + 1)
            for source, (guest, _), start in zip(guests, held, seen):
                at = self.clocks(guest, start)[0]
                guest.wait_for(rf"now: {at // 10 * 10 + 21} ", 60, start)  # the log has been looked at twice since
                with self.subTest(log=source):
                    self.assertNotIn("complaint:", guest.console)



class HeldForLong(Held):
    def test_no_clock_goes_on_and_no_watchdog_barks(self) -> None:
        self.hold(12)

    def test_it_goes_at_the_usual_rate_between_many_holds(self) -> None:
        guest = self.boot("")
        guest.wait_for(r"now: 3 ", 90)
        with RawClient(guest) as client:
            held = 0.0
            client.attach()
            client.send("vCont;c")
            began, (_, first, _) = time.monotonic(), self.clocks(guest, guest.shown)
            for _ in range(20):
                client.send_raw(b"\x03")
                self.assertRegex(client.receive(), "^T02")
                stopped = time.monotonic()
                time.sleep(0.3)
                held += time.monotonic() - stopped
                client.send("vCont;c")
                time.sleep(0.1)
            ran, (_, last, _) = time.monotonic() - began - held, self.clocks(guest, guest.shown)
            self.assertGreater(held, 5.5)
            self.assertAlmostEqual(last - first, ran, delta=2.5)  # not by the 6 s that it was held


if __name__ == "__main__":
    unittest.main()
