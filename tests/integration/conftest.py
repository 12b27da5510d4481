# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: the built daemon, the lab directory and the strict backend run
as processes of their own. IICPD_BUILD names the build folder (default: build/ beside the sources).

Nothing here sleeps by the clock: a start is awaited through the process's own words or answers, and
each wait ends when the process does."""

import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

# A shell that runs the tests in the background has turned these off; those we start shall hear them.
for _off in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_off) is signal.SIG_IGN:
        signal.signal(_off, signal.default_int_handler)

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("IICPD_BUILD", TREE / "build")).resolve()
LAB = TREE / "tests" / "lab"

START_S = 20  # a sanitizer build on a busy machine is slow to start
STOP_S = 45   # longer than the default drain time

SANITIZER = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer"
)


def program(name):
    """Path of a built program; libtool's wrapper when there is one."""
    sub = {"iicpd": "daemon", "iicpctl": "daemon/iicpctl", "iicp": "daemon/iicp"}[name]
    for path in (BUILD / sub / name, BUILD / "daemon" / name):
        if path.is_file():
            return str(path)
    pytest.fail(f"{name} is not built below {BUILD}")


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def wait_until(condition, timeout=START_S, what="condition", process=None):
    """Asks again in short turns until condition() is true; ends early when the process does."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise AssertionError(f"{what}: process ended with {process.returncode}")
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        else:
            select.select([], [], [], 0.01)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Answer:
    def __init__(self, response, body):
        self.status, self.reason = response.status, response.reason
        self.headers, self.body = response.headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.text[:200]}>"


def ask(connection, method, path, body=None, headers=None):
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    if isinstance(body, str):
        body = body.encode()
    try:
        with contextlib.suppress(BrokenPipeError):  # answered before the body was read: the answer is there
            connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


def die_with_parent():
    """In the child: a killed test run leaves nothing behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    """A child in its own process group, its words kept in files, ended at the end of the test."""

    def __init__(self, argv, folder, name, env=None, prefix=()):
        self.argv = [*prefix, *map(str, argv)]
        self.out_path, self.err_path = folder / f"{name}.out", folder / f"{name}.err"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
                start_new_session=True, cwd=folder, preexec_fn=die_with_parent)

    @property
    def pid(self):
        return self.popen.pid

    def out_text(self):
        return self.out_path.read_text("utf-8", "replace")

    def log_text(self):
        return self.err_path.read_text("utf-8", "replace")

    def await_words(self, pattern, timeout=START_S):
        return wait_until(lambda: re.search(pattern, self.out_text() + self.log_text()), timeout,
                          f"{pattern!r} of {self.argv}\n{self.log_text()}", self.popen)

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=STOP_S):
        return self.popen.wait(timeout)

    def stop(self, timeout=STOP_S):
        if self.running():
            self.popen.terminate()
        try:
            return self.popen.wait(timeout)
        finally:
            self.kill()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Server(Process):
    """A lab program that says its URL in its first line."""

    def __init__(self, argv, folder, name, env=None, prefix=()):
        super().__init__(argv, folder, name, env, prefix)
        try:
            self.url = self.await_words(r"https?://[^\s\"',]+").group(0).rstrip("/.;")
        except BaseException:
            self.kill()
            raise
        host, _, port = self.url.split("//", 1)[1].split("/", 1)[0].rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)

    def request(self, method, path, body=None, headers=None, timeout=30):
        return ask(http.client.HTTPConnection(self.host, self.port, timeout=timeout), method, path,
                   body, headers)

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body=None, headers=None):
        return self.request("POST", path, body, headers)


class Node(Process):
    """A running iicpd with its own port, state and runtime folder."""

    def __init__(self, folder, name, config, env=None, args=(), prefix=(), ready=True):
        self.folder = folder
        self.config = dict(config)
        self.state_dir, self.runtime_dir = folder / "state", folder / "run"
        self.control_socket = self.runtime_dir / "control.sock"
        self.host = self.config["listen.address"] or "127.0.0.1"  # none: on all addresses
        self.port = int(self.config["listen.port"])
        self.url = f"http://[{self.host}]:{self.port}" if ":" in self.host else \
            f"http://{self.host}:{self.port}"
        self.expect_exit = 0
        self.conf = folder / "iicp.conf"
        self.write_config()
        self.prefix = tuple(prefix)
        super().__init__([program("iicpd"), "--config", self.conf, *args], folder, name,
                         clean_environment(env), prefix)
        if ready:
            self.await_ready()

    def write_config(self, **changes):
        """Writes the file anew; a value of None leaves the key out."""
        self.config.update(flat(changes))
        self.conf.write_text(render(self.config))

    def await_ready(self, timeout=START_S):
        try:
            if self.prefix:  # in another network name space: only the socket is reachable
                wait_until(lambda: self._quiet(lambda: self.control("/v1/status").status == 200),
                           timeout, "control socket", self.popen)
            else:
                wait_until(lambda: self._quiet(lambda: self.get("/iicp/health").status == 200),
                           timeout, "health", self.popen)
        except AssertionError as error:
            self.expect_exit = None
            raise AssertionError(f"iicpd did not start: {error}\n{self.log_text()}") from None

    @staticmethod
    def _quiet(call):
        try:
            return call()
        except (OSError, http.client.HTTPException):
            return None

    def request(self, method, path, body=None, headers=None, timeout=30):
        return ask(http.client.HTTPConnection(self.host, self.port, timeout=timeout), method, path,
                   body, headers)

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body=None, headers=None):
        return self.request("POST", path, body, headers)

    def raw(self, data, timeout=10):
        """Sends bytes as they are on a new connection, returns all that comes until it is closed."""
        with socket.create_connection((self.host, self.port), timeout) as s:
            s.sendall(data)
            got = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return got
                got += piece

    def control(self, path, method="GET", body=None, timeout=30):
        return ask(UnixConnection(self.control_socket, timeout), method, path, body)

    def status(self):
        return self.control("/v1/status").json()

    def metric(self, name, **labels):
        """Value of one series of the operator's metrics, 0 when it is not there; labels as far as given."""
        total = 0.0
        for line in self.control("/v1/metrics").text.splitlines():
            m = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if m and m.group(1) == name:
                have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m.group(2) or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total += float(m.group(3))
        return total

    def await_log(self, pattern, timeout=START_S):
        return wait_until(lambda: re.search(pattern, self.log_text()), timeout,
                          f"log line {pattern!r}", self.popen)

    def finish(self):
        """End of the test: an orderly stop, clean exit, nothing from a sanitizer."""
        try:
            code = self.stop()
        finally:
            self.kill()
        log = self.log_text()
        found = SANITIZER.search(log)
        assert not found, log[max(0, found.start() - 200):][:6000]
        if self.expect_exit is not None:
            assert code == self.expect_exit, f"iicpd ended with {code}\n{log[-4000:]}"


def flat(keywords):
    """limits__max_concurrent=2 -> {"limits.max_concurrent": 2}"""
    return {k.replace("__", "."): v for k, v in keywords.items()}


def render(config):
    sections = {}
    for key, value in config.items():
        section, _, name = key.rpartition(".")
        if value is None:
            continue
        section = section.replace("backend.", "backend ", 1) if section.startswith("backend.") else section
        for v in value if isinstance(value, (list, tuple)) else [value]:
            v = {True: "yes", False: "no"}.get(v, v) if isinstance(v, bool) else v
            sections.setdefault(section, []).append(f"{name} = {v}")
    return "".join(f"[{s}]\n" + "\n".join(lines) + "\n\n" for s, lines in sections.items())


def clean_environment(extra=None):
    env = {k: v for k, v in os.environ.items()
           if not re.match(r"IICP|OTEL_|NOTIFY_SOCKET|LISTEN_|WATCHDOG|CREDENTIALS|"
                           r"(HTTPS?|ALL|NO)_PROXY|https?_proxy|all_proxy|no_proxy|JOURNAL_STREAM", k)}
    env.update({k: v for k, v in os.environ.items() if k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")})
    env["LC_ALL"] = "C.UTF-8"
    env.update(extra or {})
    return env


# ---- fixtures ----


def pytest_configure(config):
    config.addinivalue_line("markers", "real: needs real inference servers or routers; runs with IICPD_LAB=yes")


def pytest_collection_modifyitems(config, items):
    """Tests against real inference servers are a job of their own (.ci/run lab)."""
    if os.environ.get("IICPD_LAB") == "yes":
        return
    real = [i for i in items if i.get_closest_marker("real")]
    if real:
        config.hook.pytest_deselected(items=real)
        items[:] = [i for i in items if i not in real]


def official_sdk(spec, name):
    """Python of a virtual environment with the pinned SDK of PyPI, kept in the lab's cache; skips without it."""
    cache = pathlib.Path(os.environ.get("IICPD_LAB_CACHE", pathlib.Path.home() / ".cache" / "iicpd-lab"))
    folder = cache / name / spec.split("==")[1]
    python = folder / "bin" / "python"
    if (folder / ".done").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    for argv in ([sys.executable, "-m", "venv", folder],
                 [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", spec]):
        try:
            made = subprocess.run(argv, capture_output=True, text=True, timeout=300)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{spec} cannot be installed: {error}")
        if made.returncode:
            words = (made.stderr.strip() or made.stdout.strip()).splitlines()
            pytest.skip(f"{spec} cannot be installed: {words[-1] if words else made.returncode}")
    (folder / ".done").touch()
    return python


@pytest.fixture
def run_prefix():
    """Words before each started command; a test file overrides it to move into a name space."""
    return ()


@pytest.fixture
def lab_factory(tmp_path, run_prefix):
    made = []

    def make(*args):
        script = LAB / "directory.py"
        server = Server([sys.executable, script, "--port", "0", "--allow-private", *args], tmp_path,
                        f"lab{len(made)}", clean_environment(), run_prefix)
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def lab(lab_factory):
    """The strict lab directory on loopback."""
    return lab_factory()


@pytest.fixture
def backend_factory(tmp_path, run_prefix):
    made = []

    def make(*args):
        server = Server([sys.executable, LAB / "fake_backend.py", "--port", "0", *args], tmp_path,
                        f"backend{len(made)}", clean_environment(), run_prefix)
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def backend(backend_factory):
    """The strict fake of an inference server."""
    return backend_factory()


@pytest.fixture
def node_factory(tmp_path, run_prefix):
    """node_factory(lab=…, backend=…, limits__max_concurrent=2, …) starts an iicpd.

    config={"section.key": value} is the same as section__key=value; a list repeats the key, None
    leaves a default of the fixture out. env=, args= go to the process; ready=False does not wait."""
    made = []

    def make(lab=None, backend=None, config=None, env=None, args=(), ready=True, **keys):
        folder = tmp_path / f"node{len(made)}"
        for sub in ("state", "run"):
            (folder / sub).mkdir(parents=True, exist_ok=True, mode=0o700)
        values = {
            "node.state_dir": folder / "state",
            "node.runtime_dir": folder / "run",
            "listen.address": "127.0.0.1",
            "listen.port": free_port(),
            "listen.port_strict": "yes",
            "nat.allow_private": "yes",
            "log.format": "text",
        }
        if lab is not None:
            values["directory.url"] = lab.url
        else:
            values["directory.register"] = "no"
        if backend is not None:
            values["backend.test.type"] = "openai_compat"
            values["backend.test.url"] = backend.url
        else:
            values["backend.test.type"] = "demo"
        values.update(config or {})
        values.update(flat(keys))
        node = Node(folder, "iicpd", values, env, args, run_prefix, ready=False)
        made.append(node)
        if ready:
            node.await_ready()
        return node

    yield make
    failures = []
    for node in made:
        try:
            node.finish()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)


@pytest.fixture
def node(node_factory, lab, backend):
    """One iicpd at the lab directory with the strict backend."""
    return node_factory(lab=lab, backend=backend)


class Driven:
    """A node, its directory and its backend on driven time (tests/lab/timewarp.py)."""

    def __init__(self, warp, lab, backend, node):
        self.warp, self.lab, self.backend, self.node = warp, lab, backend, node
        self.advance = warp.advance
        for p in (lab, backend, node):
            warp.watch(p.pid, p.port)

    def until(self, condition, seconds, what):
        """Lets at most so many simulated seconds go by."""
        end = self.warp.now() + seconds
        while not (value := condition()):
            assert self.warp.now() < end, f"{what}: not within {seconds} s\n{self.node.log_text()[-3000:]}"
            self.advance(1)
        return value

    def asked(self, route):
        return self.lab.get(f"/lab/requests?route={route}").json()["requests"]

    def registered(self):
        return self.until(lambda: self.asked("heartbeat"), 60, "registered and beating")


@pytest.fixture
def driven(tmp_path, lab_factory, backend_factory, node_factory):
    """driven(lab=("--personality", "d1"), auth__mode="open", ...) -> Driven"""
    if b"__asan_" in pathlib.Path(program("iicpd")).read_bytes():
        pytest.skip("driven time is a preload, and AddressSanitizer wants to come first")
    sys.path.insert(0, str(LAB))
    import timewarp
    warps = []

    def make(lab=(), env=None, **keys):
        warp = timewarp.Warp(tmp_path)
        if warp.library is None:
            pytest.skip("no compiler for the preload of driven time")
        directory = lab_factory("--clock", warp.path, "--no-limits", *lab)
        backend = backend_factory()
        node = node_factory(lab=directory, backend=backend, env={**warp.environment(), **(env or {})}, **keys)
        warps.append(warp)
        return Driven(warp, directory, backend, node)

    yield make
    for warp in warps:
        warp.run_free()


@pytest.fixture
def iicp(tmp_path, run_prefix):
    """iicp("ask", "Hello", env={…}) -> subprocess.CompletedProcess with text"""
    def run(*args, env=None, timeout=60, **options):
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        result = subprocess.run([*run_prefix, program("iicp"), *map(str, args)], text=True,
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                                env=clean_environment({"HOME": str(home), **(env or {})}), **options)
        assert not SANITIZER.search(result.stderr), result.stderr[-6000:]
        return result

    return run


@pytest.fixture
def iicpctl(run_prefix):
    """iicpctl(node, "status", "--json") -> subprocess.CompletedProcess with text"""
    def run(node, *args, env=None, timeout=60):
        result = subprocess.run([*run_prefix, program("iicpctl"), "-s", str(node.control_socket),
                                 *map(str, args)], text=True, stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=timeout, env=clean_environment(env))
        assert not SANITIZER.search(result.stderr), result.stderr[-6000:]
        return result

    return run


@pytest.fixture(scope="session")
def need():
    """need("nginx") skips the test with a message when a program is not there."""
    def check(*names):
        for name in names:
            if not shutil.which(name):
                pytest.skip(f"{name} is not installed")

    return check
