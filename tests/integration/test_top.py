# SPDX-License-Identifier: Apache-2.0
"""iicpctl top: one picture for scripts, and the screen on a pseudo terminal that is put back."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import clean_environment, program, wait_until
from test_task import task


def test_one_picture_for_scripts(node_factory, iicpctl):
    node = node_factory()
    assert node.post("/v1/task", task()).status == 200
    once = iicpctl(node, "top", "--once")
    assert once.returncode == 0 and once.stderr == ""
    assert "1 success" in once.stdout and "backend test ok" in once.stdout and "task_ended" in once.stdout
    assert "\x1b" not in once.stdout
    assert iicpctl(node, "top").stdout.splitlines()[1:3] == once.stdout.splitlines()[1:3]  # a pipe is no terminal
    assert iicpctl(node, "top", "--twice").returncode == 2


class Terminal:
    def __init__(self, node, rows=24, columns=80):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen([program("iicpctl"), "-s", str(node.control_socket), "top"], stdin=theirs, stdout=theirs,
                                        stderr=theirs, env=clean_environment({"TERM": "vt100", "PATH": os.environ["PATH"]}))
        self.seen = b""

    def read(self, wanted):
        end = time.monotonic() + 60
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen[-500:]
            if select.select([self.ours], [], [], 1)[0]:
                self.seen += os.read(self.ours, 65536)

    def restored(self):
        return termios.tcgetattr(self.theirs)[3] == self.before[3]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(node_factory):
    t = Terminal(node_factory())
    yield t
    t.close()


def test_top_on_a_terminal_shows_lists_by_key_and_ends_with_q(terminal):
    terminal.read(b"TASK ")
    assert not terminal.restored()
    for key, words in ((b"b", b"BACKEND "), (b"r", b"ROUTE "), (b"s", b"WORKER "), (b"t", b"TASK ")):
        terminal.seen = b""
        os.write(terminal.ours, key)
        terminal.read(words)
    screen = terminal.seen.split(b"\x1b[H")[-1]
    assert screen.count(b"\r\n") <= 24
    os.write(terminal.ours, b"q")
    assert terminal.process.wait(60) == 0
    terminal.read(b"\x1b[?25h")
    assert terminal.restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_top_puts_the_terminal_back_when_it_is_ended(terminal, number):
    terminal.read(b"TASK ")
    terminal.process.send_signal(number)
    assert terminal.process.wait(60) == 0
    terminal.read(b"\x1b[?25h")
    assert terminal.restored()


def test_top_puts_the_terminal_back_when_the_daemon_ends(node_factory):
    node = node_factory()
    terminal = Terminal(node)
    try:
        terminal.read(b"TASK ")
        node.stop()
        assert terminal.process.wait(60) in (3, 5)
        wait_until(terminal.restored, what="terminal")
    finally:
        terminal.close()
