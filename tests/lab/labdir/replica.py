# SPDX-License-Identifier: Apache-2.0
"""The personality of a replica: reads come from the seed and are signed, writes are sent to the seed.
[01 section 1.7]"""

import http.client
import urllib.parse

from .answers import Refusal, error_body
from .trust import replica_signature

WRITES = {"register", "heartbeat", "deregister", "ticket", "relay-ticket", "consumer-token", "credits"}


def send_to_seed(directory, request):
    seed = directory.options.seed.rstrip("/").removesuffix("/api")
    query = "?" + request.query_text if request.query_text else ""
    return 307, {}, {"Location": seed + request.path + query, "X-IICP-Replica-Redirect": "true",
                     "X-IICP-Redirect-Reason": "replica_mode", "Retry-After": "0"}


def read(directory, request):
    url = urllib.parse.urlsplit(directory.options.seed)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=5)
    try:
        query = "?" + request.query_text if request.query_text else ""
        connection.request("GET", request.path + query, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        raise Refusal(503, error_body("server_error", "behind the seed"), {"Retry-After": "5"}) from None
    finally:
        connection.close()
    key = directory.key_seed()
    headers = {"X-IICP-Replica-Trust": "high", "X-IICP-Snapshot-Seq": str(directory.count)}
    if key:
        headers["X-IICP-Replica-Sig"] = replica_signature(key, request.command, request.path, request.query_text,
                                                          str(directory.count), body)
    return response.status, body, headers


def route(name):
    if name == "well-known":
        return type_of_well_known
    return send_to_seed if name in WRITES else read


def type_of_well_known(directory, request):
    return directory.WELL_KNOWN[request.path](directory, request)
