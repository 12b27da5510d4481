# SPDX-License-Identifier: Apache-2.0
"""The official clients, unmodified, against the built daemon before real inference servers: each intent they
are asked for most, sealed and in clear, over HTTP through the lab directory and in native frames. What was seen
is a table in the job's log and in client-matrix.md of the build folder; docs/client-matrix.md is one of a day."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid

import pytest

import test_native_sdk
import test_official_sdk
from conftest import BUILD, LAB, Server, clean_environment, free_port, wait_until
from test_native import native_call
from test_official_sdk import CACHE, SECRET, name_space, real_server, run_prefix, sdk, world_factory  # noqa: F401

pytestmark = pytest.mark.real

sdk_frames = test_native_sdk.sdk
PYTHON = "Python " + test_official_sdk.SDK.split("==")[1]
RUST_FOLDER = LAB / "rust-consumer"
RUST = "Rust " + re.search(r'iicp-client = .*"=([\d.]+)"', (RUST_FOLDER / "Cargo.toml").read_text()).group(1)
RUNNER = "0.3.0"
CHAT, COMPLETION, EMBEDDING = (f"urn:iicp:intent:llm:{kind}:v1" for kind in ("chat", "completion", "embedding"))
TASKS = {
    CHAT: {"model": "smollm2", "max_tokens": 12, "messages": [{"role": "user", "content": f"Say {SECRET}."}]},
    COMPLETION: {"model": "smollm2", "max_tokens": 12, "prompt": f"The {SECRET} is"},
    EMBEDDING: {"model": "minilm", "input": [f"a {SECRET}", "a kitten"]},
}


# ---- what was seen ----


@pytest.fixture(scope="session")
def matrix(request):
    """matrix(client, form, server, what, seen) adds a row; all are written at the end."""
    rows = []
    yield lambda *row: rows.append(row)
    lines = ["| client | form | behind the daemon | what | seen |", "| --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    (BUILD / "client-matrix.md").write_text("\n".join(lines) + "\n")
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    for line in ["", "client matrix:", *lines]:
        terminal.write_line(line)


def judge(intent, result):
    """What came of a task in a few words; fails when it is not what the intent gives."""
    if intent == CHAT:
        text = result["choices"][0]["message"]["content"]
    elif intent == COMPLETION:
        text = result["choices"][0]["text"]
    else:
        sizes = [len(d["embedding"]) for d in result["data"]]
        assert sizes == [384, 384], sizes
        return "2 vectors of 384"
    assert isinstance(text, str) and text.strip()
    assert 0 < result["usage"]["completion_tokens"] <= 12
    return f"{result['usage']['completion_tokens']} tokens of text"


def run_tasks(matrix, client, form, server, ask):
    """Each intent by ask(intent, payload), which gives {"result"} or {"error"}; a row each."""
    wrong = []
    for intent, payload in TASKS.items():
        what = intent.split(":")[-2]
        try:
            answer = ask(intent, payload)
            assert "result" in answer and not answer.get("error"), answer
            matrix(client, form, server, what, judge(intent, answer["result"]))
        except (AssertionError, KeyError, IndexError, TypeError) as error:
            matrix(client, form, server, what, f"FAILED: {str(error)[:120]}")
            wrong.append(f"{what}: {error}")
    assert not wrong, "\n".join(wrong)


# ---- the clients ----


@pytest.fixture(scope="session")
def rust():
    """Path of the built test program of the official Rust client."""
    if not shutil.which("cargo"):
        pytest.skip("cargo is not installed")
    parts = [(RUST_FOLDER / name).read_bytes() for name in ("Cargo.toml", "src/main.rs")]
    folder = CACHE / "rust-consumer" / hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    made = folder / "rust-consumer"
    if made.exists():
        return made
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(RUST_FOLDER, folder / "source")
    for argv, limit in ((["cargo", "fetch", "-q"], 300), (["cargo", "build", "-q"], 900)):
        try:
            done = subprocess.run(argv, cwd=folder / "source", capture_output=True, text=True, timeout=limit,
                                  stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{RUST} cannot be built: {error}")
        if done.returncode and (argv[1] == "fetch" or "rustc" in done.stderr and "main.rs" not in done.stderr):
            pytest.skip(f"{RUST} cannot be had: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    (folder / "source" / "target" / "debug" / "rust-consumer").rename(made)
    shutil.rmtree(folder / "source")
    return made


def run_json(argv, env=None, timeout=120):
    """Lines of JSON of a program."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=timeout,
                          env=clean_environment(env), stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- the servers ----


@pytest.fixture
def world_before(world_factory, real_server, tmp_path):  # noqa: F811
    """world_before("llama.cpp", sealed=True): daemon and lab directory before a real server that has all."""
    def make(server, sealed):
        config = {"encryption.enabled": sealed, "intents.capabilities": tmp_path / "capabilities.json",
                  "listen.native": "plaintext"}
        (tmp_path / "capabilities.json").write_text(json.dumps(
            [{"intent": CHAT, "models": ["smollm2"], "max_tokens": 256, "input_modalities": ["text"]},
             {"intent": COMPLETION, "max_tokens": 256}, {"intent": EMBEDDING, "models": ["minilm"]}]))
        if server == "Ollama":
            config |= {"backend.real.type": "ollama", "backend.real.url": real_server("ollama", MODEL="smollm2,minilm")}
        else:
            config |= {"backend.text.type": "llamacpp", "backend.text.url": real_server("llama-server", MODEL="smollm2"),
                       "backend.vectors.type": "llamacpp", "backend.vectors.url": real_server("embed")}
        world = world_factory(config)
        wait_until(lambda: all(b["list_ok"] for b in world.node.status()["backends"]), what="model lists",
                   process=world.node.popen)
        return world

    return make


SERVERS = pytest.mark.parametrize("server", ["llama.cpp", "Ollama"])
PROTECTION = pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "clear"])


def check_wire(world, sealed):
    seen = world.seen()
    assert (b'"iicp_conf"' in seen) == sealed and (b'"iicp_conf_resp"' in seen) == sealed
    assert (SECRET.encode() in seen) != sealed


def form_of(sealed):
    return "HTTP, sealed" if sealed else "HTTP, clear"


def switch(sealed):
    """The documented word of both clients that they may speak in clear."""
    return None if sealed else {"IICP_CX_ALLOW_PLAINTEXT": "1"}


@SERVERS
@PROTECTION
def test_python_client(matrix, world_before, server, sealed):
    world = world_before(server, sealed)
    run_tasks(matrix, PYTHON, form_of(sealed), server, lambda intent, payload: world.consumer(
        "task", intent, json.dumps(payload), env=switch(sealed)))
    check_wire(world, sealed)


@SERVERS
@PROTECTION
def test_rust_client(matrix, world_before, rust, server, sealed):
    world = world_before(server, sealed)

    def ask(intent, payload):
        return run_json([*world.prefix, rust, "submit" if sealed else "submit-clear", world.lab.url, intent,
                         json.dumps(payload), uuid.uuid4()], switch(sealed))[-1]

    run_tasks(matrix, RUST, form_of(sealed), server, ask)
    check_wire(world, sealed)


@SERVERS
def test_native_frames_of_both_clients(matrix, world_before, sdk_frames, request, server):
    world = world_before(server, False)
    at = (world.node.host, world.node.port)
    pairs = [text for intent, payload in TASKS.items() for text in (intent, json.dumps(payload))]

    def run(client, argv):
        said = {line["intent"]: line for line in run_json([*world.prefix, *argv, *at, *pairs]) if "intent" in line}
        run_tasks(matrix, client, "native frames", server, lambda intent, _: said[intent])

    run(PYTHON, [sdk_frames, LAB / "sdk_native.py", "call"])
    run(RUST, [request.getfixturevalue("rust"), "native"])
    assert "native_fault" not in world.node.log_text()


# ---- the Rust client's frames, and its node ----


def test_IICPD_03_37_rust_client_at_our_port(matrix, rust, node_factory, backend, run_prefix):  # noqa: F811
    node = node_factory(backend=backend, node__id="node-a", listen__native="plaintext")
    chat = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    lines = run_json([*run_prefix, rust, "native", node.host, node.port, CHAT, chat, CHAT, '{"nothing":1}', CHAT, chat])
    said = {}
    for line in lines[:3]:
        said.update(line)
    assert said == {"peer": "node-a", "framing": 1, "ping": "abc", "discovered": 0}
    good, wrong, again = lines[3:]
    assert good["result"]["choices"][0]["message"]["content"] == "Hello from the fake." and again == good
    assert "422" in wrong["error"]
    events = run_json([*run_prefix, rust, "stream", node.host, node.port, CHAT, chat, *(uuid.uuid4() for _ in range(3))])
    assert not any("error" in e for e in events), events
    assert "".join(e["result"] or "" for e in events) == "Hello from the fake."
    assert [e["final"] for e in events] == [False] * (len(events) - 1) + [True] and events[-1]["status"] == "success"
    assert "native_fault" not in node.log_text()
    matrix(RUST, "native frames", "fake", "handshake, ping, discover, refusal, stream", f"{len(events)} events")


def test_IICPD_03_30_our_client_at_the_rust_node(matrix, rust, tmp_path):
    port = free_port()
    node = Server([rust, "node", port], tmp_path, "rust-node", clean_environment({"HOME": str(tmp_path)}))
    try:
        wait_until(lambda: "ok" in quiet_health(node), what="health", process=node.popen)
        answers, state = native_call(node.host, node.port, '{"messages":[]}')
        assert state["state"] == "ready" and len(answers) == 1 and not answers[0]["failed"], answers
        assert "from the Rust node" in json.dumps(answers[0]["result"])
        answers, state = native_call(node.host, node.port, '{"messages":[]}', uuid.uuid4())
        assert state["state"] == "ready" and not answers[-1]["failed"], answers
        matrix("ours (native-call)", "native frames", "node of " + RUST, "call, lifecycle call", "answered")
    finally:
        node.kill()


def quiet_health(node):
    try:
        return node.get("/iicp/health").text
    except OSError:
        return ""


# ---- conformance ----


@pytest.fixture(scope="session")
def conformance():
    """Path of the published conformance runner."""
    folder = CACHE / "conformance" / RUNNER
    python, program = folder / "bin" / "python", folder / "bin" / "iicp-conformance"
    if not (folder / ".done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for argv in ([sys.executable, "-m", "venv", folder],
                     [python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                      f"iicp-conformance[signing]=={RUNNER}"]):
            try:
                made = subprocess.run(argv, capture_output=True, text=True, timeout=300)
            except (OSError, subprocess.TimeoutExpired) as error:
                pytest.skip(f"iicp-conformance cannot be installed: {error}")
            if made.returncode:
                words = (made.stderr.strip() or "no words").splitlines()
                pytest.skip(f"iicp-conformance cannot be installed: {words[-1]}")
        (folder / ".done").touch()
    return program


def words_of(conformance, *args):
    done = subprocess.run([*map(str, (conformance, *args))], capture_output=True, text=True, timeout=60,
                          env=clean_environment(), stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


def outcome(path):
    """Passed and failed of a result bundle, by test."""
    results = json.loads(path.read_text())["results"]
    return {r["test_id"] for r in results if r["outcome"] == "pass"}, {r["test_id"] for r in results if r["outcome"] != "pass"}


def test_conformance_has_no_profile_of_a_node(matrix, conformance):
    """Fails when a release brings one: then it is to be run here."""
    code, text = words_of(conformance, "run", "--help")
    profiles = re.search(r"--profile \{([\w,-]+)\}", text).group(1).split(",")
    assert code == 0 and all(p.startswith("directory-") for p in profiles), profiles
    matrix(f"iicp-conformance {RUNNER}", "profiles of a node", "-", "run", f"none: {', '.join(profiles)}")


def test_conformance_offline_fixtures(matrix, conformance, tmp_path):
    """The runner about its own vectors; what we make of the same vectors is the unit tests' matter."""
    code, text = words_of(conformance, "--help")
    verbs = re.findall(r"verify-[\w-]+-fixture", text.split("}", 1)[0])
    assert code == 0 and len(verbs) >= 5
    for verb in verbs:
        bundle = tmp_path / f"{verb}.json"
        code, text = words_of(conformance, verb, "--evidence-class", "self-attested", "--output", bundle)
        assert code == 0, text
        passed, failed = outcome(bundle)
        assert passed and not failed, failed
        code, text = words_of(conformance, "verify", bundle)
        assert code == 0 and json.loads(text)["valid"], text
        matrix(f"iicp-conformance {RUNNER}", "offline", "-", verb, f"{len(passed)} pass")


def test_conformance_of_the_lab_directory(matrix, conformance, run_prefix, tmp_path):  # noqa: F811
    """How near the lab's directory is to a published one. It takes no telemetry: proxies only send it."""
    strict = Server([sys.executable, LAB / "directory.py", "--port", "0"], tmp_path, "strict-lab",
                    clean_environment(), run_prefix)
    try:
        bundle = tmp_path / "public.json"
        done = subprocess.run([*run_prefix, conformance, "run", "--target", strict.url.removesuffix("/api"), "--profile",
                               "directory-public-v1", "--evidence-class", "self-attested", "--output", bundle],
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        passed, failed = outcome(bundle)
        assert failed == {"DIR-TEL-01"}, done.stdout + done.stderr
        matrix(f"iicp-conformance {RUNNER}", "directory-public-v1", "lab directory", "run",
               f"{len(passed)} pass, not offered: {', '.join(failed)}")
    finally:
        strict.kill()


@pytest.mark.parametrize("mode", ["open", "required"])
def test_CONF_REG_01_CONF_HEALTH_01_CONF_REACH_01_CONF_DISC_01_self_check_of_the_sdk(
        matrix, world_factory, backend, tmp_path, mode):  # noqa: F811
    (tmp_path / "callers").write_text("tester:lavender\n")
    (tmp_path / "callers").chmod(0o600)
    world = world_factory({"backend.test.type": "openai_compat", "backend.test.url": backend.url, "auth.mode": mode,
                           "auth.caller_tokens": f"file:{tmp_path}/callers"})
    wait_until(lambda: world.node.status()["backends"][0]["list_ok"], what="models", process=world.node.popen)
    report = world.consumer("selfcheck", world.node_id(), str(world.node.port), world.recorder.url)
    for probe, seen in sorted(report.items()):
        matrix(PYTHON, f"self-check, auth.mode = {mode}", "fake", probe, "pass" if seen["passed"] else seen["message"])
    assert set(report) == {"CONF-REG-01", "CONF-HEALTH-01", "CONF-REACH-01", "CONF-DISC-01"}
    assert all(seen["passed"] for seen in report.values()), report


def test_TASK_1_python_client_at_a_node_that_asks_who(matrix, world_factory, backend, tmp_path):  # noqa: F811
    (tmp_path / "callers").write_text("tester:lavender\n")
    (tmp_path / "callers").chmod(0o600)
    world = world_factory({"backend.test.type": "openai_compat", "backend.test.url": backend.url,
                           "auth.mode": "required", "auth.caller_tokens": f"file:{tmp_path}/callers"})
    chat = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    known = world.consumer("task", CHAT, chat, "lavender")
    unknown = [world.consumer("task", CHAT, chat, *token) for token in ((), ("thyme",))]
    matrix(PYTHON, "HTTP, sealed, auth.mode = required", "fake", "a caller's token, none, a wrong one",
           ", ".join("refused" if "error" in a else a["status"] for a in (known, *unknown)))
    assert "error" not in known and known["result"]["choices"], known
    assert all("error" in answer for answer in unknown), unknown
