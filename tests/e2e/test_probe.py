"""Does the node-side probe work in a cluster whose API server others wrote, with exactly the rights that it brings along?

The cluster's own API server is one that Rancher does not reach; another one holds Rancher's objects. What reads
`additionalManifest` and applies it stands here for RKE2's deploy controller: it parses the text, creates document by document in
order, and deletes what left the text. The kubelet's part is to start the container's command with the environment that the real
server gives out, and a token of its service account. Everything else is Drover's own: what is delivered, the probe's process, the
service that takes its report.
"""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
import yaml
from fastapi import FastAPI

from bot.adapters.clock import PolicyClock
from bot.adapters.in_memory import InMemoryIncidents
from bot.web import problems
from bot.web.ingest import ingest_router
from bot.workflows.probe_inbox import ProbeInbox, ProbeRun
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.probe.manifest import Offer, probe_manifest
from rancher_ext.probe.report import Report, token_of
from rancher_ext.remediation.manifests import with_block
from tests.e2e.cluster import ApiServer, Json, free_ports, running_cluster
from tests.e2e.kwok import ContainerLog, KwokNodes, PodState
from tests.e2e.test_service import until
from tests.e2e.world import World, environment_of, real_world

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
SCENARIO = "rke2-canal-never-connected"
CANAL = "rke2-canal-x7k2p"
SAID = "Could not find valid interface matching eth1: failed to find interface"
PEOPLES = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs, namespace: default}\n"
ACCOUNT = "system:serviceaccount:kube-system:drover-probe"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PLURALS = {
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Secret": ("/api/v1", "secrets"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    **{kind: (_RBAC, f"{kind.lower()}s") for kind in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")},
}


def collection(document: Mapping[str, Any]) -> str:
    base, plural = _PLURALS[document["kind"]]
    namespace = document["metadata"].get("namespace")
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


def path_of(document: Mapping[str, Any]) -> str:
    return f"{collection(document)}/{document['metadata']['name']}"


class DeployController:
    """What RKE2 and K3s do with a manifest file: all of it or nothing, in its order; what leaves the file leaves the cluster."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.applied: dict[str, Json] = {}

    def apply(self, text: str) -> None:
        documents = {path_of(each): each for each in yaml.safe_load_all(text) if each}
        for path, document in documents.items():
            if path not in self.applied:
                strict = {"fieldValidation": "Strict"}
                answer = self._server.call("POST", collection(document), document, params=strict)
                assert answer.status_code == 201, (path, answer.text)
                assert "Warning" not in answer.headers, answer.headers["Warning"]
        for path in self.applied.keys() - documents.keys():
            # In the background, as kubectl and controllers do; a foreground deletion would wait for a garbage collector.
            answer = self._server.call("DELETE", path, {"propagationPolicy": "Background"})
            assert answer.ok, answer.text
        self.applied = documents


@dataclass
class Kubelet:
    """Starts the DaemonSet's container as a process, with what the API server says about it."""

    server: ApiServer
    node: str
    folder: Path

    def environment(self) -> dict[str, str]:
        pod = self.get("/apis/apps/v1/namespaces/kube-system/daemonsets/drover-probe")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == ["probe"]
        given: dict[str, str] = {}
        for source in container["envFrom"]:
            data = self.get(f"/api/v1/namespaces/kube-system/secrets/{source['secretRef']['name']}")["data"]
            given |= {name: base64.b64decode(value).decode() for name, value in data.items()}
        for variable in container["env"]:
            assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
            given[variable["name"]] = self.node
        return given | {
            "PATH": os.environ["PATH"],
            # Where its mounts lie on this machine, and where the server listens that it would find on the node's loopback.
            "PROBE_ROOT": str(self._root()),
            "PROBE_SERVICE_ACCOUNT": str(self._account(pod["serviceAccountName"])),
            "PROBE_APIS": self.server.url,
        }

    def pod(self) -> Json:
        """The pod that the controller of DaemonSets would make."""
        template = self.get("/apis/apps/v1/namespaces/kube-system/daemonsets/drover-probe")["spec"]["template"]
        spec = template["spec"] | {"nodeName": self.node}
        return {"metadata": template["metadata"] | {"name": "drover-probe-x"}, "spec": spec}

    def start(self, **changed: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "rancher_ext.probe"],
            env=self.environment() | changed,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def get(self, path: str) -> Json:
        answer = self.server.call("GET", path)
        assert answer.ok, answer.text
        found: Json = answer.json()
        return found

    def _account(self, name: str) -> Path:
        """As the kubelet projects it: a token that the API server made for this account, and whom to trust."""
        folder = self.folder / "account"
        folder.mkdir(parents=True, exist_ok=True)
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        answer = self.server.call("POST", f"/api/v1/namespaces/kube-system/serviceaccounts/{name}/token", asked)
        assert answer.ok, answer.text
        (folder / "token").write_text(answer.json()["status"]["token"], encoding="ascii")
        (folder / "ca.crt").write_bytes(Path(self.server.authority.file).read_bytes())
        return folder

    def _root(self) -> Path:
        """A node's files, as many as tell one node from another, with a log that only the kubelet has."""
        folder = self.folder / "root"
        kept = folder / f"var/log/pods/kube-system_{CANAL}_1/kube-flannel"
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "0.log").write_text("2026-03-03T12:00:00Z stderr F from the kubelet's own file\n", encoding="ascii")
        (folder / "etc").mkdir(exist_ok=True)
        (folder / "etc/os-release").write_text('PRETTY_NAME="SLE Micro 6"\n', encoding="ascii")
        return folder


@dataclass
class Stage:
    """One cluster that nobody reaches, its kubelet, and a service that takes reports."""

    server: ApiServer
    kubelet: Kubelet
    inbox: ProbeInbox
    url: str
    runs: int = 0
    clock: PolicyClock = field(default_factory=PolicyClock)

    def open_run(self) -> ProbeRun:
        self.runs += 1
        run = ProbeRun(
            id=f"{self.runs:016x}", incident=f"incident:{self.runs}", uid="u", key=bytes([self.runs]) * 32, url=self.url,
            image="registry.example/drover:1", phase="open", within=3600.0, nodes=(self.kubelet.node,),
            expires=self.clock.now() + timedelta(hours=1),
        )  # fmt: skip
        self.inbox.begin(run)
        return run

    def report(self, **changed: str) -> tuple[Report, str]:
        """What one run of the probe's process sent, in a run of its own, and what it printed."""
        run = self.open_run()
        process = self.kubelet.start(PROBE_RUN=run.id, PROBE_KEY=run.key.hex(), PROBE_ONCE="yes", **changed)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        (found,) = self.inbox.reports_of(run)
        return found, said


@pytest.fixture(scope="module")
def stage(servers_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    inbox = ProbeInbox(InMemoryIncidents(), PolicyClock())
    app = FastAPI()
    problems.install(app)
    app.include_router(ingest_router(inbox))
    service = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    while not service.started and thread.is_alive():
        time.sleep(0.01)
    url = f"http://127.0.0.1:{service.servers[0].sockets[0].getsockname()[1]}"
    logs = [ContainerLog("kube-system", CANAL, "kube-flannel", f"starting\n{SAID}\n", "the run before\n")]
    with (
        running_cluster(tmp_path_factory.mktemp("cluster")) as server,
        KwokNodes(tmp_path_factory.mktemp("kwok"), server, logs) as kubelets,
    ):
        _with_canal(kubelets, "edge-1")
        kubelets.add_node("edge-2")
        kubelets.add_pod("kube-system", "rke2-canal-other", "edge-2", PodState.RUNNING, ["kube-flannel"])
        yield Stage(server, Kubelet(server, "edge-1", tmp_path_factory.mktemp("edge-1")), inbox, url)
    service.should_exit = True
    thread.join(timeout=10)


def _with_canal(kubelets: KwokNodes, node: str) -> None:
    kubelets.add_node(node)
    kubelets.wait_for(f"/api/v1/nodes/{node}", "KubeletReady")
    kubelets.add_pod("kube-system", CANAL, node, PodState.CRASH_LOOP, ["kube-flannel"])
    kubelets.wait_for(f"/api/v1/namespaces/kube-system/pods/{CANAL}", "CrashLoopBackOff")


@pytest.fixture
def delivered(stage: Stage) -> Iterator[DeployController]:
    """The probe's documents in the cluster, beside those of people; taken out again in the end."""
    run = stage.open_run()
    manifest = probe_manifest(Offer(run.url, run.id, run.key, run.image))
    controller = DeployController(stage.server)
    controller.apply(with_block(PEOPLES, manifest))
    yield controller
    controller.apply("")


def test_the_server_takes_every_document_and_every_one_goes_with_the_text(
    stage: Stage, delivered: DeployController
) -> None:
    ours = [path for path in delivered.applied if "theirs" not in path]
    assert len(ours) == 7
    pod = stage.server.call(
        "POST", "/api/v1/namespaces/kube-system/pods", stage.kubelet.pod(), params={"dryRun": "All"}
    )
    assert pod.status_code == 201, pod.text
    # What the server made of it is what was meant: nothing can be written, nothing is privileged, one capability.
    (container,) = pod.json()["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"add": ["DAC_READ_SEARCH"], "drop": ["ALL"]}
    assert container["volumeMounts"][0]["readOnly"] is True

    delivered.apply(PEOPLES)

    assert [stage.server.call("GET", path).status_code for path in ours] == [404] * len(ours)
    assert stage.server.call("GET", "/api/v1/namespaces/default/configmaps/theirs").ok
    listed = "".join(
        stage.server.call("GET", f"{base}/{plural}").text
        for kind, (base, plural) in _PLURALS.items()
        if kind != "ConfigMap"
    )
    assert "drover" not in listed


def test_a_node_tells_what_only_it_and_its_server_know_and_its_token_works_once(
    stage: Stage, delivered: DeployController
) -> None:
    run = stage.inbox.last(f"incident:{stage.runs}")
    assert run is not None
    first = stage.kubelet.start()
    until(lambda: stage.inbox.nodes_of(run))

    second, said = stage.kubelet.start(PROBE_ONCE="yes"), ""
    said, _ = second.communicate(timeout=120)
    token = token_of(run.id, run.key, stage.kubelet.node)
    again = requests.post(
        f"{stage.url}/ingest/probe/{token}", data=b"x", headers={"Content-Type": "application/gzip"}, timeout=30
    )
    # It has reported and keeps still, so that nothing starts it anew; it ends when it is asked to.
    alive = first.poll() is None
    first.terminate()
    printed, _ = first.communicate(timeout=30)

    assert (alive, first.returncode) == (True, 0), printed
    assert "already has the report" in said
    assert (again.status_code, again.json()["detail"]) == (409, "This token was used already.")
    (report,) = stage.inbox.reports_of(run)
    assert report.notes == ()
    assert SAID in report.files[f"logs/kube-system/{CANAL}/kube-flannel.log"]
    assert "the run before" in report.files[f"logs/kube-system/{CANAL}/kube-flannel.previous.log"]
    assert "CrashLoopBackOff" in report.files[f"objects/downstream/pods/kube-system/{CANAL}.json"]
    assert "kubeletVersion" in report.files["objects/downstream/nodes/_/edge-1.json"]
    assert "SLE Micro 6" in report.files["host/edge-1.txt"]
    # Another node's pod is another node's business.
    assert not [path for path in report.files if "other" in path]


RIGHTS = [("", "get", "nodes"), ("kube-system", "list", "pods"), ("kube-system", "get", "pods/log")]


def test_these_are_all_its_rights(stage: Stage, delivered: DeployController) -> None:
    given = [
        (document["metadata"].get("namespace", ""), verb, resource)
        for document in delivered.applied.values()
        for rule in document.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert given == RIGHTS
    for namespace, verb, resource in [
        *RIGHTS,
        ("", "list", "secrets"),
        ("kube-system", "create", "pods"),
        ("", "patch", "nodes"),
    ]:
        assert allowed(stage.server, namespace, verb, resource) is ((namespace, verb, resource) in RIGHTS)


@pytest.mark.parametrize(("namespace", "verb", "resource"), RIGHTS)
def test_without_one_right_the_report_names_the_gap_and_has_the_rest(
    stage: Stage, delivered: DeployController, namespace: str, verb: str, resource: str
) -> None:
    role = f"{_RBAC}/namespaces/{namespace}/roles" if namespace else f"{_RBAC}/clusterroles"
    found = stage.kubelet.get(f"{role}/drover-probe")
    found["rules"] = [rule for rule in found["rules"] if rule["resources"] != [resource]]
    assert stage.server.call("PUT", f"{role}/drover-probe", found).ok
    until(lambda: not allowed(stage.server, namespace, verb, resource))

    report, said = stage.report()

    assert f"forbidden: needs {verb} {resource}" in "; ".join(report.notes), report.notes
    assert "Traceback" not in said
    assert "host/edge-1.txt" in report.files
    has = {
        "nodes": any(path.startswith("objects/downstream/nodes/") for path in report.files),
        "pods": any(path.startswith("objects/downstream/pods/") for path in report.files),
        "pods/log": SAID in str(report.files),
    }
    # Without the pods nobody knows whose logs to ask for.
    lost = {"nodes": {"nodes"}, "pods": {"pods", "pods/log"}, "pods/log": {"pods/log"}}[resource]
    assert {name for name, there in has.items() if not there} == lost
    # What the server does not give, the kubelet's files do.
    assert ("from the kubelet's own file" in str(report.files)) is ("pods/log" in lost)


def allowed(server: ApiServer, namespace: str, verb: str, resource: str) -> bool:
    plain, _, sub = resource.partition("/")
    about = {"namespace": namespace, "verb": verb, "resource": plain, "subresource": sub, "group": ""}
    groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
    spec = {"resourceAttributes": about, "user": ACCOUNT, "groups": groups}
    answer = server.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    assert answer.ok, answer.text
    return bool(answer.json()["status"]["allowed"])


# --- the whole of it, with a real service and a real Rancher's objects ------------------------------------------------------


@dataclass
class Whole:
    world: World
    server: ApiServer
    kubelet: Kubelet
    folder: Path

    @property
    def place(self) -> str:
        cluster = self.world.fleet.clusters[self.world.ids[SCENARIO]]
        return f"/apis/provisioning.cattle.io/v1/namespaces/{cluster.identity.namespace}/clusters/{cluster.name}"

    def manifest(self) -> str:
        answer = self.world.local.call("GET", self.place)
        assert answer.ok, answer.text
        return str(answer.json()["spec"]["rkeConfig"].get("additionalManifest") or "")


@pytest.fixture
def whole(servers_built: None, tmp_path: Path) -> Iterator[Whole]:
    logs = [ContainerLog("kube-system", CANAL, "kube-flannel", f"starting\n{SAID}\n")]
    with real_world(tmp_path / "world", [SCENARIO]) as world:
        cluster = world.fleet.clusters[world.ids[SCENARIO]]
        node = cluster.identity.machines[0].node
        with (
            ApiServer(tmp_path, world.local.etcd, "unreached") as server,
            KwokNodes(tmp_path / "kwok", server, logs) as kubelets,
        ):
            _with_canal(kubelets, node)
            label = {"metadata": {"labels": {"drover.io/probe": "allow"}}}
            management = f"/apis/management.cattle.io/v3/clusters/{cluster.id}"
            merge = "application/merge-patch+json"
            answer = world.local.call("PATCH", management, label, content_type=merge)
            assert answer.ok, answer.text
            yield Whole(world, server, Kubelet(server, node, tmp_path / node), tmp_path)


def test_drover_delivers_it_hears_the_node_and_takes_everything_out(whole: Whole) -> None:
    before = whole.manifest()
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    settings = {"DROVER_LISTEN": f"127.0.0.1:{port}", "DROVER_PUBLIC_URL": url}
    environment = environment_of(whole.world.proxy.url, whole.folder / "home") | settings
    identifier = whole.world.ids[SCENARIO]
    controller, probes = DeployController(whole.server), []
    with (whole.folder / "serve.log").open("wb") as log:
        service = run("serve", environment, log)
        try:

            def diagnosed() -> bool:
                assert service.poll() is None, (whole.folder / "serve.log").read_text()
                try:
                    incidents = requests.get(f"{url}/api/v1/incidents", timeout=30).json()["incidents"]
                except requests.ConnectionError:
                    return False
                return any(
                    each["cluster"] == identifier and each["state"] in {"reported", "escalated"} for each in incidents
                )

            until(diagnosed)
            deliver = run("probe deliver --yes --format json", environment, subprocess.PIPE, identifier)
            deadline = time.monotonic() + 240
            while deliver.poll() is None and time.monotonic() < deadline:
                controller.apply(whole.manifest())
                if len(controller.applied) == 7 and not probes:
                    probes.append(whole.kubelet.start())
                time.sleep(0.2)
            out, err = deliver.communicate(timeout=30)
            controller.apply(whole.manifest())
        finally:
            for process in (*probes, service):
                process.terminate()
                process.wait(30)
                if process.stdout:
                    process.stdout.close()

    assert deliver.returncode == 0, (out, err)
    ended = json.loads(out)
    assert (ended["done"], ended["out"], ended["reported"]) == (True, True, [whole.kubelet.node])
    bundle = open_bundle(ended["evidence"])
    assert SAID in bundle[f"logs/kube-system/{CANAL}/kube-flannel.log"].read_bytes().decode()
    assert ended["verdict"] == "cni-failure"
    assert "interface" in ended["signature"]
    assert whole.manifest() == before
    assert controller.applied.keys() == {path_of(each) for each in yaml.safe_load_all(before) if each}
    for base, plural in _PLURALS.values():
        assert "drover" not in whole.server.call("GET", f"{base}/{plural}").text


def run(words: str, environment: Mapping[str, str], out: Any, *more: str) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-c", "from bot.cli.main import main; main()", *words.split(), *more]
    return subprocess.Popen(
        arguments,
        env=dict(environment),
        cwd=ROOT,
        stdout=out,
        stderr=subprocess.STDOUT if words == "serve" else subprocess.PIPE,
    )
