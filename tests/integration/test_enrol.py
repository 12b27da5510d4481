# SPDX-License-Identifier: Apache-2.0
"""Registered for life: enrolment against each kind of directory, refusals, leaving and coming back."""

import json
import subprocess

import pytest

from conftest import clean_environment, program, wait_until
from test_directory import asked


def fault(lab, *names, **more):
    assert lab.post("/lab/faults", [{"name": n, **more} for n in names]).status == 200


def state_of(node):
    return json.loads((node.state_dir / "identity.json").read_text())


def registered(node):
    return wait_until(lambda: node.status()["directory"]["registered"], 30, "registered", node.popen)


@pytest.mark.parametrize("who", ["d1", "d2", "spec", "strict"])
def test_IICPD_01_01_works_with_each_directory(lab_factory, backend, node_factory, iicpctl, who):
    lab = lab_factory("--personality", who)
    node = node_factory(lab=lab, backend=backend)
    lab.post("/lab/settings", {"next_heartbeat_ms": 5000})
    assert asked(lab, "heartbeat", 1, 30)[0]["status"] == 200
    assert iicpctl(node, "reregister").returncode == 0
    assert [r["status"] for r in asked(lab, "register", 2)] == [201, 201]
    assert all(b["status"] == 200 for b in asked(lab, "heartbeat", 2, 25))
    result = iicpctl(node, "deregister", "--yes-id", state_of(node)["node_id"][:8])
    assert result.returncode == 0, result.stderr
    assert asked(lab, "deregister")[0]["status"] == 200
    assert lab.get("/lab/violations").json().get("violations", []) == []


def test_DIR_LIFECYCLE_05_a_heartbeat_with_the_replacement_token_is_accepted(lab, node, iicpctl):
    asked(lab, "heartbeat")
    assert iicpctl(node, "reregister").returncode == 0
    first, second = (r["answer"]["node_token"] for r in asked(lab, "register", 2))
    assert first != second and state_of(node)["node_token"] == second
    beat = asked(lab, "heartbeat", 2, 20)[-1]
    assert beat["status"] == 200 and beat["headers"]["authorization"] == f"Bearer {second}"


def test_DIR_LIFECYCLE_06_leaving_wipes_and_coming_back_is_possible(lab, node, iicpctl):
    asked(lab, "heartbeat")
    before = state_of(node)
    assert iicpctl(node, "deregister").returncode == 2
    assert iicpctl(node, "deregister", "--yes-id", "00000000").returncode == 1
    assert not lab.get("/lab/requests?route=deregister").json()["requests"]
    result = iicpctl(node, "--json", "deregister", "--yes-id", before["node_id"][:8])
    assert result.returncode == 0 and json.loads(result.stdout)["deregistered"] is True
    request = asked(lab, "deregister")[0]
    assert request["body"] == {"node_id": before["node_id"]}
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["x-node-id"] == before["node_id"]
    after = state_of(node)
    assert after["node_id"] == before["node_id"]
    assert after["node_token"] == after["node_hmac_key"] == after["liveness_challenge"] == ""
    assert iicpctl(node, "reregister").returncode == 0
    assert "current_node_token" not in asked(lab, "register", 2)[1]["body"]


def test_IICPD_01_49_reregister_tells_class_and_fields(lab, node, iicpctl):
    asked(lab, "heartbeat")
    fault(lab, "register-422-field")
    result = iicpctl(node, "reregister")
    assert result.returncode == 1
    assert "validation_error" in result.stderr and "region" in result.stderr
    assert "field is required" not in result.stderr + node.log_text()
    document = json.loads(iicpctl(node, "--json", "directory").stdout)["directory"]
    assert document["registered"] is True  # the old registration stays
    assert document["last_refusal_fields"] == "region" and document["next_try_ms"] > 200000
    assert iicpctl(node, "reregister").returncode == 0


def test_IICPD_01_59_a_lost_token_comes_back_without_the_operator(lab, node_factory, backend, tmp_path):
    state = tmp_path / "kept"
    state.mkdir(mode=0o700)
    first = node_factory(lab=lab, backend=backend, node__state_dir=state)
    asked(lab, "heartbeat")
    assert first.stop() == 0
    path = state / "identity.json"
    lost = json.loads(path.read_text())
    lost["node_token"] = ""
    path.write_text(json.dumps(lost))
    fault(lab, "register-403-e049-d1")  # what a directory says that takes each key without a token for another one
    node = node_factory(lab=lab, backend=backend, node__state_dir=state)
    tries = asked(lab, "register", 4, 25)[1:]
    assert [r["status"] for r in tries] == [403, 201, 201]
    assert "cx_public_key" not in tries[1]["body"]
    assert "cx_public_key" in tries[2]["body"] and tries[2]["body"]["current_node_token"]
    registered(node)
    assert json.loads(path.read_text())["node_id"] == lost["node_id"]


def test_IICPD_01_60_identity_reset_by_command(lab, node, iicpctl):
    asked(lab, "heartbeat")
    before = state_of(node)
    assert iicpctl(node, "identity", "reset").returncode == 2
    result = iicpctl(node, "identity", "reset", "--yes-id", before["node_id"][:8])
    assert result.returncode == 0, result.stderr
    again = asked(lab, "register", 2, 30)[1]
    assert again["status"] == 201 and again["body"]["node_id"] != before["node_id"]
    assert again["body"]["cx_public_key"] != asked(lab, "register")[0]["body"]["cx_public_key"]
    assert "current_node_token" not in again["body"]
    node.await_log("identity_reset new identity")


def test_DIR_ADDR_04_DIR_NODE_01_iicpctl_directory_shows_both_sides(lab, node, iicpctl):
    asked(lab, "heartbeat")
    result = iicpctl(node, "directory")
    assert result.returncode == 0
    lines = {line[:13].strip(): line[14:] for line in result.stdout.splitlines()[1:] if line[:13].strip()}
    assert "answers" in result.stdout.splitlines()[0]
    assert node.url in lines["we say"] and "1 model" in lines["we say"]
    assert "same endpoint" in lines["it says"] and "available" in lines["it says"]
    assert "ago" in lines["heartbeat"]
    me = asked(lab, "me")[-1]
    assert me["headers"]["authorization"].startswith("Bearer ") and me["headers"]["x-node-id"]
    view = json.loads(iicpctl(node, "--json", "directory").stdout)["directory"]["view"]
    assert view["me_endpoint_same"] is True and view["node"]["listed"] is True


def test_CONF_DISC_01_the_node_finds_itself_after_its_first_heartbeat(lab, node):
    asked(lab, "discover")
    node.await_log("listed the directory names this node")


def test_IICPD_01_25_a_redirect_elsewhere_gets_nothing(lab, lab_factory, node_factory, backend):
    other = lab_factory()
    lab.post("/lab/faults", {"route": "register", "status": 307, "count": 1,
                             "headers": {"Location": f"{other.url}/v1/register"}})
    node = node_factory(lab=lab, backend=backend)
    node.await_log("directory_redirect_refused")
    assert asked(lab, "register", 2, 30)[1]["status"] == 201
    assert other.get("/lab/requests").json()["requests"] == []


def test_IICPD_05_39_a_listed_origin_gets_the_write(lab, lab_factory, node_factory, backend):
    other = lab_factory()
    lab.post("/lab/faults", {"route": "register", "status": 307, "count": 1,
                             "headers": {"Location": f"{other.url}/v1/register"}})
    node_factory(lab=lab, backend=backend, directory__redirect_origins=other.url[:-len("/api")])
    register, = asked(other, "register")
    assert register["status"] == 201 and register["raw"] == asked(lab, "register")[0]["raw"]


def test_DIR_REG_08_DIR_REG_09_free_texts_go_out_as_they_are(lab, node_factory, backend, tmp_path):
    listed = [{"intent": "urn:iicp:intent:llm:chat:v1", "models": ["test-model"], "max_tokens": 4096,
               "input_modalities": ["text"], "quantization": "Q9_weird/ünïque", "inference_engine": "my engine 0.1"}]
    path = tmp_path / "capabilities.json"
    path.write_text(json.dumps(listed))
    node_factory(lab=lab, backend=backend, intents__capabilities=path)
    capability = asked(lab, "register")[0]["body"]["capabilities"][0]
    assert capability["quantization"] == "Q9_weird/ünïque" and capability["inference_engine"] == "my engine 0.1"


def check(tmp_path, name, text, env=None):
    conf = tmp_path / "checked.conf"
    conf.write_text(text)
    argv = [program(name), "--config", conf, *(["--check-config"] if name == "iicpd" else ["discover"])]
    return subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=30,
                          env=clean_environment({"HOME": str(tmp_path), **(env or {})}))


@pytest.mark.parametrize("how", ["file", "environment"])
@pytest.mark.parametrize("name", ["iicpd", "iicp"])
def test_IICPD_01_93_local_discovery_is_refused(lab, tmp_path, name, how):
    base = f"[directory]\nurl = {lab.url}\n"
    asks = "local_discovery = yes\n" if how == "file" else ""
    r = check(tmp_path, name, base + asks,
              {"IICP_LOCAL_DIRECTORY_DISCOVERY": "1"} if how == "environment" else None)
    assert r.returncode in (2, 78) and "local_discovery" in (r.stderr + r.stdout).lower().replace("directory_discovery", "local_discovery")
    assert lab.get("/lab/requests").json()["requests"] == []
    assert check(tmp_path, name, base + "local_discovery = no\n").returncode in (0, 75)


@pytest.mark.parametrize("variable, value", [
    ("IICP_MODE", "private"), ("IICP_TRUST_DOMAIN_ID", "d"), ("IICP_TRUSTED_DOMAINS", "d"),
    ("IICP_DIRECTORY_AUTHORITY", "a"), ("IICP_MEMBERSHIP", "m")])
def test_IICPD_05_57_restricted_domains_are_refused(lab, node_factory, backend, variable, value):
    node = node_factory(lab=lab, backend=backend, env={variable: value}, ready=False)
    node.expect_exit = 78
    assert node.wait(20) == 78
    assert variable in node.log_text()
    assert lab.get("/lab/requests").json()["requests"] == []


def test_IICPD_05_57_the_public_mode_is_no_restriction(lab, node_factory, backend):
    node_factory(lab=lab, backend=backend, env={"IICP_MODE": "public"})
    for request in asked(lab, "register"):
        assert not [h for h in request["headers"] if h.startswith(("x-iicp-membership", "x-iicp-subject"))]


def test_IICPD_05_36_addresses_by_the_class_of_their_source(lab, node_factory, backend, iicp, tmp_path):
    """The operator's backend and directory may be on this machine; a node that a directory names may not."""
    node_factory(lab=lab, backend=backend)
    asked(lab, "heartbeat")
    served = len(backend.get("/lab/requests").json()["requests"]) if backend.get("/lab/requests").status == 200 else None
    refused = iicp("ask", "--directory-url", lab.url, "--json", "hi")
    assert refused.returncode != 0
    assert "IICP-E033" in refused.stdout + refused.stderr or "private" in refused.stdout + refused.stderr
    if served is not None:
        assert len(backend.get("/lab/requests").json()["requests"]) == served
    conf = tmp_path / "private.conf"
    conf.write_text("[consumer]\nallow_private_endpoints = yes\n")
    allowed = iicp("ask", "--config", conf, "--directory-url", lab.url, "hi")
    assert allowed.returncode == 0, allowed.stderr
    far = tmp_path / "far.conf"
    far.write_text("[directory]\nurl = http://dir.example.org/api\n")
    r = subprocess.run([program("iicpd"), "--config", str(far), "--check-config"], capture_output=True, text=True,
                       timeout=30, env=clean_environment({"HOME": str(tmp_path)}))
    assert r.returncode == 78 and "allow_http" in r.stderr + r.stdout
