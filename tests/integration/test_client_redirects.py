# SPDX-License-Identifier: Apache-2.0
"""The consumer and a directory that points elsewhere."""

import pytest

from test_client import Directory, Provider, ask, directory, error_of, ok, peers  # noqa: F401


def away(other, path="/api/v1/discover?intent=x&limit=1", status=307, **headers):
    return {"status": status, "headers": {"Location": other.url + path, **headers}}


@pytest.fixture
def listed(tmp_path):
    def make(*others):
        conf = tmp_path / "client.conf"
        conf.write_text("[directory]\nredirect_origins = " + ", ".join(o.url for o in others) + "\n")
        return conf
    return make


def test_DIR_FED_05_a_307_to_a_listed_origin_is_followed_as_given(directory, peers, ask, listed):  # noqa: F811
    other, node = peers(Directory), peers(Provider, [ok()])
    other.nodes = [node.record()]
    directory.script = [away(other, "/api/v1/discover?intent=as%20given&limit=1")]
    assert ask("hi", "--config", listed(other), clear=True).returncode == 0
    (method, path, _, body), = other.requests
    assert (method, path, body) == ("GET", "/api/v1/discover?intent=as%20given&limit=1", b"")


def test_DIR_FED_06_at_most_three_redirects_in_a_row(directory, peers, ask):  # noqa: F811
    node = peers(Provider, [ok()])
    directory.nodes = [node.record()]
    directory.script = [away(directory)] * 3
    assert ask("hi", clear=True).returncode == 0 and len(directory.requests) == 4
    directory.script, directory.requests[:] = [away(directory)] * 4, []
    r = ask("hi", "--json", clear=True)
    assert error_of(r)["code"] == "directory_redirect_refused" and len(directory.requests) == 4


@pytest.mark.parametrize("status", [301, 302, 303, 308])
def test_IICPD_01_24_other_redirects_are_failures(directory, peers, ask, status):  # noqa: F811
    directory.script = [away(directory, status=status)] * 3
    r = ask("hi", "--json", clear=True)
    assert r.returncode != 0 and error_of(r)["http_status"] == status
    assert len(directory.requests) == 1


def test_IICPD_01_26_the_seed_is_asked_twice_more_then_it_fails(directory, peers, ask):  # noqa: F811
    other, node = peers(Directory), peers(Provider, [ok()])
    directory.nodes = [node.record()]
    directory.script = [away(other, **{"Retry-After": "1"})] * 2
    assert ask("hi", clear=True).returncode == 0 and len(directory.requests) == 3
    directory.script, directory.requests[:] = [away(other, **{"Retry-After": "0"})] * 5, []
    r = ask("hi", "--json", clear=True)
    assert error_of(r)["code"] == "directory_redirect_refused"
    assert len(directory.requests) == 3 and not other.requests


def test_DIR_FED_08_a_lagging_replica_leads_back_to_the_seed(directory, peers, ask, listed):  # noqa: F811
    other, node = peers(Directory), peers(Provider, [ok()])
    directory.nodes = [node.record()]
    directory.script = [away(other)]
    other.script = [{"status": 503, "headers": {"Retry-After": "30"}}]
    assert ask("hi", "--config", listed(other), clear=True).returncode == 0
    assert len(other.requests) == 1 and len(directory.requests) == 2
