# SPDX-License-Identifier: Apache-2.0
"""The status page in headless Chromium, through chromedriver's plain HTTP. IICPD_SCREENSHOT names a file
that gets the picture of the README."""

import base64
import json
import os
import re
import shutil
import urllib.request

import pytest

from conftest import Process, clean_environment, free_port, program, wait_until
from test_task import task

pytestmark = pytest.mark.real

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1100,1000"]
TAB = "\ue004"


class Browser:
    """As much of WebDriver as is needed."""

    def __init__(self, driver_url, profile):
        self.base = driver_url
        made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [*FLAGS, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}}}})
        self.base += f"/session/{made['sessionId']}"

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script):
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})

    def devtools(self, command, **params):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def keys(self, text):
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": [
            {"type": kind, "value": text} for kind in ("keyDown", "keyUp")]}]})

    def console(self):
        return [e for e in self.ask("POST", "/se/log", {"type": "browser"}) if e["level"] == "SEVERE"]

    def picture(self):
        return base64.b64decode(self.ask("GET", "/screenshot"))


@pytest.fixture
def opened(node_factory, lab, backend, tmp_path, need):
    need("chromium", "chromedriver")
    node = node_factory(lab=lab, backend=backend, node__name="attic-gpu")
    wait_until(lambda: node.status()["state"] == "ready", what="ready", process=node.popen)
    env = clean_environment({"HOME": str(tmp_path)})
    page = Process([program("iicpctl"), "-s", node.control_socket, "page"], tmp_path, "page", env)
    port = free_port()
    driver = Process(["chromedriver", f"--port={port}"], tmp_path, "driver", env)
    browser = None
    try:
        url = page.await_words(r"http://127\.0\.0\.1:\d+/t/[0-9a-f]{32}").group(0)
        driver.await_words("started successfully", 60)
        browser = Browser(f"http://127.0.0.1:{port}", tmp_path / "profile")
        browser.open(url)
        yield node, browser
    finally:
        if browser:
            browser.ask("DELETE", "")
        driver.kill()
        page.kill()


def until(browser, script, what):
    return wait_until(lambda: browser.run(script), 60, what)


def contrast(a, b):
    def light(colour):
        parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


COLOURS = """return [...document.querySelectorAll('h1,h2,td,th,caption,.ok,.warn,.bad,#age,footer p,code')].map(e => {
  let b = e; while (b && getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)') b = b.parentElement;
  return [e.tagName, getComputedStyle(e).color, getComputedStyle(b).backgroundColor]})"""


def test_OX_55_the_page_in_a_browser(opened):
    node, browser = opened
    assert "attic-gpu" in browser.ask("GET", "/title")
    assert browser.run("return location.pathname") == "/"  # the token is gone from the address
    assert browser.run("return document.querySelectorAll('table').length") >= 6
    until(browser, "return document.getElementById('live').textContent === 'live'", "live")

    # live: tasks and a drain show up without a load
    model = node.control("/v1/models").json()["models"][0]["model"]
    browser.run("window.here = 1")
    assert node.post("/v1/task", task(model=model)).status == 200
    until(browser, "return [...document.querySelectorAll('#counts tr')].some(r => r.textContent === 'success1')", "count of tasks")
    node.control("/v1/drain", "POST", {})
    until(browser, "return document.getElementById('state').textContent.startsWith('draining')", "draining")
    node.control("/v1/undrain", "POST", {})
    until(browser, "return document.getElementById('state').textContent.startsWith('ready')", "ready")
    assert browser.run("return window.here") == 1

    # both colour schemes can be read
    seen = set()
    for scheme in ("light", "dark"):
        browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
        for tag, front, back in browser.run(COLOURS):
            assert contrast(front, back) >= 4.5, (scheme, tag, front, back)
    assert len(seen) == 2
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    if os.environ.get("IICPD_SCREENSHOT"):
        with open(os.environ["IICPD_SCREENSHOT"], "wb") as f:
            f.write(browser.picture())

    # the keyboard reaches what can be reached, in reading order
    links = browser.run("return [...document.querySelectorAll('a')].map(a => a.textContent)")
    browser.run("document.body.focus()")
    reached = []
    for _ in range(30):  # tables that scroll are stops, too
        browser.keys(TAB)
        reached += browser.run("const e = document.activeElement; return e.tagName === 'A' ? [e.textContent] : []")
        if len(reached) == len(links):
            break
    assert reached == links

    # a narrow screen does not scroll sideways
    browser.devtools("Emulation.setDeviceMetricsOverride", width=320, height=640, deviceScaleFactor=1, mobile=False)
    assert browser.run("return document.documentElement.scrollWidth") <= 320
    assert browser.console() == []  # violations of the policy would be here


def test_OX_55_the_page_without_script_in_a_browser(opened):
    _, browser = opened
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    browser.ask("POST", "/refresh", {})
    source = browser.ask("GET", "/source")
    assert source.count("<table") >= 6 and "attic-gpu" in source
    assert browser.console() == []
