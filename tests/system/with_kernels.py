#!/usr/bin/env python3
"""with_kernels.py PROGRAM…: runs it with RINGSIDE_TEST_KERNELS naming every Debian kernel that we test on."""

import os
import sys

from harness import kernels

paths = ":".join(str(kernels.get(suite).vmlinuz) for suite in kernels.SUITES)
os.execve(sys.argv[1], sys.argv[1:], os.environ | {"RINGSIDE_TEST_KERNELS": paths})
