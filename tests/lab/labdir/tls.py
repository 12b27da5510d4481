# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the moment: ca.pem is what a node has to trust. Made by the openssl program."""

import pathlib
import ssl
import subprocess

KINDS = ("good", "expired", "other-name", "self-signed", "tls12")


def openssl(*words, folder):
    subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True, timeout=60)


def key_and_request(folder, name, common):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={common}", folder=folder)


def issue(folder, name, host, alt, days):
    key_and_request(folder, name, host)
    (folder / f"{name}.ext").write_text(f"subjectAltName={alt}\nbasicConstraints=CA:FALSE\n")
    until = ["-days", str(days)] if days > 0 else ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
    try:
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-extfile", f"{name}.ext", *until, folder=folder)
    except subprocess.CalledProcessError:
        if days > 0:
            raise
        expired_by_ca(folder, name)  # openssl before 3.4 has no -not_before for x509


def expired_by_ca(folder, name):
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("4242\n")
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n"
        "policy=p\n[p]\ncommonName=supplied\n")
    openssl("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", f"{name}.csr",
            "-out", f"{name}.pem", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile",
            f"{name}.ext", "-notext", folder=folder)


def make(folder):
    """Makes the authority and one certificate for each kind."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "done").exists():
        return
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=iicp lab authority", "-days", "30", "-addext",
            "basicConstraints=critical,CA:TRUE", folder=folder)
    here = "IP:127.0.0.1,IP:::1,DNS:localhost"
    issue(folder, "good", "localhost", here, 30)
    issue(folder, "expired", "localhost", here, 0)
    issue(folder, "other-name", "elsewhere.example.org", "DNS:elsewhere.example.org", 30)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "self-signed.key", "-out", "self-signed.pem", "-subj", "/CN=localhost", "-days", "30", "-addext",
            f"subjectAltName={here}", folder=folder)
    (folder / "done").touch()


def contexts(folder):
    folder, made = pathlib.Path(folder), {}
    for kind in KINDS:
        name = "good" if kind == "tls12" else kind
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        if kind == "tls12":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        made[kind] = context
    return made
