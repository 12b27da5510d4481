# SPDX-License-Identifier: Apache-2.0
"""The official Python SDK, unmodified, as a consumer of iicpd: discover and chat through the lab
directory, as shipped (encrypted both ways) and with its documented switch for clear text.

The SDK refuses loopback and private providers in one of its two passes, whatever its switch says
(06 section 10.4). So everything runs in a network name space that has one public-looking address on
its loopback interface and no way out. A recorder stands before the node: what was readable on the
way is checked in its file."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from conftest import LAB, Server, clean_environment, free_port, official_sdk, wait_until

SDK = "iicp-client==0.7.109"
PUBLIC = "20.20.20.20"  # only inside the name space
CACHE = pathlib.Path(os.environ.get("IICPD_LAB_CACHE", pathlib.Path.home() / ".cache" / "iicpd-lab"))
SECRET = "heliotrope"  # a word of the prompt that must not be readable on the wire


@pytest.fixture(scope="session")
def sdk():
    return official_sdk(SDK, "sdk")


@pytest.fixture(scope="module")
def name_space():
    """Words that run a command in a network name space of its own, where PUBLIC is on lo."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("unshare, nsenter and ip are needed")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    holder = subprocess.Popen(
        ["unshare", *user, "--net", "sh", "-c",
         f"ip link set lo up && ip addr add {PUBLIC}/32 dev lo && echo up && exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if holder.stdout.readline() != b"up\n":
        reason = holder.communicate()[1].decode().strip()
        pytest.skip(f"no network name space here: {reason}")
    enter = ["--user", "--preserve-credentials"] if user else []
    yield ("nsenter", "--target", str(holder.pid), "--net", *enter, "--")
    holder.communicate()


@pytest.fixture
def run_prefix(name_space):
    return name_space


class World:
    def __init__(self, lab, node, recorder, wire, sdk, prefix, folder):
        self.lab, self.node, self.recorder, self.wire = lab, node, recorder, wire
        self.sdk, self.prefix, self.folder = sdk, prefix, folder

    def consumer(self, verb, *args, env=None, timeout=120):
        env = clean_environment({"HOME": str(self.folder), **(env or {})})
        done = subprocess.run([*self.prefix, str(self.sdk), str(LAB / "sdk_consumer.py"), self.lab.url,
                               verb, *args], text=True, capture_output=True, timeout=timeout, env=env,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def seen(self):
        return self.wire.read_bytes()

    def node_id(self):
        return json.loads((self.node.state_dir / "identity.json").read_text())["node_id"]


@pytest.fixture
def world_factory(sdk, name_space, lab_factory, node_factory, tmp_path):
    made = []

    def make(backend_config, **keys):
        lab = lab_factory()
        port = free_port()
        wire = tmp_path / f"wire{len(made)}"
        wire.touch()
        recorder = Server([sys.executable, LAB / "recorder.py", "--listen", f"{PUBLIC}:0", "--to",
                           f"127.0.0.1:{port}", "--file", wire], tmp_path, f"recorder{len(made)}",
                          prefix=name_space)
        made.append(recorder)
        config = {"listen.port": port, "node.public_endpoint": recorder.url, "node.region": "eu-central",
                  "backend.test.type": None, **backend_config}
        node = node_factory(lab=lab, config=config, **keys)
        wait_until(lambda: node.status().get("directory", {}).get("registered"), what="registration",
                   process=node.popen)
        return World(lab, node, recorder, wire, sdk, name_space, tmp_path)

    yield make
    for recorder in made:
        recorder.kill()


@pytest.fixture
def world(world_factory, backend):
    return world_factory({"backend.test.type": "openai_compat", "backend.test.url": backend.url})


def check_chat(world, *args, **options):
    answer = world.consumer("chat", f"Say the word {SECRET} once.", *args, **options)
    assert "error" not in answer, answer
    assert answer["node_id"] == world.node_id()
    assert isinstance(answer["text"], str)
    return answer


def test_official_sdk_discovers_the_node(world):
    found = world.consumer("discover")
    assert found.get("nodes") == [world.node_id()], found


def test_official_sdk_chats_encrypted_as_shipped(world):
    answer = check_chat(world)
    assert answer["text"].strip()
    seen = world.seen()
    assert b'"iicp_conf"' in seen and b'"iicp_conf_resp"' in seen
    assert SECRET.encode() not in seen
    assert answer["text"].encode() not in seen
    assert world.node.running()


def test_official_sdk_submits_encrypted(world):
    answer = world.consumer("submit", f"The word is {SECRET}.")
    assert answer.get("status") in ("success", "completed"), answer
    assert answer["result"]["choices"][0]["message"]["content"].strip()
    assert SECRET.encode() not in world.seen()


def test_official_sdk_refuses_a_node_without_key(world_factory, backend):
    world = world_factory({"backend.test.type": "openai_compat", "backend.test.url": backend.url,
                           "encryption.enabled": "no"})
    answer = world.consumer("chat", f"The word is {SECRET}.")
    assert "error" in answer, answer
    assert SECRET.encode() not in world.seen()


def test_official_sdk_chats_in_clear_with_its_switch(world_factory, backend):
    world = world_factory({"backend.test.type": "openai_compat", "backend.test.url": backend.url,
                           "encryption.enabled": "no"})
    check_chat(world, env={"IICP_CX_ALLOW_PLAINTEXT": "1"})
    assert SECRET.encode() in world.seen()


def test_official_sdk_command_line_query(world, sdk):
    env = clean_environment({"HOME": str(world.folder), "IICP_DIRECTORY_URL": world.lab.url})
    done = subprocess.run([*world.prefix, str(sdk.parent / "iicp-node"), "query", "--timeout-ms", "60000",
                           f"Say {SECRET}."], text=True, capture_output=True, timeout=120, env=env,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert SECRET.encode() not in world.seen()


# ---- with real inference servers ----


@pytest.fixture
def real_server(name_space, tmp_path):
    """real_server("llama-server", MODEL="smollm2") -> URL inside the name space"""
    script = LAB / "real-backend.sh"
    started = []

    def start(kind, **env):
        env = clean_environment({"PATH": os.environ["PATH"], **env})
        port = str(free_port())
        # packages and models come from outside of the name space, so: once outside, then inside
        for prefix in ((), name_space):
            try:
                done = subprocess.run([*prefix, str(script), kind, port, str(CACHE)], text=True,
                                      capture_output=True, timeout=900, env=env, stdin=subprocess.DEVNULL)
            except subprocess.TimeoutExpired:
                pytest.skip(f"{kind} did not install in time")
            if done.returncode or "ready" not in done.stdout:
                words = (done.stderr.strip() or done.stdout.strip()).splitlines()
                pytest.skip(f"{kind} does not start here: {words[-1] if words else done.returncode}")
            if not prefix:
                subprocess.run([str(script), "stop", port, str(CACHE)], timeout=60, check=False)
        started.append(port)
        return f"http://127.0.0.1:{port}"

    yield start
    for port in started:
        subprocess.run([str(script), "stop", port, str(CACHE)], timeout=60, check=False)


@pytest.mark.real
@pytest.mark.parametrize("kind, backend_type, model", [
    ("llama-server", "llamacpp", "smollm2"),
    ("llama-server", "llamacpp", "tiny"),
    ("ollama", "ollama", "smollm2"),
])
def test_official_sdk_chats_with_a_real_server(world_factory, real_server, kind, backend_type, model):
    url = real_server(kind, MODEL=model)
    world = world_factory({"backend.real.type": backend_type, "backend.real.url": url})
    answer = check_chat(world)
    seen = world.seen()
    assert b'"iicp_conf"' in seen and b'"iicp_conf_resp"' in seen
    assert SECRET.encode() not in seen
    assert 0 < answer["completion_tokens"] <= 24
    assert model in answer["model"]
    if model == "smollm2":
        assert len(answer["text"].split()) >= 2
