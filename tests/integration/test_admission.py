# SPDX-License-Identifier: Apache-2.0
"""Provider admission through the built daemon. [02 section 11]"""

import time

from test_backends import control, models_known, posts
from test_lifecycle import ADMISSION, LIFECYCLE, demo, envelope, hang, live, submit, tokens, who  # noqa: F401


def outcome(answer):
    return answer.json()["error"].get("outcome")


def test_ADMISSION_01_accepted_until(demo):
    for path, profiles, status in (("/v1/task", [ADMISSION], 200), ("/v1/tasks", [ADMISSION, LIFECYCLE], 202)):
        now = time.time()
        answer = demo.post(path, envelope(profiles=profiles, constraints={"timeout_ms": 5000}), who("alice"))
        assert answer.status == status
        admission = answer.json()["admission"]
        assert admission["outcome"] == "accepted" and set(admission) == {"outcome", "accepted_until"}
        until = time.mktime(time.strptime(admission["accepted_until"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        assert now - 1 < until <= now + 6
    assert "admission" not in demo.post("/v1/task", envelope(profiles=[])).json()


def test_ADMISSION_02_unknown_profile(live, backend):
    for path, profiles in (("/v1/task", [ADMISSION, "urn:iicp:profile:unknown:v1"]),
                           ("/v1/tasks", [ADMISSION, LIFECYCLE, "urn:iicp:profile:unknown:v1"])):
        answer = live.post(path, envelope(profiles=profiles), who("alice"))
        assert answer.status == 422 and outcome(answer) == "unsupported_profile"
        assert answer.json()["error"]["profile"] == "urn:iicp:profile:unknown:v1"
        assert "retry_after_ms" not in answer.json()["error"]
    assert not posts(backend)


def test_ADMISSION_03_no_slot(node_factory, backend, tokens):
    node = node_factory(backend=backend, auth__caller_tokens=f"file:{tokens}", limits__max_concurrent=1)
    models_known(node)
    hang(backend)
    first = submit(node)
    answer = node.post("/v1/task", envelope(profiles=[ADMISSION]))
    assert answer.status == 429 and outcome(answer) == "capacity_exceeded"
    assert 100 <= answer.json()["error"]["retry_after_ms"] <= 300000
    assert outcome(node.post("/v1/task", envelope(profiles=[]))) is None
    assert len(posts(backend)) == 1
    node.post(f"/v1/tasks/{first}/cancel", {}, who("alice"))


def test_ADMISSION_04_draining(demo):
    assert demo.control("/v1/drain", "POST", {}).status == 200
    answer = demo.post("/v1/task", envelope(profiles=[ADMISSION]))
    assert answer.status == 503 and outcome(answer) == "temporarily_unavailable"
    assert 100 <= answer.json()["error"]["retry_after_ms"] <= 300000
    assert demo.get("/iicp/health").json()["admission"]["availability"] == "draining"


def test_ADMISSION_05_no_time(live, backend):
    answer = live.post("/v1/task", envelope(profiles=[ADMISSION], constraints={"timeout_ms": 1}))
    assert answer.status == 504 and outcome(answer) == "deadline_unachievable"
    assert not posts(backend)
    body = envelope(profiles=[ADMISSION])
    body["intent"] = "urn:iicp:intent:tool:run:v1"
    assert outcome(live.post("/v1/task", body)) == "policy_rejected"


def test_ADMISSION_06_advertisement(demo):
    advert = demo.get("/iicp/health").json()["admission"]
    assert set(advert) == {"profile", "availability", "capacity_class", "deadline_support", "supported_profiles",
                           "observed_at", "valid_until"}
    assert advert["availability"] == "ready" and advert["capacity_class"] in ("limited", "standard", "high")
    at, until = (time.mktime(time.strptime(advert[k], "%Y-%m-%dT%H:%M:%SZ")) for k in ("observed_at", "valid_until"))
    assert 0 < until - at <= 300
    assert set(advert["supported_profiles"]) == {LIFECYCLE, ADMISSION}
