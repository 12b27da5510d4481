# SPDX-License-Identifier: Apache-2.0
"""The lab's time: the machine's, or a page that a test drives (tests/lab/timewarp)."""

import mmap
import struct
import time

POLL_S = 0.002


class Clock:
    """mono() and wall() in seconds, sleep() on mono()."""

    def __init__(self, path=None):
        self.page = None
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
        while self.mono() < end:
            time.sleep(POLL_S)
