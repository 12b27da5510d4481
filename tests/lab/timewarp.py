# SPDX-License-Identifier: Apache-2.0
"""Driven time for real processes: the page that timewarp.c and the lab directory read, and the hand that
turns it. Time moves only while everybody waits, so that a busy machine makes a test slower, not wrong."""

import mmap
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parent / "timewarp.c"
START_US = 10_000_000_000     # a machine that is up for some hours
STEP_S = 5.0                  # time moves at most so far at once
SETTLE_S = 0.0015             # until a waiting process has looked at the page
PATIENCE_S = 6.0              # a process that never rests does not stop the time for ever
MONO, ASLEEP, STEP, EPOCH = 0, 8, 16, 24
NETLINK_SOCK_DIAG = 4
# All TCP sockets over IPv4 that are established or listen. (/proc/net/tcp would also list those of the past.)
DIAG_REQUEST = struct.pack("<IHHII", 72, 20, 0x301, 1, 0) + struct.pack("<BBBBI", 2, 6, 0, 0, 1 << 1 | 1 << 10) + bytes(48)
WAITS, WAIT = 256, struct.Struct("<qq")  # pid, end in microseconds


def build(folder):
    """Path of the built preload, None without a compiler."""
    cc = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    made = pathlib.Path(folder) / "timewarp.so"
    if cc and not made.exists():
        subprocess.run([cc, "-shared", "-fPIC", "-O2", SOURCE, "-o", made, "-ldl"], check=True, timeout=120)
    return made if cc else None


class Warp:
    def __init__(self, folder, wall_s=None):
        self.path = pathlib.Path(folder) / "time.page"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self._set(MONO, START_US)
        self._set(EPOCH, int((wall_s or time.time()) * 1e6) - START_US)
        self.library = build(folder)
        self.pids, self.ports = {}, set()
        self.slow_steps = self.steps = 0
        self.diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)

    def _get(self, at):
        return struct.unpack_from("<q", self.page, at)[0]

    def _set(self, at, value):
        struct.pack_into("<q", self.page, at, value)

    def environment(self):
        """For a process whose time is driven."""
        return {"LD_PRELOAD": str(self.library), "TIMEWARP_PAGE": str(self.path)}

    def watch(self, pid, *ports):
        """Time waits for this process, and for bytes on the way to or from these ports."""
        self.pids[pid] = None
        self.ports.update(ports)

    def forget(self, pid):
        """It has ended, perhaps while it waited."""
        self.pids.pop(pid, None)
        for at in range(WAITS, len(self.page), WAIT.size):
            if abs(WAIT.unpack_from(self.page, at)[0]) == pid:
                WAIT.pack_into(self.page, at, 0, 0)

    def now(self):
        """Seconds as the lab directory counts them."""
        return (self._get(MONO) + self._get(ASLEEP)) / 1e6

    def awake(self):
        """Seconds without those of being suspended."""
        return self._get(MONO) / 1e6

    # ---- moving ----

    def advance(self, seconds):
        end = self._get(MONO) + int(seconds * 1e6)
        while self._get(MONO) < end:
            self.settle()
            now = self._get(MONO)
            self._set(MONO, min(end, now + int(STEP_S * 1e6), max(now + 1000, self.next_end())))
        self.settle()

    def run_free(self):
        """From now on time goes by itself, as fast as the real one, while a process is left."""
        def run():
            while any(os.path.exists(f"/proc/{pid}") for pid in self.pids):
                time.sleep(0.01)
                self._set(MONO, self._get(MONO) + 10_000)
        threading.Thread(target=run, daemon=True).start()

    def suspend(self, seconds):
        """The machine sleeps: the monotonic clock stands, the others go on."""
        self.settle()
        self._set(ASLEEP, self._get(ASLEEP) + int(seconds * 1e6))

    def step_wall(self, seconds):
        """Somebody sets the wall clock wrong by so much."""
        self._set(STEP, int(seconds * 1e6))

    # ---- are all waiting? ----

    def settle(self):
        self.steps += 1
        end, calm = time.monotonic() + PATIENCE_S, 0
        while calm < 2:
            time.sleep(SETTLE_S)
            calm = calm + 1 if self.at_rest() else 0
            if time.monotonic() > end:
                self.slow_steps += 1
                return

    def next_end(self):
        """When the first of those that wait has waited enough."""
        return min((end for pid, end in WAIT.iter_unpack(self.page[WAITS:]) if pid in self.pids),
                   default=self._get(MONO) + int(STEP_S * 1e6))

    def at_rest(self):
        return self.next_end() > self._get(MONO) and not any(map(self.running, list(self.pids))) and \
            not self.bytes_on_the_way()

    def running(self, pid):
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/stat", "rb") as f:
                    if f.read().rpartition(b")")[2].split()[0] in (b"R", b"D"):
                        return True
        except OSError:
            pass  # it has ended
        return False

    def bytes_on_the_way(self):
        """Unread bytes or unaccepted connections of the ports that are watched."""
        self.diag.send(DIAG_REQUEST)
        found = False
        while True:
            data, at = self.diag.recv(1 << 18), 0
            while at + 16 <= len(data):
                size, kind = struct.unpack_from("<IH", data, at)
                if kind in (2, 3):  # error, done
                    return found
                here, there = struct.unpack_from(">HH", data, at + 20)
                unread, = struct.unpack_from("<I", data, at + 16 + 56)
                found = found or bool(unread and (here in self.ports or there in self.ports))
                at += size + 3 & ~3
