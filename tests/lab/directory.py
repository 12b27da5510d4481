#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict small directory for trying and testing: it refuses what either published directory
refuses, calls back while REGISTER is open, rotates token and key on each 201, verifies challenge
answers, remembers every request and can be told to misbehave. Nothing leaves the machine.

Routes of the protocol are served below /api/v1 and /v1. Beside them, here and on --control:
  GET    /lab/requests[?route=heartbeat&min=2&wait=10]   what was asked; waits until min are there
  DELETE /lab/requests
  GET    /lab/nodes         records, without secrets but with challenge results and counted tasks
  GET    /lab/violations    what no node may do and one did (labdir/watch.py); DELETE empties the list
  GET    /lab/catalogue     faults by name (labdir/faults.py)
  POST   /lab/faults {"name":"register-500","count":1}   one or a list, by name or by members:
                     {"route":"register","status":503,"body":{..},"headers":{..},"delay_ms":0,
                      "drop":false,"half":false,"garbage":false,"redirect":"same","answer":{..},
                      "without":[..],"after":false,"count":1,"for_s":60}
                     count 0 or for_s = until cleared or over; after = the request is carried out first
                     and only its answer is replaced, changed (answer, without), cut (half) or lost (drop)
                     {"down_s":120} refuses connections, {"forget":"*"} loses all nodes
  DELETE /lab/faults
  POST   /lab/settings {"next_heartbeat_ms":5000,"strict_ownership":true,"qos_filter":true,
                        "unknown_404":true,"directory_key":"one","credits":false,"replicas":[..],
                        "tls":"good|expired|other-name|self-signed|tls12","forget":"<node_id>",
                        "restarted":true}
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from labdir.rules import EXPOSURES, check_heartbeat, check_register, ownership_allowed  # noqa: E402, F401
from labdir.serve import run  # noqa: E402


def main():
    p = argparse.ArgumentParser(description="a strict small IICP directory for tests and for trying")
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=8440)
    p.add_argument("--allow-private", action="store_true", help="accept endpoints that are not public")
    p.add_argument("--no-probe", action="store_true", help="neither resolve nor call endpoints")
    p.add_argument("--no-limits", action="store_true", help="no rate and capacity limits")
    p.add_argument("--personality", choices=("strict", "d1", "d2", "spec", "replica"), default="strict",
                   help="strict refuses what either published directory refuses")
    p.add_argument("--seed", metavar="URL", help="of a replica: where reads come from and writes go to")
    p.add_argument("--tls", metavar="DIR", help="https with an authority made there; trust DIR/ca.pem")
    p.add_argument("--control", action="store_true", help="a second listener for /lab that is never down")
    p.add_argument("--clock", metavar="FILE", help="page of a driven clock (tests/lab/timewarp)")
    options = p.parse_args()
    if options.personality == "replica" and not options.seed:
        p.error("a replica needs --seed")
    run(options)


if __name__ == "__main__":
    main()
