"""The kernel layout for the Bochs lab, on files made here."""

import lzma
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pvh  # noqa: E402
from cache import LabError  # noqa: E402


def small_elf() -> bytes:
    """Two segments and a Xen note that says where to enter."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x1000123)
    first, second = b"text", b"data"
    at = 64 + 3 * 56
    head = bytearray(64)
    head[:4] = b"\x7fELF"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, 3)
    table = struct.pack("<IIQQQQQQ", 1, 5, at, 0, 0x1000000, 4, 4, 0)
    table += struct.pack("<IIQQQQQQ", 1, 6, at + 4, 0, 0x1000010, 4, 32, 0)
    table += struct.pack("<IIQQQQQQ", 4, 4, at + 8, 0, 0, len(note), len(note), 0)
    return bytes(head) + table + first + second + note


class Layout(unittest.TestCase):
    def test_segments_lie_at_their_physical_addresses_with_zeroed_bss(self) -> None:
        flat = pvh.lay_out(small_elf())
        self.assertEqual((flat.at, flat.entry), (0x1000000, 0x1000123))
        self.assertEqual(flat.body, b"text".ljust(16, b"\0") + b"data".ljust(32, b"\0"))

    def test_a_kernel_without_the_note_is_refused(self) -> None:
        with self.assertRaises(LabError):
            pvh.lay_out(small_elf().replace(b"Xen\0", b"Zen\0"))

    def test_the_payload_is_found_behind_the_setup_sectors(self) -> None:
        payload = lzma.compress(b"the kernel") + b"size"
        image = bytearray((4 + 1) * 512 + 16)
        image[0x1F1] = 4
        image[0x202:0x206] = b"HdrS"
        struct.pack_into("<II", image, 0x248, 16, len(payload))
        self.assertEqual(pvh.unpack_bzimage(bytes(image) + payload), b"the kernel")

    def test_start_info_fits_its_page_and_covers_all_memory(self) -> None:
        page = pvh.start_info("console=ttyS0", 4096, 1536)
        self.assertEqual(len(page), 4096)
        self.assertEqual(struct.unpack_from("<I", page)[0], 0x336EC578)
        ranges = [struct.unpack_from("<QQI", page, 0x80 + 24 * i) for i in range(4)]
        self.assertEqual([r[0] for r in ranges[1:]], [r[0] + r[1] for r in ranges[:-1]])
        self.assertEqual(sum(r[1] for r in ranges), 1536 << 20)


if __name__ == "__main__":
    unittest.main()
