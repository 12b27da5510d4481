# SPDX-License-Identifier: Apache-2.0
"""The part of JSON Schema that `iicpctl schema` uses, and the schemas of the built program."""

import functools
import json
import subprocess

from conftest import clean_environment, program

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


@functools.cache
def schema(name):
    made = subprocess.run([program("iicpctl"), "schema", name], capture_output=True, text=True, timeout=60,
                          env=clean_environment())
    assert made.returncode == 0, f"no schema {name}: {made.stderr}"
    return json.loads(made.stdout)


def is_of(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def complaints(value, rule, place="$"):
    """What is wrong, one text each."""
    kinds = rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of(value, k) for k in kinds):
        yield f"{place}: {json.dumps(value)[:80]} is not {' or '.join(kinds)}"
        return
    if "const" in rule and value != rule["const"]:
        yield f"{place}: {value!r} is not {rule['const']!r}"
    if isinstance(value, dict):
        for name in rule.get("required", []):
            if name not in value:
                yield f"{place}: no {name}"
        for name, inner in rule.get("properties", {}).items():
            if name in value:
                yield from complaints(value[name], inner, f"{place}.{name}")
    if isinstance(value, list) and "items" in rule:
        for i, item in enumerate(value):
            yield from complaints(item, rule["items"], f"{place}[{i}]")


def check(document):
    """A document of ours is as its schema says."""
    assert isinstance(document, dict) and document.get("schema", "").startswith("iicp."), document
    name = document["schema"].removeprefix("iicp.").removesuffix("/1")
    assert not list(complaints(document, schema(name))), list(complaints(document, schema(name)))


def lines(name, rule, place=""):
    """One line a member: what is frozen."""
    kinds = rule.get("type", "any")
    yield f"{name}{place} {kinds if isinstance(kinds, str) else '|'.join(kinds)}"
    for member, inner in sorted(rule.get("properties", {}).items()):
        if member != "schema":
            yield from lines(name, inner, f"{place}.{member}")
    if "items" in rule:
        yield from lines(name, rule["items"], place + "[]")
