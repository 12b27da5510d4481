#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kubernetes_check.py NAME MANIFESTS IICPD: schemas, promises of the design, and the configuration inside.

Called by kubernetes-check with a Python that has kubernetes_validate."""

import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

name, path, iicpd = sys.argv[1:4]
with open(path) as f:
    documents = [d for d in yaml.safe_load_all(f) if d]
failed = 0


def verdict(text, problems):
    global failed
    problems = list(problems)
    print(f"{'FAIL' if problems else 'pass'}: kubernetes: {name}: {text}")
    for problem in problems[:8]:
        print(f"    {problem}")
    failed |= bool(problems)


def kind(word):
    return [d for d in documents if d["kind"] == word]


def schema_problems():
    for d in documents:
        if d["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # a resource of an operator: no schema among those of Kubernetes
        try:
            kubernetes_validate.validate(d, "1.29", strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{d['kind']} {d['metadata']['name']}: {error.path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{d['kind']}: {error}"


spec = kind("StatefulSet")[0]["spec"]
pod = spec["template"]["spec"]
containers = {c["name"]: c for c in pod["containers"]}
ours = containers["iicpd"]


def restricted():
    """Pod Security Standard "restricted", and the read-only root of ours."""
    if not pod["securityContext"].get("runAsNonRoot") or pod["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault":
        yield "the pod's securityContext"
    for c in containers.values():
        s = c.get("securityContext", {})
        if s.get("allowPrivilegeEscalation") is not False or s.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{c['name']}: escalation or capabilities"
        if s.get("privileged") or s.get("capabilities", {}).get("add"):
            yield f"{c['name']}: privileged"
    if not ours["securityContext"].get("readOnlyRootFilesystem"):
        yield "iicpd: the root can be written"
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the cluster is mounted"
    if any(v.get("hostPath") or pod.get("hostNetwork") for v in pod["volumes"]):
        yield "something of the host"


def mounts():
    known = {v["name"] for v in pod["volumes"]} | {t["metadata"]["name"] for t in spec["volumeClaimTemplates"]}
    for c in containers.values():
        for m in c.get("volumeMounts", []):
            if m["name"] not in known:
                yield f"{c['name']}: no volume {m['name']}"
    where = {m["mountPath"] for m in ours["volumeMounts"]}
    for path in ("/var/lib/iicp", "/run/iicpd", "/etc/iicp.conf"):
        if path not in where:
            yield f"nothing is mounted at {path}"
    if spec["volumeClaimTemplates"][0]["spec"]["accessModes"] != ["ReadWriteOnce"]:
        yield "the identity could be shared"


def variables():
    """$(NAME) is replaced only when NAME stands before it."""
    seen = set()
    for e in ours.get("env", []):
        for used in re.findall(r"\$\((\w+)\)", e.get("value", "")):
            if used not in seen:
                yield f"{e['name']} uses {used} before it is defined"
        seen.add(e["name"])


def probes():
    if ours["livenessProbe"]["httpGet"]["path"] != "/livez" or ours["startupProbe"]["httpGet"]["path"] != "/livez":
        yield "liveness is not /livez"
    if ours["readinessProbe"]["httpGet"]["path"] != "/readyz":
        yield "readiness is not /readyz"
    names = {p["name"] for p in ours["ports"]}
    for service in kind("Service"):
        for p in service["spec"]["ports"]:
            if p["targetPort"] not in names:
                yield f"the service's port {p['targetPort']} is no port of the pod"
    if "lifecycle" in ours:
        yield "a preStop where the drain is enough"


def selectors():
    labels = spec["template"]["metadata"]["labels"]
    for what, selector in [("StatefulSet", spec["selector"]["matchLabels"]),
                           ("Service", kind("Service")[0]["spec"]["selector"]),
                           ("PodDisruptionBudget", kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"]),
                           ("NetworkPolicy", kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]),
                           ("PodMonitor", kind("PodMonitor")[0]["spec"]["selector"]["matchLabels"])]:
        if not selector or any(labels.get(k) != v for k, v in selector.items()):
            yield f"{what} selects {selector}, pods have {labels}"


def roll_out():
    if spec["podManagementPolicy"] != "Parallel" or spec["updateStrategy"]["type"] != "RollingUpdate":
        yield "order of pods"
    if spec["minReadySeconds"] < 40 or kind("PodDisruptionBudget")[0]["spec"]["maxUnavailable"] != 1:
        yield "more than one pod may go at a time"
    if pod["terminationGracePeriodSeconds"] < drain_s() + 15:
        yield f"terminationGracePeriodSeconds {pod['terminationGracePeriodSeconds']}, drain {drain_s()} s"


def conf():
    used = next(v["configMap"]["name"] for v in pod["volumes"] if v["name"] == "config")
    return next(d for d in kind("ConfigMap") if d["metadata"]["name"] == used)["data"]["iicp.conf"]


def drain_s():
    return int(re.search(r"^drain = (\d+)s", conf(), re.M).group(1))


def configuration():
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(conf())
        f.flush()
        said = subprocess.run([iicpd, f"--check-config={f.name}"], capture_output=True, text=True, timeout=60)
    if said.returncode:
        yield from said.stdout.splitlines()
    open_ports = [p["port"] for r in kind("NetworkPolicy")[0]["spec"]["ingress"] for p in r["ports"]]
    for p in ours["ports"]:
        if p["containerPort"] not in open_ports:
            yield f"port {p['containerPort']} is closed by the NetworkPolicy"


verdict("what comes out is as the schemas of Kubernetes 1.29 want it", schema_problems())
verdict("the pod is restricted", restricted())
verdict("its folders are mounted", mounts())
verdict("its environment refers backwards only", variables())
verdict("probes and ports", probes())
verdict("everything selects its pods", selectors())
verdict("one at a time, and long enough to drain", roll_out())
verdict("its configuration is accepted and its ports are open", configuration())
sys.exit(failed)
