#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at the service's sandbox from inside: run as its ExecStartPre=, as its user, under its filters.

One line for each thing that has to be impossible ("pass: ..." or "FAIL: ...")."""

import ctypes
import errno
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, CLONE_NEWUSER, PR_CAPBSET_READ = 4096, 0x10000000, 23


def refused(call, *errors):
    try:
        call()
    except OSError as error:
        return not errors or error.errno in errors
    return False


def raw(function, *args):
    """A call of the C library that must not succeed."""
    if getattr(libc, function)(*args) >= 0:
        raise AssertionError(f"{function} worked")
    raise OSError(ctypes.get_errno(), function)


def status(word):
    with open("/proc/self/status") as f:
        return next(line.split()[1] for line in f if line.startswith(word + ":"))


def executable_memory():
    import mmap
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def write(path):
    return lambda: open(path, "w").close()


def suid_file():
    path = "/var/lib/iicp/.probe"
    try:
        open(path, "w").close()
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


CHECKS = {
    "it is not root": lambda: os.geteuid() != 0,
    "it has no capability, and can get none": lambda: status("CapEff") == status("CapBnd") == "0" * 16,
    "no new privileges": lambda: status("NoNewPrivs") == "1",
    "a system call filter is on": lambda: status("Seccomp") == "2",
    "its state folder is its own": lambda: os.stat("/var/lib/iicp").st_uid == os.geteuid(),
    "/usr cannot be written": lambda: refused(write("/usr/bin/probe"), errno.EROFS),
    "/etc cannot be written": lambda: refused(write("/etc/probe"), errno.EROFS),
    "home folders are not there": lambda: all(refused(lambda p=p: os.listdir(p)) for p in ("/home", "/root")),
    "/tmp is its own": lambda: not os.path.exists("/tmp/of-the-machine"),
    "devices are not there": lambda: not any(os.path.exists(p) for p in ("/dev/kmsg", "/dev/mem", "/dev/sda", "/dev/fuse")),
    "processes of others are not there": lambda: not os.path.exists("/proc/1"),
    "kernel settings are not there": lambda: not os.path.exists("/proc/sys"),
    "control groups cannot be written": lambda: refused(lambda: os.mkdir("/sys/fs/cgroup/probe")),
    "no mount": lambda: refused(lambda: raw("mount", b"/etc", b"/tmp", None, MS_BIND, None), errno.EPERM),
    "no name space": lambda: refused(lambda: raw("unshare", CLONE_NEWUSER), errno.EPERM),
    "no packet socket": lambda: refused(lambda: socket.socket(socket.AF_PACKET), errno.EAFNOSUPPORT),
    "no memory that is written and run": lambda: refused(executable_memory, errno.EPERM),
    "no setuid file": lambda: refused(suid_file, errno.EPERM),
    "no real-time priority": lambda: refused(
        lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), errno.EPERM),
    "no other clock": lambda: refused(lambda: os.system and __import__("time").clock_settime(0, 1), errno.EPERM),
    "no key ring": lambda: refused(lambda: raw("syscall", 250, 0, -3, 0), errno.EPERM, errno.ENOSYS),
}

bad = 0
for text, check in CHECKS.items():
    try:
        good, why = check(), ""
    except Exception as error:  # whatever it is, the check did not hold
        good, why = False, f" ({error})"
    print(f"{'pass' if good else 'FAIL'}: {text}{why}", flush=True)
    bad += not good
sys.exit(bool(bad))
