# SPDX-License-Identifier: Apache-2.0
"""Proxies: those of the environment are nobody's business here, those in front are believed only where the
operator says so. [05 section 13.6]"""

import socket
import uuid

import pytest

from conftest import wait_until

CHAT = "urn:iicp:intent:llm:chat:v1"


def task():
    return {"task_id": str(uuid.uuid4()), "intent": CHAT, "payload": {"messages": [{"role": "user", "content": "Hi"}]}}


@pytest.fixture
def proxy():
    """An address that the environment names as a proxy, and its listener."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        s.setblocking(False)
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        yield s, {name: url for name in names}


def nobody_came(listener):
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_IICPD_05_40_environment_proxies_are_ignored(node_factory, lab_factory, backend, proxy, iicp, tmp_path):
    listener, env = proxy
    folder = tmp_path / "tls"
    lab = lab_factory("--tls", folder, "--allow-private")  # https goes through the library
    node = node_factory(lab=lab, backend=backend, env=env, directory__ca_file=folder / "ca.pem")
    wait_until(lambda: node.status()["directory"].get("registered"), what="registration", process=node.popen)
    assert node.post("/v1/task", task()).status == 200
    conf = tmp_path / "client.conf"
    conf.write_text(f"[directory]\nurl = {lab.url}\nca_file = {folder / 'ca.pem'}\n[consumer]\nallow_private_endpoints = yes\n")
    asked = iicp("ask", "Hello", "--config", conf, env=env)
    assert asked.returncode == 0, asked.stderr
    nobody_came(listener)


@pytest.mark.parametrize("trusted", [False, True])
def test_IICPD_05_40_forwarded_addresses_count_from_trusted_proxies_only(node_factory, trusted):
    keys = {"listen__trusted_proxies": "127.0.0.1"} if trusted else {}
    node = node_factory(limits__per_address=1, directory__register="no", **keys)
    statuses = [node.post("/v1/task", task(), {"X-Forwarded-For": address}).status
                for address in ("198.51.100.1", "198.51.100.2", "198.51.100.1")]
    # without trust all three come from loopback, which the limit leaves alone, whatever they say
    assert statuses == ([200, 200, 429] if trusted else [200, 200, 200])
