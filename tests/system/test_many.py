"""As many tracers as there may be on one guest: raw clients and gdbs."""

import contextlib
import unittest

import case
from harness.gdb import Gdb
from harness.guest import TICKING, Guest
from harness.rawclient import RawClient

MOST = 64


class Many(case.Case):
    def test_sixty_four_tracers_and_not_one_more(self) -> None:
        with Guest(init=TICKING, cpus=2, gdb=True) as guest, contextlib.ExitStack() as all_of_them:
            guest.wait_for("tick 3")
            clients = [all_of_them.enter_context(RawClient(guest)) for _ in range(MOST - 2)]
            for client in clients:
                client.ask("qSupported:swbreak+;hwbreak+")
            one, two = all_of_them.enter_context(Gdb(guest)), all_of_them.enter_context(Gdb(guest))
            listing = one.run("monitor tracers")
            self.assertEqual(sum(" points " in line for line in listing.splitlines()), MOST)
            with self.assertRaises((OSError, AssertionError, EOFError)), RawClient(guest) as late:
                late.ask("qSupported")
            two.run("detach")
            one.run("break do_sys_openat2 if dfd == 12345")
            one.start_continue()
            for _ in range(3):
                guest.next(r"tick [0-9]+")
            # Sixty of them stop the guest, each for itself, and let it go again.
            for client in clients:
                self.assertRegex(client.ask("?"), "^T05")
            self.assertTrue(guest.shows_nothing_new(1.0))
            for client in clients:
                self.assertEqual(client.ask("D"), "OK")
            guest.next(r"tick [0-9]+")
            self.assertTrue(one.busy)
            one.interrupt()
            one.finish()
            one.quit()


if __name__ == "__main__":
    unittest.main()
