"""The same sessions with a gdb newer than Debian 12's: attach, conditions, dprintf, non-stop."""

import os
import unittest

from harness import place  # noqa: F401  (has the lab on the path)

import gdbs

os.environ["RINGSIDE_GDB"] = str(gdbs.newer())

import test_conditions  # noqa: E402
import test_gdb  # noqa: E402
import test_nonstop  # noqa: E402


def load_tests(loader: unittest.TestLoader, _tests: unittest.TestSuite, _pattern: str | None) -> unittest.TestSuite:
    suite = unittest.TestSuite()
    for module in (test_gdb, test_conditions, test_nonstop):
        suite.addTests(loader.loadTestsFromModule(module))
    return suite


if __name__ == "__main__":
    unittest.main()
