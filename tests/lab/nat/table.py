# SPDX-License-Identifier: Apache-2.0
"""Prints the lines of IICPD_NAT_TABLE as a table: table.py FILE"""

import json
import sys

print("| scenario | network | tier | route found after | listed after | evidence |\n| --- | --- | --- | --- | --- | --- |")
for row in sorted((json.loads(line) for line in open(sys.argv[1])), key=lambda r: r["test"]):
    name = row["test"].removeprefix("test_IICPD_04_46_").replace("test_", "")
    listed = f"{row['listed_s']} s" if "listed_s" in row else "not listed"
    print(f"| {name} | {row['network']} | {row['tier']} {row['kind']} | {row['detected_s']} s | {listed} | {row['evidence']} |")
