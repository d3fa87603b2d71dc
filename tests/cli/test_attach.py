"""`ringside attach` and `--gdb fd:N` as programs; no guest is needed.

usage: test_attach.py RINGSIDE
"""

import os
import socket
import subprocess
import sys
import tempfile
import unittest

RINGSIDE = sys.argv.pop(1) if len(sys.argv) > 1 else "ringside"


class Attach(unittest.TestCase):
    def start(self, *argv: str) -> subprocess.Popen:
        process = subprocess.Popen([RINGSIDE, "attach", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def refused(self, *argv: str, saying: str, pass_fds: tuple[int, ...] = ()) -> None:
        done = subprocess.run([RINGSIDE, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                              pass_fds=pass_fds)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
        self.assertRegex(done.stderr, f"^ringside: .*{saying}")

    def talk(self, server: socket.socket, address: str) -> None:
        client = self.start(address)
        connection, _ = server.accept()
        with connection:
            client.stdin.write(b"+$?#3f\x00\xff")
            client.stdin.flush()
            self.assertEqual(connection.recv(100), b"+$?#3f\x00\xff")
            connection.sendall(b"+$T05#b9")
            self.assertEqual(client.stdout.read(8), b"+$T05#b9")
        self.assertEqual(client.stdout.read(), b"")
        self.assertEqual(client.wait(20), 0)

    def test_it_is_a_pipe_to_a_tcp_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self.talk(server, f":{port}")
            self.talk(server, f"localhost:{port}")

    def test_it_is_a_pipe_to_a_unix_socket(self) -> None:
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            server.bind(folder + "/s")
            server.listen()
            self.talk(server, f"unix:{folder}/s")
            self.talk(server, f"{folder}/s")

    def test_its_callers_end_is_its_own(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = self.start(f":{server.getsockname()[1]}")
            connection, _ = server.accept()
            with connection:
                client.stdin.close()
                self.assertEqual(connection.recv(100), b"")
            self.assertEqual(client.wait(20), 0)
            client.stdin = None

    def test_what_cannot_be_reached_is_said_in_one_line(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.refused("attach", f":{port}", saying="cannot connect to :[0-9]+: Connection refused")
        self.refused("attach", "unix:/nowhere/s", saying="cannot connect to unix:/nowhere/s: No such file")
        self.refused("attach", "nowhere", saying='"nowhere" is no address')
        self.refused("attach", "fd:5", saying="for --gdb")
        self.refused("attach", saying="address")

    def test_descriptors_that_cannot_serve_are_refused(self) -> None:
        read, write = os.pipe()
        try:
            self.refused("run", "/dev/null", "--gdb", f"fd:{read}", saying="is no socket", pass_fds=(read,))
            self.refused("run", "/dev/null", "--gdb", f"fd:{read}", saying="has not been inherited")
            self.refused("run", "/dev/null", "--gdb", "fd:1", saying="in use")
        finally:
            os.close(read)
            os.close(write)


if __name__ == "__main__":
    unittest.main()
