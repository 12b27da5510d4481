# SPDX-License-Identifier: Apache-2.0
"""The status page as bytes, and the loopback server of iicpctl page. In a browser: test_page_browser.py."""

import html.parser
import http.client
import re
import subprocess

import pytest

from conftest import Process, clean_environment, program, wait_until
from test_task import task

CSP = ("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
       "form-action 'none'; frame-ancestors 'none'")


@pytest.fixture
def page(node_factory, tmp_path):
    """A node with an awkward name, and iicpctl page in front of it."""
    made = []

    def make(node):
        process = Process([program("iicpctl"), "-s", node.control_socket, "page"], tmp_path, "page", clean_environment())
        made.append(process)
        process.url = process.await_words(r"http://127\.0\.0\.1:\d+/t/[0-9a-f]{32}").group(0)
        process.port = int(re.search(r":(\d+)/", process.url).group(1))
        return process

    yield make
    for process in made:
        process.kill()


def get(page, path, headers=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


class Shape(html.parser.HTMLParser):
    """Balanced tags, and what a check of accessibility asks for."""

    VOID = {"meta", "link", "br", "rect", "path"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.problems = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if any(name == "style" or name.startswith("on") for name, _ in attrs):
            self.problems.append((tag, attrs))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}>")


def test_OX_55_the_page_is_complete_without_script(node_factory):
    node = node_factory()
    assert node.post("/v1/task", task()).status == 200
    answer = node.control("/")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Content-Security-Policy"] == CSP
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    shape = Shape()
    shape.feed(answer.text)
    assert shape.problems == [] and shape.open == []
    tags = [t for t, _ in shape.tags]
    assert tags.count("table") == tags.count("caption") >= 6
    assert tags.count("h1") == 1 and tags.count("h2") >= 6
    image = next(a for t, a in shape.tags if t == "svg")
    assert image["role"] == "img" and "slots are in use" in image["aria-label"]
    assert "http-equiv" in answer.text and "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace(node.url, "")
    for words in ("Tasks", "Backends", "Models", "Route", "Directory", "Last events", node.status()["node"]["node_id"]):
        assert words in answer.text, words
    assert len(node.control("/page.js").body) <= 8192
    assert node.control("/page.css").headers["Content-Type"].startswith("text/css")
    assert node.control("/icon.svg").status == 200


def test_OX_55_foreign_text_is_never_markup(node_factory, backend):
    backend.post("/_control", {"models": ["<b>x</b>&'"]})
    node = node_factory(backend=backend)
    text = wait_until(lambda: (t := node.control("/").text) and "&lt;b&gt;" in t and t, what="the model", process=node.popen)
    assert "<b>" not in text and "&lt;b&gt;x&lt;/b&gt;&amp;&#39;" in text


def test_OX_55_one_time_address_becomes_a_cookie(node_factory, page):
    node = node_factory()
    p = page(node)
    host = {"Host": f"127.0.0.1:{p.port}"}
    assert get(p, "/")[0].status == 403  # no cookie
    answer, _ = get(p, "/t/" + "0" * 32)
    assert answer.status == 403
    answer, _ = get(p, p.url.split(str(p.port))[1])
    assert answer.status == 303 and answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    with_cookie = {**host, "Cookie": cookie.split(";")[0]}
    answer, text = get(p, "/", with_cookie)
    assert answer.status == 200 and "<h1>" in text and answer.headers["Content-Security-Policy"] == CSP
    assert get(p, "/v1/status", with_cookie)[0].status == 200
    assert get(p, p.url.split(str(p.port))[1])[0].status == 403  # it was good once
    assert get(p, "/", {**with_cookie, "Cookie": "iicp_page=" + "0" * 32})[0].status == 403
    assert get(p, "/", {**with_cookie, "Host": "evil.example"})[0].status == 403
    assert get(p, "/", {**with_cookie, "Host": f"evil.example:{p.port}"})[0].status == 403
    for method in ("POST", "PUT", "DELETE"):
        assert get(p, "/v1/drain", with_cookie, method)[0].status == 405
    assert node.status()["draining"] is None


def test_OX_55_the_daemon_opens_no_port_for_the_page(node_factory, page, need):
    need("ss")
    node = node_factory()

    def listening():
        text = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
        return [line.split()[3] for line in text.splitlines() if f"pid={node.pid}," in line]

    before = listening()
    page(node)
    assert listening() == before
    assert node.get("/").status == 404


def test_page_ends_with_the_signal_and_says_when_the_daemon_is_gone(node_factory, page, iicpctl, tmp_path):
    node = node_factory()
    p = page(node)
    cookie = get(p, p.url.split(str(p.port))[1])[0].headers["Set-Cookie"].split(";")[0]
    node.stop()
    wait_until(lambda: get(p, "/", {"Cookie": cookie})[0].status == 502, what="502")
    p.signal(2)
    p.wait()
    assert iicpctl(node, "page").returncode == 3
