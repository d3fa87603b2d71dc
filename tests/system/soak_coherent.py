"""Two thousand breakpoints set at the first instruction, on 6.1 and 6.12, by every way into the kernel; and with every
function traced. Hours in the lab; `./dev soak coherent`."""

import re
import unittest

from test_coherent import BUSY, Patching

WAYS = ("real", "32", "64", "elf", "pvh")


class TwoThousand(Patching):
    points = 2000
    patience = 400

    def test_6_1_by_every_way(self) -> None:
        for way in WAYS:
            with self.subTest(way):
                self.go_through("6.1", way)

    def test_6_12_by_every_way(self) -> None:
        for way in WAYS:
            with self.subTest(way):
                self.go_through("6.12", way)


class EveryFunctionTraced(Patching):
    points = 2000
    everything = True
    # Switching a tracer on or off pokes 38,000 places three times each, and tells the other CPU of each.
    busy = re.compile(BUSY.pattern + r"|^(_find_next_(and_)?bit|irq_work_.*|ct_.*|find_busiest_.*|.*smp_call_.*|.*cond_resched.*|.*idle.*)$")
    patience = 3000

    def test_6_1(self) -> None:
        self.go_through("6.1")

    def test_6_12(self) -> None:
        self.go_through("6.12")


if __name__ == "__main__":
    unittest.main()
