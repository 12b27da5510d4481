# SPDX-License-Identifier: Apache-2.0
"""What a task leaves behind: nothing. And what the documents say about it."""

import pathlib
import re

import pytest

from conftest import wait_until
from test_encryption import current, encrypted
from test_operate import check
from test_task import refused, task

TREE = pathlib.Path(__file__).resolve().parents[2]
PROMPT, SAID = "a prompt that only one place may see", "words that only the caller may read"


def traces_of(node, *words):
    found = []
    for path in [*node.folder.rglob("*"), node.err_path, node.out_path]:
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            found += [(path, w) for w in words if w.encode() in data]
    return found


@pytest.mark.parametrize("level", ["info", "debug"])
def test_IICPD_05_44_a_task_leaves_nothing_on_the_disk(node_factory, lab, backend, level):
    node = node_factory(lab=lab, backend=backend, log__level=level, log__tasks="yes")
    wait_until(lambda: node.get("/iicp/health").json()["models"], what="models", process=node.popen)
    backend.post("/_control", {"text": SAID})
    payload = {"messages": [{"role": "user", "content": PROMPT}]}
    assert node.post("/v1/task", task(payload=payload)).status == 200
    assert node.post("/v1/task", encrypted(current(node), payload)[0]).status == 200
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "status": 500, "body": SAID}]})
    assert SAID not in node.post("/v1/task", task(payload=payload)).text
    limits = pathlib.Path(f"/proc/{node.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert SAID not in node.get("/metrics").text and PROMPT not in node.control("/v1/tasks").text
    node.stop()
    assert traces_of(node, PROMPT, SAID) == []


def test_SEC_PRIV_01_the_documents_say_who_reads_a_task():
    for name in ("docs/iicpd.8", "README.md"):
        text = " ".join((TREE / name).read_text().split())
        assert re.search(r"execut\w+ .{0,160}reads? (it|the task) in clear", text), name


def test_IICPD_02_42_dispatch_admission_is_off(node_factory, tmp_path):
    node = node_factory()
    assert node.post("/v1/task", task(), headers={"X-IICP-Dispatch-Ticket": "nonsense"}).status == 200
    assert node.post("/v1/task", task(dispatch_ticket="nonsense")).status == 200
    refused(node.post("/v1/task", task(payload={})), 422, "validation_error")
    done, _ = check(tmp_path, "[tasks]\ndispatch_admission = yes\n")
    assert done.returncode == 78 and "tasks.dispatch_admission" in done.stdout
