"""Reading what apt prints, without asking any archive."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from debian import find_archives, first_dependency  # noqa: E402
from kernelstore import module_name  # noqa: E402

URIS = """'https://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian_dists_bookworm_InRelease 0
'https://mirror.example/debian/dists/bookworm-updates/InRelease' mirror.example_debian_dists_bookworm-updates_InRel 0
'https://mirror.example/debian-security/dists/bookworm-security/InRelease' mirror.example_debian-security_dists 0
'https://other.example/node/dists/nodistro/InRelease' other.example_node_dists_nodistro_InRelease 0
"""

DEPENDS = """linux-image-cloud-amd64
 |Depends: linux-image-alternative
  Depends: linux-image-6.1.0-50-cloud-amd64
  Suggests: linux-image-other
"""


class Archives(unittest.TestCase):
    def test_main_and_security_are_told_apart_and_strangers_left_out(self) -> None:
        self.assertEqual(find_archives(URIS), {"main": "https://mirror.example/debian",
                                               "security": "https://mirror.example/debian-security"})

    def test_no_archive_is_no_answer(self) -> None:
        self.assertEqual(find_archives(""), {})


class Dependencies(unittest.TestCase):
    def test_the_real_package_behind_a_meta_package(self) -> None:
        self.assertEqual(first_dependency(DEPENDS, "linux-image-"), "linux-image-6.1.0-50-cloud-amd64")

    def test_a_pre_dependency_counts(self) -> None:
        self.assertEqual(first_dependency("x\n  PreDepends: linux-image-1\n", "linux-image-"), "linux-image-1")

    def test_none(self) -> None:
        self.assertIsNone(first_dependency("x\n  Depends: kmod\n", "linux-image-"))


class Modules(unittest.TestCase):
    def test_names_do_not_depend_on_packing_or_dashes(self) -> None:
        self.assertEqual({module_name(p) for p in ("a/kvm-amd.ko", "kvm_amd.ko.xz", "b/kvm-amd.ko.zst")}, {"kvm_amd"})


if __name__ == "__main__":
    unittest.main()
