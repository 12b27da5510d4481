# SPDX-License-Identifier: Apache-2.0
"""The consumer program at endpoints: certificates and names, TLS versions, private addresses, redirects."""

import ssl
import subprocess

import pytest

from test_client import Directory, Provider, ask, directory, error_of, ok, peers  # noqa: F401


def authority(folder, name="localhost"):
    """A CA and a certificate of it for `name`."""
    run = lambda *a: subprocess.run(["openssl", *a], cwd=folder, check=True, capture_output=True)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=lab", "-days", "2",
        "-keyout", "ca.key", "-out", "ca.pem")
    run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", "node.key", "-out", "node.csr")
    (folder / "ext").write_text(f"subjectAltName=DNS:{name}\n")
    run("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "ext", "-out", "node.pem")
    return folder / "ca.pem", folder / "node.pem", folder / "node.key"


def tls_context(cert, key, maximum=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = maximum
    context.load_cert_chain(cert, key)
    context.names = []
    context.sni_callback = lambda sock, name, ctx: context.names.append(name)
    return context


@pytest.fixture
def certificates(tmp_path, need):
    need("openssl")
    folder = tmp_path / "ca"
    folder.mkdir()
    return authority(folder)


def trust(tmp_path, ca):
    conf = tmp_path / "client.conf"
    conf.write_text(f"[directory]\nca_file = {ca}\n")
    return ["--config", conf]


def test_IICPD_05_38_original_host_sni_and_certificate_name(directory, peers, ask, tmp_path, certificates):  # noqa: F811
    ca, cert, key = certificates
    context = tls_context(cert, key)
    node = peers(Provider, [ok()], host="localhost", tls=context)
    directory.nodes = [node.record()]
    r = ask("hi", *trust(tmp_path, ca), clear=True)
    assert r.returncode == 0, r.stderr
    assert context.names == ["localhost"]  # Peer.check compares the Host header
    # the right authority for another name is no identity
    directory.nodes = [node.record(endpoint=node.url.replace("localhost", "127.0.0.1"))]
    r = ask("hi", "--json", *trust(tmp_path, ca), clear=True)
    assert error_of(r)["cause"]["code"] == "IICP-E004" and not error_of(r)["sent"]
    assert len(node.requests) == 1


def test_PROXY_ROUTE_05_certificates_are_verified(directory, peers, ask, certificates):  # noqa: F811
    ca, cert, key = certificates
    node = peers(Provider, [ok()], host="localhost", tls=tls_context(cert, key))
    directory.nodes = [node.record()]
    r = ask("hi", "--json", clear=True)
    e = error_of(r)
    assert r.returncode == 75 and e["cause"]["code"] == "IICP-E004" and not e["sent"]
    assert "Nothing was sent." in r.stderr and not node.requests
    # the directory's, too
    secure = peers(Directory, host="localhost", tls=tls_context(cert, key))
    r = ask("hi", "--json", url=secure.url)
    assert error_of(r)["code"] == "IICP-E004" and "certificate" in r.stderr and not secure.requests


def test_SDK_05_no_switch_turns_verification_off(directory, peers, ask, certificates):  # noqa: F811
    ca, cert, key = certificates
    node = peers(Provider, [ok()], host="localhost", tls=tls_context(cert, key))
    directory.nodes = [node.record()]
    for name in ("IICP_TLS_VERIFY", "IICP_INSECURE", "CURL_INSECURE"):
        r = ask("hi", clear=True, env={name: "0" if name == "IICP_TLS_VERIFY" else "1"})
        assert r.returncode == 75 and not node.requests
    assert ask("hi", "--insecure").returncode == 2


def test_IICPD_06_23_tls_13_at_least(directory, peers, ask, tmp_path, certificates):  # noqa: F811
    ca, cert, key = certificates
    node = peers(Provider, [ok()], host="localhost", tls=tls_context(cert, key, ssl.TLSVersion.TLSv1_2))
    directory.nodes = [node.record()]
    r = ask("hi", "--json", *trust(tmp_path, ca), clear=True)
    assert r.returncode == 75 and not error_of(r)["sent"] and not node.requests


def test_SEC_TLS_01_directory_speaks_tls_13_or_nothing(peers, ask, tmp_path, certificates):  # noqa: F811
    ca, cert, key = certificates
    old = peers(Directory, host="localhost", tls=tls_context(cert, key, ssl.TLSVersion.TLSv1_2))
    r = ask("hi", "--json", *trust(tmp_path, ca), url=old.url)
    assert error_of(r)["code"] == "IICP-E004" and not old.requests
    new = peers(Directory, host="localhost", tls=tls_context(cert, key))
    assert error_of(ask("hi", "--json", *trust(tmp_path, ca), url=new.url))["code"] == "IICP-E033"
    assert new.tls_spoken == {"TLSv1.3"}


def test_SEC_PRIV_09_TLS_1_nodes_are_asked_in_tls_13(directory, peers, ask, tmp_path, certificates):  # noqa: F811
    ca, cert, key = certificates
    node = peers(Provider, [ok()], host="localhost", tls=tls_context(cert, key))
    directory.nodes = [node.record()]
    assert ask("hi", *trust(tmp_path, ca), clear=True).returncode == 0
    assert node.tls_spoken == {"TLSv1.3"}


def test_IICPD_06_27_private_nodes_are_not_dialled(directory, peers, ask):  # noqa: F811
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    r = ask("hi", "--json", clear=True, private=False)
    assert error_of(r)["code"] == "IICP-E033" and not node.requests
    assert ("(IICP-E033): 1 node left out: private address; consumer.allow_private_endpoints = yes dials them (labs)."
            " Nothing was sent.") in r.stderr
    directory.nodes = [node.record(), node.record()]
    assert "(IICP-E033): 2 nodes left out: private address;" in ask("hi", clear=True, private=False).stderr
    directory.nodes = []
    assert "left out" not in ask("hi", clear=True, private=False).stderr


def test_IICPD_06_27_redirects_stay_at_the_origin(directory, peers, ask):  # noqa: F811
    elsewhere = peers(Provider, [ok("stolen")], "E")
    hop = {"status": 307, "headers": {"Location": "/other/v1/task"}, "body": {}}
    node = peers(Provider, [hop, ok("followed")])
    directory.nodes = [node.record()]
    assert ask("hi", clear=True).stdout == "followed\n"
    assert [p for _, p, _, _ in node.requests] == ["/v1/task", "/other/v1/task"]
    assert node.requests[0][3] == node.requests[1][3]

    node.script, node.used = [{"status": 308, "headers": {"Location": elsewhere.url + "/v1/task"}, "body": {}}], 0
    r = ask("hi", "--json", clear=True)
    assert error_of(r)["cause"]["code"] == "IICP-ENDPOINT-REFUSED" and not elsewhere.requests

    node.script, node.used = [hop], 0
    r = ask("hi", "--json", clear=True)
    assert error_of(r)["cause"]["code"] == "IICP-ENDPOINT-REFUSED" and node.used == 4


def test_IICPD_06_17_directory_redirects(directory, peers, ask, tmp_path):  # noqa: F811
    other = peers(Directory)
    node = peers(Provider, [ok()])
    other.nodes = [node.record()]
    away = {"status": 307, "headers": {"Location": other.url + "/api/v1/discover?intent=x&limit=1"}}
    directory.script = [away] * 3  # the seed is asked twice more
    r = ask("hi", "--json", clear=True)
    assert error_of(r)["code"] == "directory_redirect_refused" and not other.requests
    conf = tmp_path / "client.conf"
    conf.write_text(f"[directory]\nredirect_origins = {other.url}\n")
    directory.script = [away]
    assert ask("hi", "--config", conf, clear=True).returncode == 0
