"""The base of all system tests: sentence-like names, the time each took, no patience for hanging."""

import faulthandler
import os
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness.guest import TICKING, Guest  # noqa: E402

faulthandler.dump_traceback_later(float(os.environ.get("RINGSIDE_TEST_PATIENCE", "900")), exit=True)


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self) -> None:
        self._began = time.monotonic()

    def tearDown(self) -> None:
        print(f"  {time.monotonic() - self._began:6.1f} s {self._testMethodName}", flush=True)


class TickingCase(Case):
    """One guest with two CPUs for all tests of a class, whose init ticks; each test leaves it running."""

    guest: Guest
    options: tuple[str, ...] = ()
    with_guest: dict[str, object] = {}

    @classmethod
    def setUpClass(cls) -> None:
        cls.guest = Guest(*cls.options, **{"init": TICKING, "cpus": 2, "gdb": True, **cls.with_guest})
        cls.guest.wait_for("tick 3")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.guest.end()

    def setUp(self) -> None:
        super().setUp()
        self.assertTrue(self.guest.running, self.guest.stderr)

    def tearDown(self) -> None:
        super().tearDown()
        self.guest.next(r"tick [0-9]+")
