"""Ten minutes at a breakpoint: four CPUs, three kinds of clock."""

import unittest

from test_time import Held


class HeldForTenMinutes(Held):
    def test_no_clock_goes_on_and_no_watchdog_barks(self) -> None:
        self.hold(600)


if __name__ == "__main__":
    unittest.main()
