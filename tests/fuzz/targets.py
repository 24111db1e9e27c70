"""What reads bytes of strangers, and what may come of it?

A target takes bytes and does with them what the product does. It may refuse them with one of the product's own errors, or with the
error its callers catch; anything else is a bug. Seeds are what the readers were made for: samples of signatures and labelled cases.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from rancher_ext.bundle.bundle import Bundle, BundleFile, Manifest
from rancher_ext.bundle.redact import Redactor
from rancher_ext.bundle.text import chunks, lines
from rancher_ext.catalogue import diagnose_bundle, load_signatures
from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.catalogue.signatures import read_signatures
from rancher_ext.catalogue.yaml_lines import Problem, read_yaml
from rancher_ext.errors import DroverError
from rancher_ext.evidence.archive import ArchiveLimits, open_bundle, open_stream
from rancher_ext.evidence.readers import read_facts
from rancher_ext.evidence.readers.describe import read_description
from rancher_ext.evidence.readers.documents import items_of
from rancher_ext.evidence.readers.journal import export_lines
from rancher_ext.evidence.readers.log_collector import foreign_origin
from rancher_ext.evidence.readers.mixed import unmixed
from rancher_ext.evidence.readers.reading import Reading, age_seconds
from rancher_ext.evidence.readers.tables import read_conditions, read_events, read_nodes, read_pods
from rancher_ext.evidence.spool import Spool
from rancher_ext.fleet.versions import Version, VersionRange
from rancher_ext.listeners.payloads import CLUSTER_LABELS, gather

TESTS = Path(__file__).resolve().parents[1]
LARGEST_SEED = 8_000
_SMALL = ArchiveLimits(entries=2_000, total_bytes=32 << 20, ratio_from=8 << 20)


@dataclass(frozen=True)
class Target:
    """`grows`: twice the input may be twice the work, so it is measured with inputs that are repeated."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    grows: bool = True


def refused_or_done(target: Target, data: bytes) -> None:
    """Run a target. Refusing with an error of our own is fine."""
    with suppress(DroverError):
        target.run(data)


# Seeds


def _files(*patterns: str) -> list[bytes]:
    found = sorted({path for pattern in patterns for path in TESTS.glob(pattern) if path.is_file()})
    # A few hundred are enough to have every form; the others are more of the same.
    step = max(1, len(found) // 250)
    return [path.read_bytes()[:LARGEST_SEED] for path in found[::step]]


@cache
def texts() -> list[bytes]:
    return [
        *_files("signatures/*/hit*", "signatures/*/*/**/*.log", "cases/*/**/*.log", "cases/*/*.txt"),
        *FORMS.values(),
    ]


@cache
def objects() -> list[bytes]:
    return [
        *_files("cases/*/objects/**/*.json", "signatures/*/*/objects/**/*.json"),
        *(FORMS[name] for name in ("list", "yaml", "dump")),
    ]


_LISTED = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "canal-x5wq7", "namespace": "kube-system"}, "status": {"phase": "Pending"}}]}  # fmt: skip
_JOURNAL = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1744443100552034", "_HOSTNAME": "w1", "SYSLOG_IDENTIFIER": "kubelet", "MESSAGE": "cni plugin not initialized"}  # fmt: skip

FORMS = {
    "list": json.dumps(_LISTED, indent=1).encode(),
    "yaml": b"apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: &m {name: a, n: 1}\n- kind: Node\n  metadata: *m\nkind: List\n---\nkind: Pod\n",
    "dump": b'{"kind": "NodeList", "items": []}\n==== START logs for container c of pod n/p ====\nwords\n==== END logs for container c of pod n/p ====\n{}\n',
    "journal": json.dumps(_JOURNAL).encode() + b'\n{"__CURSOR": 1}\n',
    "export": b"__CURSOR=s\n__REALTIME_TIMESTAMP=1744443100552034\n_HOSTNAME=w1\nSYSLOG_IDENTIFIER=kubelet\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n\nMESSAGE=x\n\n",
    "syslog": b"Apr 12 07:31:40 w1 kubelet[1187]: E0412 cni\n    more\n2025-04-12T07:31:40Z w1 systemd[1]: k3s.service: exited\n<1>Apr  2 07:31:40 w2 kernel: x\n",
    "tail": b"==> /var/log/kubelet.log <==\nwords\n\n==> b <==\n",
    "prefix": b"[pod/canal-x5wq7/kube-flannel] words\n[pod/canal-x5wq7/calico-node] words\n",
    "cri": b"2025-03-04T10:08:11.123456789Z stderr F E0304 10:08:11.1 1 main.go:1] x\n2025-03-04T10:08:11.123456789Z stdout P x\n",
    "docker": b'{"log":"E0304 x\\n","stream":"stderr","time":"2025-03-04T10:08:11.123456789Z"}\n{"log":"\n',
    "colours": b"\x1b[31mE0304\x1b[0m x\r\n\x1b]0;title\x07 y\r z\n",
    "utf-16": "Name: w1\r\nTaints: a=b:NoSchedule\r\n".encode("utf-16"),
    "describe": b"Name:         w1\nLabels:       a=b\n              c=d\nTaints:       x/y=z:NoSchedule\nConditions:\n  Type  Status  LastHeartbeatTime  Reason  Message\n  ----  ------\n  Ready False   Tue, 04 Mar 2025 10:00:00 +0000   Tue, 04 Mar 2025 10:00:00 +0000   KubeletNotReady   cni\nEvents:\n  Type     Reason   Age                From     Message\n  Warning  BackOff  2m (x5 over 10m)   kubelet  Back-off\n",
    "events": b"NAMESPACE   LAST SEEN   TYPE      REASON    OBJECT      SUBOBJECT   SOURCE      MESSAGE   FIRST SEEN   COUNT   NAME\nkube-system 3m9s        Warning   BackOff   pod/canal-1 spec        kubelet, w1 Back-off  19m          71      c.17f\n",
}  # fmt: skip


@cache
def archives() -> list[bytes]:
    found = []
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode=mode) as archive:
            for name, content in (("w1-2025-04-12_07_40_00/journald/kubelet", FORMS["syslog"]), ("a/b.log.gz", b"\x1f\x8b"), ("events.txt", FORMS["events"])):  # fmt: skip
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "events.txt"
            archive.addfile(link)
            long = tarfile.TarInfo("n" * 180)
            archive.addfile(long)
        found.append(data.getvalue())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", method) as archive:
            archive.writestr("w1.tar.gz", found[1])
            archive.writestr("x/events.txt", FORMS["events"])
        found.append(data.getvalue())
    return found


def manifests() -> list[bytes]:
    return [json.dumps(Manifest(cluster_id="c-m-1", cni="canal").to_json()).encode(), b'{"schema": 1, "cluster": {}, "collectors": [{"name": "x", "status": "ok"}], "redactions": [{"rule": "a", "place": "b", "count": 1}], "collectedAt": "2025-03-04T10:00:00Z"}']  # fmt: skip


# What is done with them


NAMES = (
    "paste.log", "x.json", "x.yaml", "events.txt", "nodes.txt", "pods.txt", "conditions.txt", "helm.txt", "objects/downstream/pods/a.json", "rke2/kubectl/nodes",
    "rke2/kubectl/events", "rke2/kubectl/pods", "rke2/kubectl/crds", "rke2/kubectl/poddescribe/kube-system", "rke2/kubectl/rancher-prov/clusters.provisioning.cattle.io",
    "journald/kubelet", "systeminfo/hostname", "systeminfo/date", "systeminfo/osrelease", "systeminfo/uname", "cluster-resources/pods/a.json",
)  # fmt: skip


def _read_as_everything(data: bytes) -> None:
    read_facts(Bundle.of(dict.fromkeys(NAMES, data)))


def _diagnose(data: bytes) -> None:
    name = ("paste.log", "logs/kube-system/canal-x5wq7/kube-flannel.log", "logs/kubelet/w1.log", "x.json")[
        len(data) % 4
    ]
    diagnosis = diagnose_bundle(Bundle.of({name: data}), load_signatures())
    json.dumps(diagnosis.to_json()).encode()


def _open_archive(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("a.tar", "a.tar.gz", "a.zip", "a")[len(data) % 4]
        path.write_bytes(data)
        bundle = open_bundle(path, _SMALL)
        for name in bundle:
            bundle[name].read_bytes()
            assert name.isprintable()
            assert not name.startswith("/")
            assert ".." not in name.split("/")


def _open_stream(data: bytes) -> None:
    bundle = open_stream(io.BytesIO(data), _SMALL)
    assert sum(file.size for file in bundle.files.values()) == sum(len(bundle[name].read_bytes()) for name in bundle)


def _clean(data: bytes) -> None:
    file = BundleFile.of("x.log", data)
    for size in (64, 1 << 20):
        number = 1
        for chunk in chunks(file, size):
            assert chunk.first == number
            assert chunk.raw.count(b"\n") == chunk.seen.count(b"\n")
            number += chunk.raw.count(b"\n")
    assert all("\n" not in text for _, text in lines(file))


def _split(data: bytes) -> None:
    file = BundleFile.of("some/messages", data)
    views = unmixed({file.path: file}, Spool())
    written = sum(len(view.read_bytes().replace(b"\n", b"")) for view in views.values())
    assert all(view.size == len(view.read_bytes()) for view in views.values())
    assert written < 4 * len(data) + 4096
    list(export_lines(io.BytesIO(data)))


def _listings(data: bytes) -> None:
    file, into = BundleFile.of("x.txt", data), Reading()
    read_pods(file, into)
    read_nodes(file, into)
    for bare in (True, False):
        read_events(file, into, bare=bare)
        read_conditions(file, into, bare=bare)
    assert all(fact.at.line > 0 for fact in (*into.pods, *into.nodes, *into.events, *into.conditions))


def _descriptions(data: bytes) -> None:
    for nameless in (None, "node", "pod"):
        read_description(BundleFile.of("x.txt", data), Reading(), nameless=nameless)


def _documents(data: bytes) -> None:
    for path in ("x.json", "x.yaml"):
        for item in items_of(BundleFile.of(path, data), "Pod"):
            assert item.first > 0
            json.dumps(item.value).encode()


def _manifest(data: bytes) -> None:
    Bundle.of({"manifest.json": data})
    with TemporaryDirectory() as folder:
        (Path(folder) / "manifest.json").write_bytes(data)
        manifest = open_bundle(folder).manifest
    if manifest is not None:
        json.dumps(manifest.to_json())


@cache
def _redactor() -> Redactor:
    return Redactor(load_redaction(), b"k" * 32)


def _redact(data: bytes) -> None:
    for path in ("x.log", "x.json"):
        _redactor().file(path, data)
    _redactor().counts.clear()


def _signature(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "mine.yaml").write_bytes(data)
        for problem in read_signatures([Path(folder)])[1]:
            assert str(problem)
            assert problem.line > 0


def _policy(data: bytes) -> None:
    from pydantic import ValidationError

    from bot.policy.schema import Policy

    with TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        path.write_bytes(data)
        document = read_yaml(path)
    if isinstance(document, Problem):
        assert document.message
        return
    try:
        Policy.model_validate(document.value or {}).to_json()
    except ValidationError as error:
        problems = document.problems(error)
    else:
        problems = document.duplicates()
    assert all(str(problem) for problem in problems)


def _commands(data: bytes) -> None:
    from bot.commands.parse import parse

    text = data.decode("utf-8", "replace")
    for command in parse(text):
        assert "/drover" in text.lower()
        assert command.line <= text.count("\n") + text.count("\r") + 1


def _payloads(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    for payload in gather().values():
        with suppress(DroverError):
            assert all(isinstance(name, str) and name for name in payload.clusters(document, CLUSTER_LABELS))


def _deliveries(data: bytes) -> None:
    from bot.adapters.github_events import parse_delivery

    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        for event in ("issue_comment", "issues", "ping", "push"):
            parse_delivery(event, document)


def _versions(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    age_seconds(text)
    foreign_origin(text)
    version = Version.parse(text)
    try:
        bounds = VersionRange.parse(text)
    except ValueError:
        bounds = None
    if version is not None:
        assert Version.parse(version.text) == version
        if bounds is not None:
            bounds.contains(version)


_COMMENTS = [b"/drover approve 1a2b3c\n> /drover reject\n```\n/drover retry\n```\n<!-- x -->\n- /drover plan `x`\n/drover  HELP\r\n    /drover status\n<pre>\n/drover x\n</pre>\n"]  # fmt: skip
_ALERTS = [b'{"version": "4", "alerts": [{"status": "firing", "labels": {"cluster_id": "c-m-1"}}], "commonLabels": {"cluster": "edge"}}', b'{"specversion": "1.0", "type": "x", "source": "y", "id": "1", "data": {"kind": "Cluster", "metadata": {"name": "c-m-1"}}}', b'{"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [{"objectRef": {"resource": "clusters", "name": "c-m-1"}}]}']  # fmt: skip
_GITHUB = [b'{"action": "created", "issue": {"number": 7, "labels": []}, "comment": {"id": 1, "body": "/drover help", "user": {"login": "ada", "type": "User"}, "author_association": "MEMBER", "created_at": "2025-03-04T10:00:00Z", "updated_at": "2025-03-04T10:00:00Z"}, "repository": {"full_name": "acme/fleet"}, "sender": {"login": "ada", "type": "User"}}']  # fmt: skip
_VERSIONS = [b"v1.32.2+rke2r1", b"v1.32.2-rancher1-1", b"2.11.0-rc3", b">=1.32.0 <1.33, !=1.32.1", b"1.x", b"2y14d", b"k8s/podlogs/k8s_a_b-1_kube-system_0123456789_3", b"rke2/podlogs/kube-system-canal-x5wq7-previous"]  # fmt: skip


def _shipped(*patterns: str) -> Callable[[], list[bytes]]:
    return lambda: [
        path.read_bytes()[:LARGEST_SEED]
        for pattern in patterns
        for path in sorted((TESTS.parent / "config").glob(pattern))
    ]


TARGETS = {
    target.name: target
    for target in (
        Target("archive", _open_archive, archives, grows=False),
        Target("stream", _open_stream, lambda: [*archives(), *FORMS.values()], grows=False),
        Target("readers", _read_as_everything, lambda: [*texts(), *objects()]),
        Target("documents", _documents, objects),
        Target("mixed", _split, lambda: list(FORMS.values())),
        Target("text", _clean, texts),
        Target("tables", _listings, texts),
        Target("describe", _descriptions, texts),
        Target("manifest", _manifest, manifests),
        Target("redaction", _redact, lambda: [*texts(), *objects()]),
        Target("diagnosis", _diagnose, lambda: [*texts(), *objects()]),
        Target("signature", _signature, _shipped("signatures/*.yaml"), grows=False),
        Target("policy", _policy, _shipped("policy.yaml"), grows=False),
        Target("commands", _commands, lambda: _COMMENTS),
        Target("payloads", _payloads, lambda: _ALERTS),
        Target("deliveries", _deliveries, lambda: _GITHUB),
        Target("versions", _versions, lambda: _VERSIONS),
    )
}
