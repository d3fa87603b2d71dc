"""The archive writer against the format's definition, and against cpio(1) where that is installed."""

import gzip
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cpio import Archive  # noqa: E402


def parse(data: bytes) -> list[tuple[str, int, bytes, tuple[int, int]]]:
    """A reader as strict as the kernel's: magic, hexadecimal fields, padding to four."""
    found, at = [], 0
    while True:
        assert data[at:at + 6] == b"070701", f"no magic at {at}"
        f = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + f[11] - 1].decode()
        body_at = (at + 110 + f[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found.append((name, f[1], data[body_at:body_at + f[6]], (f[9], f[10])))
        at = (body_at + f[6] + 3) & ~3


class TheArchive(unittest.TestCase):
    def setUp(self) -> None:
        self.tree = Archive()

    def parsed(self):
        return {name: rest for name, *rest in parse(self.tree.to_bytes())}

    def test_empty_archive_is_a_trailer(self) -> None:
        self.assertEqual(parse(self.tree.to_bytes()), [])

    def test_parents_come_before_their_children(self) -> None:
        self.tree.file("/a/b/c", "x")
        self.assertEqual([e[0] for e in parse(self.tree.to_bytes())], ["a", "a/b", "a/b/c"])

    def test_bodies_of_all_paddings_survive(self) -> None:
        for n in range(6):
            self.tree.file(f"/f{n}", b"x" * n)
        self.assertEqual({k: v[1] for k, v in self.parsed().items()}, {f"f{n}": b"x" * n for n in range(6)})

    def test_modes_and_kinds(self) -> None:
        self.tree.file("/init", "#!", 0o755)
        self.tree.symlink("/bin/sh", "/bin/busybox")
        self.tree.char_device("/dev/console", 5, 1)
        got = self.parsed()
        self.assertEqual(got["init"][0], stat.S_IFREG | 0o755)
        self.assertEqual(got["bin/sh"], [stat.S_IFLNK | 0o777, b"/bin/busybox", (0, 0)])
        self.assertEqual(got["dev/console"], [stat.S_IFCHR | 0o600, b"", (5, 1)])
        self.assertEqual(got["bin"][0], stat.S_IFDIR | 0o755)

    def test_a_later_entry_replaces_an_earlier_one(self) -> None:
        self.tree.file("/init", "old")
        self.tree.file("init", "new")
        self.assertEqual(self.parsed()["init"][1], b"new")

    def test_equal_contents_make_equal_archives(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            self.tree.file("/init", "x")
            for name in ("one.cpio.gz", "two.cpio.gz"):
                self.tree.write(Path(d) / name)
            one, two = (Path(d, n).read_bytes() for n in ("one.cpio.gz", "two.cpio.gz"))
        self.assertEqual(one, two)
        self.assertEqual(gzip.decompress(one), self.tree.to_bytes())

    @unittest.skipUnless(shutil.which("cpio"), "cpio(1) is not installed")
    def test_cpio_lists_it(self) -> None:
        self.tree.file("/etc/hosts", "localhost\n")
        p = subprocess.run(["cpio", "-t", "--quiet"], input=self.tree.to_bytes(), capture_output=True, check=True)
        self.assertEqual(p.stdout.split(), [b"etc", b"etc/hosts"])


if __name__ == "__main__":
    unittest.main()
