# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 on the task port: both protocols behind one handshake, certificates that change."""

import contextlib
import datetime
import http.client
import json
import socket
import ssl
import struct
import subprocess
import threading
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import clean_environment, free_port, program, wait_until
from native import CALL, CLOSE, PING, PONG, Native, call_of, closed_with, frame


def certificate(folder, name="iicpd.example", days=90):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256()))
    paths = folder / "tls.crt", folder / "tls.key"
    for path, data in zip(paths, (cert.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))):
        path.unlink(missing_ok=True)
        path.touch(0o600)
        path.write_bytes(data)
    return paths


def context(alpn=None, most=None):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if alpn:
        c.set_alpn_protocols(alpn)
    if most:
        c.maximum_version = most
    return c


def serial(s):
    return x509.load_der_x509_certificate(s.getpeercert(True)).serial_number


class Secure:
    """What the node's own helpers do, inside TLS."""

    def __init__(self, node, folder):
        self.node, self.folder = node, folder
        self.host, self.port = node.host, node.port

    def socket(self, **keys):
        return context(**keys).wrap_socket(socket.create_connection((self.host, self.port), 20))

    def connection(self):
        return http.client.HTTPSConnection(self.host, self.port, timeout=20, context=context())

    def native(self, **keys):
        return Native(self.node, wrap=context().wrap_socket, **keys)


@pytest.fixture
def secure(node_factory, backend, tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder)
    node = node_factory(backend=backend, ready=False, listen__tls_cert=f"file:{cert}", listen__tls_key=f"file:{key}")
    wait_until(lambda: node._quiet(lambda: node.control("/v1/status").status == 200), what="start", process=node.popen)
    return Secure(node, folder)


def task(content="hi"):
    return json.dumps({"task_id": str(uuid.uuid4()), "intent": "urn:iicp:intent:llm:chat:v1",
                       "payload": {"messages": [{"role": "user", "content": content}]}})


def post(connection, body, **headers):
    connection.request("POST", "/v1/task", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_IICPD_02_06_http_and_frames_behind_one_handshake(secure):
    c = secure.connection()
    for _ in range(3):
        status, body = post(c, task())
        assert status == 200 and json.loads(body)["status"] == "success"
    with secure.socket() as s:
        assert s.version() == "TLSv1.3"
    with secure.native() as n:
        n.send(PING, {1: b"x"})
        assert n.read() == (PONG, {1: b"x"})
        assert n.call()[4] == "success"
        n.send(CLOSE)
        assert n.rest() == frame(CLOSE, {1: "graceful"})
    with secure.native() as n:
        n.send(0xee, b"\xa0")
        assert closed_with(n.rest()) == "unknown_type"


def test_IICPD_02_06_anything_else_is_closed_without_reply(secure):
    for sent in (b"GET /iicp/health HTTP/1.1\r\nHost: x\r\n\r\n", frame(PING), b"\x15"):
        assert secure.node.raw(sent) == b""
    with pytest.raises(ssl.SSLError):
        secure.socket(most=ssl.TLSVersion.TLSv1_2)
    with contextlib.closing(secure.connection()) as c:
        c.request("GET", "/iicp/health")
        assert c.getresponse().status == 200


def test_IICPD_02_06_alpn_offers_http(secure):
    with secure.socket(alpn=["h2", "http/1.1"]) as s:
        assert s.selected_alpn_protocol() == "http/1.1"
    with secure.socket(alpn=["h2"]) as s:
        assert s.selected_alpn_protocol() is None
        s.sendall(b"GET /iicp/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert s.recv(12) == b"HTTP/1.1 200"


def test_IICPD_02_06_peer_address_and_scheme_are_known(secure, lab):
    """An https endpoint is advertised only because the port speaks TLS."""
    status = secure.node.status()
    assert status["route"]["endpoint"] == f"https://127.0.0.1:{secure.port}" or status["route"]["endpoint"] is None
    assert status["listen"]["tls"] is True and status["listen"]["certificate_until"]
    assert "plain_listener" not in secure.node.log_text() and "native_plaintext" not in secure.node.log_text()


def test_IICPD_02_06_large_bodies_both_ways(secure):
    c = secure.connection()
    status, body = post(c, task("x" * 900000))
    assert status == 200, body[:200]
    with secure.socket() as s:
        s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 1100000\r\n\r\n{")
        assert s.recv(12) == b"HTTP/1.1 413"


def test_IICPD_02_06_keep_alive_survives_idle_times(secure):
    """A kept connection is given back to the listener after a second; its next request is served."""
    c = secure.connection()
    assert post(c, task())[0] == 200
    # the door lets go of it, the listener keeps it: nothing on the wire tells, but a request later must work
    waiter = threading.Event()
    waiter.wait(2.5)
    assert post(c, task())[0] == 200
    assert secure.node.status()["route"]["connections"] == 1
    c.close()
    wait_until(lambda: secure.node.status()["route"]["connections"] == 0, what="the end is seen")


def test_IICPD_02_06_a_reset_aborts_the_task(secure, backend):
    backend.post("/_control", {"rules": [{"path": "/v1/chat/completions", "mode": "hang"}]})
    body = task().encode()
    s = secure.socket()
    s.sendall(b"POST /v1/task HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
              + str(len(body)).encode() + b"\r\n\r\n" + body)
    wait_until(lambda: secure.node.status()["tasks"]["active"] == 1, what="it runs")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    wait_until(lambda: secure.node.status()["tasks"]["active"] == 0, what="it is aborted")


def test_IICPD_02_06_certificate_is_replaced_without_dropping(secure):
    kept = secure.connection()
    assert post(kept, task())[0] == 200
    before = serial(kept.sock)
    frames = secure.native()
    certificate(secure.folder, days=60)
    secure.node.signal(1)
    secure.node.await_log("certificate_loaded")
    with secure.socket() as s:
        assert serial(s) != before
    assert post(kept, task())[0] == 200 and serial(kept.sock) == before
    assert frames.call()[4] == "success"
    # a bad one keeps the old one
    (secure.folder / "tls.crt").write_text("no certificate\n")
    secure.node.signal(1)
    secure.node.await_log(r"err config_rejected .*the old one stays: .*listen\.tls_cert holds no certificate")
    with secure.socket() as s:
        assert serial(s) != before
    cert, key = certificate(secure.folder)
    other = secure.folder / "other"
    other.mkdir(mode=0o700)
    _, wrong = certificate(other)
    key.write_bytes(wrong.read_bytes())
    secure.node.signal(1)
    secure.node.await_log("listen.tls_key does not belong to listen.tls_cert")
    assert post(kept, task())[0] == 200


def test_OX_14_reload_with_a_bad_certificate_is_refused_as_a_whole(secure, iicpctl):
    (secure.folder / "tls.crt").write_text("no certificate\n")
    secure.node.write_config(limits__max_concurrent=9, listen__tls_cert=f"file:{secure.folder / 'tls.crt'}",
                             listen__tls_key=f"file:{secure.folder / 'tls.key'}")
    result = iicpctl(secure.node, "reload")
    assert result.returncode == 1 and "listen.tls_cert holds no certificate in PEM" in result.stderr
    assert "old configuration stays" in result.stderr
    values = {k["key"]: k["value"] for k in json.loads(iicpctl(secure.node, "config", "--json").stdout)["keys"]}
    assert str(values["limits.max_concurrent"]) != "9"
    check = subprocess.run([program("iicpd"), f"--check-config={secure.node.conf}"], text=True,
                           capture_output=True, env=clean_environment())
    assert check.returncode == 78 and "listen.tls_cert holds no certificate in PEM" in check.stdout
    (secure.folder / "tls.crt").unlink()
    check = subprocess.run([program("iicpd"), f"--check-config={secure.node.conf}"], text=True,
                           capture_output=True, env=clean_environment())
    assert check.returncode == 78 and "cannot be read: No such file" in check.stdout
    certificate(secure.folder)
    assert iicpctl(secure.node, "reload").returncode == 0
    values = {k["key"]: k["value"] for k in json.loads(iicpctl(secure.node, "config", "--json").stdout)["keys"]}
    assert str(values["limits.max_concurrent"]) == "9"


def test_IICPD_02_06_bad_certificate_fails_the_start(node_factory, tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder)
    key.write_text("x\n")
    node = node_factory(ready=False, listen__tls_cert=f"file:{cert}", listen__tls_key=f"file:{key}")
    assert node.wait() == 78
    node.expect_exit = 78
    assert "listen.tls_key holds no private key" in node.log_text()


def test_IICPD_02_06_expiry_is_told(node_factory, backend, tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder, days=5)
    node = node_factory(backend=backend, ready=False, listen__tls_cert=f"file:{cert}", listen__tls_key=f"file:{key}")
    node.await_log(r"warn certificate_expiring the certificate of listen\.tls_cert ends in [45] days")
    wait_until(lambda: node._quiet(lambda: node.control("/v1/status").status == 200), what="start", process=node.popen)
    assert node.status()["listen"]["certificate_expiring"] is True


def test_IICPD_03_02_scheme_says_how_frames_are_served(node_factory, backend, lab, tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder)
    node = node_factory(lab=lab, backend=backend, ready=False, listen__tls_cert=f"file:{cert}",
                        listen__tls_key=f"file:{key}")
    sent = lab.get("/lab/requests?route=register&min=1&wait=15").json()["requests"][-1]["body"]
    assert sent["endpoint"] == f"https://127.0.0.1:{node.port}"
    assert sent["transport_endpoint"] == f"iicpsec://127.0.0.1:{node.port}"


def test_IICPD_03_31_MAL_54_a_port_for_frames_alone(node_factory, backend):
    port = free_port()
    node = node_factory(backend=backend, listen__native="plaintext", listen__native_port=port)
    with Native(node, port=port) as n:
        assert n.call()[4] == "success"
    silent = Native(node, None, port=port, timeout=30)
    with Native(node, None, port=port) as n:
        n.raw(b"XICP\x01\x09" + bytes(6))
        assert n.rest() == b""
    assert closed_with(silent.rest()) == "init_timeout"


def test_IICPD_03_02_a_port_for_frames_alone_is_tls_or_not_opened(node_factory, backend, tmp_path):
    port = free_port()
    node = node_factory(backend=backend, listen__native_port=port)
    node.await_log("native_port_closed")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((node.host, port), 5)
    folder = tmp_path / "tls"
    folder.mkdir(mode=0o700)
    cert, key = certificate(folder)
    node = node_factory(backend=backend, ready=False, listen__native_port=port, listen__tls_cert=f"file:{cert}",
                        listen__tls_key=f"file:{key}")
    wait_until(lambda: node._quiet(lambda: node.control("/v1/status").status == 200), what="start", process=node.popen)
    with Native(node, port=port, wrap=context().wrap_socket) as n:
        assert n.call()[4] == "success"
    with context().wrap_socket(socket.create_connection((node.host, port), 20)) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert s.recv(10) == b""
