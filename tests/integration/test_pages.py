# SPDX-License-Identifier: Apache-2.0
"""Manual pages that are made from the sources say what the sources say."""

import re
import subprocess
import sys

from conftest import TREE


def page(name):
    return (TREE / "docs" / name).read_text()


def entries(text, section):
    part = text.split(f".Sh {section}\n", 1)[1].split("\n.Sh ", 1)[0]
    return re.findall(r"^\.It (?:\d+ )?Cm (\S+)(?: Pq (.*))?$", part, re.M)


def test_OX_1_the_page_has_every_finding_with_its_weight_and_no_other():
    table = (TREE / "daemon" / "findings" / "catalogue.c").read_text()
    code = dict(re.findall(r'\{"([a-z]+\.[a-z0-9_]+)", GROUP_\w+, SEVERITY_(\w+),', table))
    assert len(code) > 50
    assert {k: v.lower() for k, v in code.items()} == dict(entries(page("iicpd-findings.7"), "FINDINGS"))


def test_OX_1_the_page_has_every_guidance_code_and_error_code():
    text = page("iicpd-findings.7")
    words = (TREE / "daemon" / "guidance.c").read_text()
    assert [e[0] for e in entries(text, "GUIDANCE CODES")] == re.findall(r'^        \{"([a-z0-9_]+)",', words, re.M)
    codes = re.findall(r'\{"(IICP-E\d+)",', (TREE / "daemon" / "iicpctl" / "explain_words.c").read_text())
    assert [e[0] for e in entries(text, "ERROR CODES") if e[0].startswith("IICP-")] == codes and len(codes) > 10


LOG_CALL = re.compile(r'\blog_(err|warn|notice|info|debug)\(\s*"([a-z0-9_]+)"|\blog_event\(([^";]*)"([a-z0-9_]+)"')


def test_OX_40_the_page_of_events_is_what_the_sources_write():
    levels = {}
    for source in (TREE / "daemon").rglob("*.c"):
        for plain, name, given, other in LOG_CALL.findall(source.read_text()):
            levels.setdefault(name or other, set()).update([plain] if plain else [w.lower() for w in re.findall(r"LOG_L_(\w+)", given)])
    shown = {name: set(level.split(", ")) for name, level in entries(page("iicpd-events.7"), "EVENTS")}
    assert len(levels) > 100 and set(levels) <= set(shown)
    assert {n for n in levels if not levels[n] <= shown[n]} == set()
    # names that a choice picks, like reregister_fail, are on the page, too, and each stands in the sources
    everything = "".join(p.read_text() for p in (TREE / "daemon").rglob("*.c"))
    assert [n for n in shown if f'"{n}"' not in everything] == []


def test_OX_40_each_event_of_the_page_has_its_words_and_what_to_do():
    part = page("iicpd-events.7").split(".Sh EVENTS\n")[1].split("\n.Sh ")[0]
    for entry in part.split("\n.It Cm ")[1:]:
        assert "\nDo: " in entry, f"explain_words.c does not know {entry.split()[0]}"


def test_OX_25_the_generator_of_the_page_of_events_works():
    made = subprocess.run([sys.executable, TREE / "docs" / "make-events-page"], capture_output=True, text=True, check=True)
    assert set(entries(page("iicpd-events.7"), "EVENTS")) >= set(entries(made.stdout, "EVENTS")), "make generate"
