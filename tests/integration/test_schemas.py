# SPDX-License-Identifier: Apache-2.0
"""Every document has a schema, answers are as it says, and what was published stays."""

import json

import pytest

from conftest import TREE, wait_until
from schema import check, complaints, lines, schema
from test_task import task

FROZEN = TREE / "tests" / "vectors" / "schemas.txt"


@pytest.fixture
def demo(node_factory):
    return node_factory()


def names(demo):
    return demo.control("/v1/schema").json()["names"]


def test_OX_3_the_validator_can_say_no():
    rule = schema("drain")
    assert list(complaints({"schema": "iicp.drain/1", "draining": True, "running": 0}, rule)) == []
    for wrong in ({"schema": "iicp.drain/1", "draining": "yes", "running": 0}, {"schema": "iicp.drain/2", "draining": True,
                  "running": 0}, {"schema": "iicp.drain/1", "draining": True}, []):
        assert list(complaints(wrong, rule)) != []


def test_OX_3_each_row_of_the_index_names_a_schema(demo):
    listed = set(names(demo))
    rows = demo.control("/v1").json()["resources"]
    assert {r["schema"] for r in rows if "schema" in r} <= listed
    for name in listed:
        document = demo.control(f"/v1/schema/{name}").json()
        assert document["title"] == f"iicp.{name}/1" and document == schema(name)
    assert demo.control("/v1/schema/nothing").status == 404


def test_OX_3_answers_are_as_their_schemas_say(demo):
    assert demo.post("/v1/task", task()).status == 200
    for row in demo.control("/v1").json()["resources"]:
        if row["method"] == "GET" and "*" not in row["path"] and row.get("schema") and row["path"] != "/v1/events":
            check(demo.control(row["path"]).json())
    for path in ("drain", "undrain", "reload", "reregister", "redetect", "selftest", "rotate-key", "deregister"):
        check(demo.control(f"/v1/{path}", "POST", {}).json())
    for line in demo.control("/v1/events?follow=0&tasks=1").text.splitlines():
        if line.startswith("data: "):
            check(json.loads(line[6:]))


def test_OX_3_answers_of_a_registered_node(node_factory, lab, backend):
    node = node_factory(lab=lab, backend=backend)
    wait_until(lambda: node.status()["directory"]["state"] == "registered", what="registered")
    for path in ("status", "directory", "models", "backends", "routes", "config", "credits", "findings"):
        check(node.control(f"/v1/{path}").json())
    check(node.control("/v1/reregister", "POST", {}).json())


def test_OX_3_what_was_published_stays(demo):
    """Only additions: each line of the frozen list is still true. New members are added to it by hand."""
    now = {line for name in names(demo) for line in lines(name, schema(name))}
    frozen = set(FROZEN.read_text().splitlines())
    assert frozen - now == set()


def test_OX_3_schemas_without_a_daemon(iicpctl, tmp_path):
    class Nobody:
        control_socket = tmp_path / "none.sock"

    listed = iicpctl(Nobody, "schema").stdout.split()
    assert "status" in listed and "error" in listed
    assert json.loads(iicpctl(Nobody, "schema", "status").stdout)["title"] == "iicp.status/1"
    check(json.loads(iicpctl(Nobody, "--json", "schema").stdout))
    failed = iicpctl(Nobody, "--json", "schema", "nothing")
    assert failed.returncode == 1
    check(json.loads(failed.stdout))
