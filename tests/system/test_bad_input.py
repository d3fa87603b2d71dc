"""What cannot work is said in one line, with exit status 2, and no guest is half started."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.guest import Guest
from harness.place import ringside, the_place


class BadInput(case.Case):
    directory: tempfile.TemporaryDirectory

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = tempfile.TemporaryDirectory(prefix="ringside-bad-")
        cls.kernel = the_place().put(kernels.get("6.1").vmlinuz)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.directory.cleanup()

    def file(self, name: str, data: bytes) -> str:
        path = Path(self.directory.name) / name
        path.write_bytes(data)
        return the_place().put(path)

    def refused(self, *argv: str, saying: str) -> None:
        place = the_place()
        process = place.popen([*place.program(), *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=30 * place.slowness)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate()
            self.fail(f"it runs: {out[-500:]} {err[-500:]}")
        lines = [line for line in err.splitlines() if "listening for gdb" not in line]
        self.assertEqual((process.returncode, out, len(lines)), (2, "", 1), err)
        self.assertRegex(lines[0], f"^ringside: .*(?i:{saying})")

    def test_no_command(self) -> None:
        self.refused(saying="subcommand|command")

    def test_an_unknown_command(self) -> None:
        self.refused("rum", saying="subcommand|rum")

    def test_an_unknown_option(self) -> None:
        self.refused("run", self.kernel, "--gbd", ":1", saying="--gbd")

    def test_no_kernel_named(self) -> None:
        self.refused("run", saying="kernel")

    def test_a_kernel_that_is_not_there(self) -> None:
        self.refused("run", "/nowhere/vmlinuz", saying="/nowhere/vmlinuz.*no such file")

    def test_a_directory_as_kernel(self) -> None:
        self.refused("run", "/proc", saying="/proc")

    def test_a_text_file_as_kernel(self) -> None:
        self.refused("run", self.file("text", b"I am no kernel.\n" * 100), saying="kernel|bzImage|ELF")

    def test_an_empty_file_as_kernel(self) -> None:
        self.refused("run", self.file("empty", b""), saying="empty|kernel|bzImage|ELF|short|truncated")

    def test_a_truncated_bzimage(self) -> None:
        data = kernels.get("6.1").vmlinuz.read_bytes()
        for size in (600, 4096, len(data) // 2, len(data) - 200_000):
            with self.subTest(size=size):
                self.refused("run", self.file(f"cut-{size}", data[:size]), saying="truncated|ends|short|damaged|kernel")

    def test_a_truncated_elf(self) -> None:
        data = kernels.stripped_vmlinux().read_bytes()[:1 << 20]
        self.refused("run", self.file("elf", data), saying="truncated|ends|short|beyond|outside|past|file")

    def test_a_32_bit_elf(self) -> None:
        head = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x03\x00" + bytes(200)
        self.refused("run", self.file("elf32", head), saying="32|64-bit")

    def test_a_program_of_this_machine_as_kernel(self) -> None:
        self.refused("run", the_place().put(Path("/bin/true").resolve()), saying="kernel|position|dynamic|address|load")

    def test_a_way_in_that_the_image_has_not(self) -> None:
        vmlinux = the_place().put(kernels.stripped_vmlinux())
        for way in ("real", "32", "64"):
            with self.subTest(way=way):
                self.refused("run", vmlinux, f"--boot={way}", saying=f"no decompressor: --boot={way} needs a bzImage")

    def test_an_initrd_that_is_not_there(self) -> None:
        self.refused("run", self.kernel, "--initrd", "/nowhere/initrd", saying="/nowhere/initrd.*no such file")

    def test_an_initrd_that_does_not_fit(self) -> None:
        path = Path(self.directory.name) / "big"
        with open(path, "wb") as f:
            f.truncate(100 << 20)
        there = the_place().put(path)
        self.refused("run", self.kernel, "--initrd", there, "-m", "96M", saying="initrd.*(fit|memory|room)")

    def test_too_little_memory_for_the_kernel(self) -> None:
        self.refused("run", self.kernel, "-m", "16M", saying="memory|RAM")

    def test_sizes_and_counts_that_are_none(self) -> None:
        for options, saying in ((["-m", "much"], "much"), (["-m", "0"], "memory|0"), (["-c", "0"], "cpus"),
                                (["-c", "17"], "cpus"), (["-c", "two"], "cpus|two"), (["--boot", "bios"], "bios"),
                                (["--kaslr", "maybe"], "maybe"), (["--kaslr", "0x123"], "kaslr|0x123|slide|offset|align"),
                                (["--log-level", "loud"], "loud|log-level")):
            with self.subTest(options=options):
                self.refused("run", self.kernel, *options, saying=saying)

    def test_waiting_without_a_listener(self) -> None:
        self.refused("run", self.kernel, "--wait", saying="--gdb")

    def test_addresses_that_are_none(self) -> None:
        for address in ("here", ":99999", ":", "unix:", "unix:/nowhere/at/all/socket", "1.2.3.4.5:7"):
            with self.subTest(address=address):
                self.refused("run", self.kernel, "--gdb", address, saying="listen|address|path")

    def test_a_port_in_use(self) -> None:
        with Guest(init="while :; do sleep 1; done", gdb=True) as guest:
            listen = guest.argv[guest.argv.index("--gdb") + 1]
            self.refused("run", self.kernel, "--gdb", listen, saying="in use")
            guest.wait_for("guest: init")
            self.assertTrue(guest.running)

    def test_a_command_line_longer_than_the_kernel_takes(self) -> None:
        self.refused("run", self.kernel, "--append", "x" * 5000, saying="command line")

    def test_help_and_version_are_no_errors(self) -> None:
        place = the_place()
        for argv, word in ((["--help"], "run"), (["run", "--help"], "--initrd"), (["--version"], "ringside ")):
            process = place.popen([*place.program(), *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, err), (0, ""))
            self.assertIn(word, out)

    def test_no_permission_on_dev_kvm(self) -> None:
        """On this host, whatever the place: as another user where this one may do anything."""
        if not os.path.exists("/dev/kvm"):
            self.skipTest("there is no /dev/kvm")
        root = os.geteuid() == 0
        if os.stat("/dev/kvm").st_mode & 0o002 if root else os.access("/dev/kvm", os.W_OK):
            self.skipTest("anybody may use /dev/kvm here")
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if root else {}
        with tempfile.TemporaryDirectory(prefix="ringside-nobody-") as directory:
            os.chmod(directory, 0o755)
            program = shutil.copy(ringside(), directory)
            kernel = shutil.copy(kernels.get("6.1").vmlinuz, directory)
            os.chmod(kernel, 0o644)
            done = subprocess.run([program, "run", kernel], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=60, cwd="/", **nobody)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
        self.assertRegex(done.stderr, "^ringside: .*/dev/kvm.*(?i:permission).*group")


if __name__ == "__main__":
    unittest.main()
