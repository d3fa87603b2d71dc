"""The base of all system tests: sentence-like names, the time each took, no patience for hanging."""

import faulthandler
import os
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
faulthandler.dump_traceback_later(float(os.environ.get("RINGSIDE_TEST_PATIENCE", "900")), exit=True)


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self) -> None:
        self._began = time.monotonic()

    def tearDown(self) -> None:
        print(f"  {time.monotonic() - self._began:6.1f} s {self._testMethodName}", flush=True)
