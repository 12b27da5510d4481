# SPDX-License-Identifier: Apache-2.0
"""The helper of a tunnel and the built daemon: started with the operator's yes only, and gone with it.
[04 section 10, 05 section 15]"""

import os
import pathlib

import pytest

from conftest import wait_until


@pytest.fixture
def helper(tmp_path):
    """A program that says who it is and then never finds a tunnel."""
    script, said = tmp_path / "cloudflared", tmp_path / "said"
    script.write_text(f"#!/bin/sh\necho $$ $* >{said}.new; mv {said}.new {said}\nwhile :; do sleep 1; done\n")
    script.chmod(0o755)

    def words():
        return said.read_text().split() if said.exists() else None

    return script, words


def is_gone(pid):
    """Gone, or a zombie that nobody has fetched yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def start(node_factory, script, **more):
    return node_factory(config={"listen.address": None, "nat.allow_private": "no", "nat.auto": "no",
                                "directory.url": "http://127.0.0.1:9/api", "directory.allow_http": "yes",
                                "directory.register": "yes", "nat.tunnel_program": script, **more})


def test_IICPD_04_28_it_ends_with_the_daemon(node_factory, helper):
    script, words = helper
    node = start(node_factory, script, **{"nat.tunnel": "yes"})
    pid, *argv = wait_until(words, 60, "the helper", node.popen)
    assert argv == ["tunnel", "--url", f"http://127.0.0.1:{node.port}"]
    assert os.getpgid(int(pid)) == int(pid)
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes().count(b"IICP") == 0
    assert (node.state_dir / "state" / "quick_tunnel_create_gate.json").exists()
    assert node.stop() == 0
    wait_until(lambda: is_gone(pid), 30, "the end of the helper")


def test_IICPD_04_28_it_ends_with_a_daemon_that_is_killed(node_factory, helper):
    script, words = helper
    node = start(node_factory, script, **{"nat.tunnel": "yes"})
    pid = wait_until(words, 60, "the helper", node.popen)[0]
    node.expect_exit = None
    node.popen.kill()
    wait_until(lambda: is_gone(pid), 30, "the end of the helper")


def test_IICPD_04_28_nothing_is_started_without_a_yes(node_factory, helper):
    script, words = helper
    node = start(node_factory, script)
    assert node.get("/iicp/health").status == 200
    assert node.status()["state"]
    assert words() is None
    children = pathlib.Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text()
    assert children == ""
