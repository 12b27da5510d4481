# SPDX-License-Identifier: Apache-2.0
"""The lab's time: the machine's, or a page that a test drives (tests/lab/timewarp)."""

import mmap
import os
import struct
import threading
import time

POLL_S = 0.001
WAITS, WAIT, OURS = 256, struct.Struct("<qq"), 16  # as in timewarp.c


class Clock:
    """mono() and wall() in seconds, sleep() on mono()."""

    def __init__(self, path=None):
        self.page, self.lock = None, threading.Lock()
        if path:
            with open(path, "r+b") as f:
                self.page = mmap.mmap(f.fileno(), 4096)

    def mono(self):
        if self.page is None:
            return time.monotonic()
        mono_us, asleep_us = struct.unpack_from("<qq", self.page)
        return (mono_us + asleep_us) / 1e6  # a directory does not sleep when a node does

    def wall(self):
        if self.page is None:
            return time.time()
        return struct.unpack_from("<q", self.page, 24)[0] / 1e6 + self.mono()

    def sleep(self, seconds):
        if self.page is None:
            time.sleep(max(0.0, seconds))
            return
        end = self.mono() + seconds
        at = self._say(end)
        while self.mono() < end:
            time.sleep(POLL_S)
        if at:
            WAIT.pack_into(self.page, at, 0, 0)

    def _say(self, end):
        """Tells the hand that turns the clock until when we wait; where that stands."""
        asleep_us, = struct.unpack_from("<q", self.page, 8)
        with self.lock:
            for at in range(WAITS, WAITS + OURS * WAIT.size, WAIT.size):
                if WAIT.unpack_from(self.page, at)[0] == 0:
                    WAIT.pack_into(self.page, at, os.getpid(), int(end * 1e6) - asleep_us)
                    return at
        return None
