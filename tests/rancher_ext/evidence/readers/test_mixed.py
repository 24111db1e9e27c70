"""Files in which many speak: each gets a view of its own, and line 812 of a view is line 812 of the file."""

import io
import json
import struct

import pytest

from rancher_ext.bundle.origin import OriginKind
from rancher_ext.evidence.archive import open_bundle
from rancher_ext.evidence.readers import read_facts
from rancher_ext.evidence.readers.journal import export_lines, syslog_line


def opened(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    bundle = open_bundle(tmp_path / name)
    return bundle, read_facts(bundle).origins


def shown(bundle, path):
    """The lines of a view that are not empty, with their numbers."""
    return [(n, line) for n, line in enumerate(bundle[path].read_bytes().decode().split("\n"), 1) if line]


SYSLOG = """\
Apr 12 07:28:10 w1 kernel: bridge: filtering via arp/ip/ip6tables is no longer available
Apr 12 07:31:40 w1 kubelet[1187]: E0412 07:31:40 cni plugin not initialized
Apr 12 07:31:40 w1 kubelet[1187]: goroutine 1 [running]:
        main.main()
Apr 12 07:31:41 w1 chronyd[702]: Selected source 10.0.0.1
Apr 12 07:31:42 w2 k3s[812]: level=info msg="Starting flannel"
Apr 12 07:31:43 w1 systemd[1]: kubelet.service: Main process exited, code=exited, status=1/FAILURE
Apr 12 07:31:44 w1 containerd[910]: level=error msg="failed to load cni during init"
"""


def test_a_system_log_of_two_nodes(tmp_path):
    bundle, origins = opened(tmp_path, "messages", SYSLOG)

    assert sorted(bundle) == [
        "messages",
        "messages/w1/containerd",
        "messages/w1/kernel",
        "messages/w1/kubelet",
        "messages/w2/k3s",
    ]
    assert [n for n, _ in shown(bundle, "messages/w1/kubelet")] == [2, 3, 4, 7]
    assert shown(bundle, "messages") == [(5, "Apr 12 07:31:41 w1 chronyd[702]: Selected source 10.0.0.1")]
    assert (origins["messages/w2/k3s"].unit, origins["messages/w2/k3s"].node) == ("k3s", "w2")
    assert origins["messages"].kind is OriginKind.UNKNOWN


@pytest.mark.parametrize(
    "stamp",
    [
        "Apr  2 07:31:40",
        "Apr 12 07:31:40.552034",
        "2025-04-12T07:31:40+0000",
        "2025-04-12T07:31:40.552034+02:00",
        "2025-04-12T07:31:40Z",
        "Sat 2025-04-12 07:31:40 UTC",
        "1744443100.552034",
        "<30>Apr 12 07:31:40",
    ],
)
def test_every_time_format_of_journalctl_and_rsyslog(stamp):
    assert syslog_line(f"{stamp} w1.plant.example kubelet[1187]: words".encode()) == ("w1.plant.example", "kubelet")
    assert syslog_line(f"{stamp} w1 /usr/bin/dockerd[7]: words".encode()) == ("w1", "docker")
    assert syslog_line(f"{stamp} w1 cron[7]: kubelet is mentioned".encode()) == ("w1", "")


@pytest.mark.parametrize(
    "line", [b"", b"kubelet: words", b"I0412 07:31:40.552034 1 main.go:1] x", b"2025-04-12 words: x"]
)
def test_what_is_no_line_of_a_system_log(line):
    assert syslog_line(line) is None


def entry(host, program, message, **more):
    return {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1744443100552034", "_HOSTNAME": host, "SYSLOG_IDENTIFIER": program, "_PID": "7", "MESSAGE": message} | more  # fmt: skip


def test_a_journal_as_json(tmp_path):
    lines = [
        entry("w1", "kubelet", "cni plugin not initialized"),
        entry("w1", "sshd", "session opened"),
        entry("w2", "rke2", "x", _SYSTEMD_UNIT="rke2-agent.service"),
        entry("w1", "kubelet", [115, 195, 40, 10, 120]),
        entry("w1", "kubelet", None),
    ]
    bundle, origins = opened(tmp_path, "j.json", "\n".join(json.dumps(line) for line in lines) + "\n{broken\n")

    assert shown(bundle, "j.json/w1/kubelet") == [
        (1, "2025-04-12T07:31:40.552034Z w1 kubelet[7]: cni plugin not initialized"),
        (4, "2025-04-12T07:31:40.552034Z w1 kubelet[7]: s�( x"),
    ]
    assert (origins["j.json/w2/rke2-agent"].unit, origins["j.json/w2/rke2-agent"].node) == ("rke2-agent", "w2")
    assert [n for n, _ in shown(bundle, "j.json")] == [2, 5, 6]


def exported(*entries):
    data = b""
    for fields in entries:
        for key, value in fields.items():
            if "\n" in value:
                data += key.encode() + b"\n" + struct.pack("<Q", len(value)) + value.encode() + b"\n"
            else:
                data += f"{key}={value}\n".encode()
        data += b"\n"
    return data


def test_a_journal_in_export_format(tmp_path):
    data = exported(
        entry("w1", "kubelet", "first"), entry("w1", "kubelet", "two\nlines"), entry("w1", "kernel", "last")
    )
    bundle, origins = opened(tmp_path, "journal.export", data)

    assert [text.rpartition(": ")[2] for _, text in shown(bundle, "journal.export/w1/kubelet")] == [
        "first",
        "two lines",
    ]
    [(number, _)] = shown(bundle, "journal.export/w1/kernel")
    assert data.split(b"\n")[number - 1] == b"MESSAGE=last"
    assert origins["journal.export/w1/kernel"].unit == "kernel"


def test_an_export_that_claims_a_value_of_gigabytes_ends_there():
    data = b"__CURSOR=s\nMESSAGE\n" + struct.pack("<Q", 1 << 40) + b"x"

    assert list(export_lines(io.BytesIO(data))) == []


def test_logs_with_a_prefix_and_files_shown_by_tail(tmp_path):
    prefixed = "[pod/canal-7m2dx/kube-flannel] I0412 one\n[pod/canal-7m2dx/calico-node] two\n[pod/canal-7m2dx/kube-flannel] three\n"
    bundle, origins = opened(tmp_path, "p.log", prefixed)
    assert shown(bundle, "p.log/canal-7m2dx/kube-flannel") == [(1, "I0412 one"), (3, "three")]
    assert origins["p.log/canal-7m2dx/kube-flannel"].workload == "cni"

    tailed = "==> /var/log/kubelet.log <==\nE0412 one\n\n==> ../../etc/passwd <==\nroot\n\n==> logs/kube-system/canal-7m2dx/kube-flannel.log <==\ntwo\n"
    bundle, origins = opened(tmp_path, "t.log", tailed)
    assert shown(bundle, "t.log/var/log/kubelet.log") == [(2, "E0412 one")]
    assert shown(bundle, "t.log/logs/kube-system/canal-7m2dx/kube-flannel.log") == [(8, "two")]
    assert shown(bundle, "t.log") == [(5, "root")]
    assert origins["t.log/var/log/kubelet.log"].unit == "kubelet"


def test_a_dump_that_powershell_wrote_in_utf_16(tmp_path):
    text = "{}\r\n==== START logs for container kube-flannel of pod kube-system/canal-7m2dx ====\r\nE0412 words\r\n==== END logs for container kube-flannel of pod kube-system/canal-7m2dx ====\r\n"
    bundle, _ = opened(tmp_path, "dump.txt", text.encode("utf-16"))

    assert shown(bundle, "dump.txt/kube-system/canal-7m2dx/kube-flannel") == [(3, "E0412 words")]


def test_a_plain_log_stays_one_file(tmp_path):
    for name in ("paste.log", "kubelet.log"):
        bundle, _ = opened(tmp_path, name, "I0412 07:31:02.1 1 main.go:211] one\nE0412 07:31:03.0 1 main.go:278] two\n")
        assert list(bundle) == [name]
    bundle, _ = opened(tmp_path, "kubelet.log", SYSLOG)
    assert list(bundle) == ["kubelet.log"], "systemd's words about the kubelet are part of its journal"


def test_lines_longer_than_a_chunk_do_not_shift_the_numbers(tmp_path):
    long = "Apr 12 07:31:40 w1 kubelet[1]: " + "x" * 2_500_000
    text = f"{SYSLOG.splitlines()[0]}\n{long}\nApr 12 07:31:44 w1 kubelet[1]: after\n"
    bundle, _ = opened(tmp_path, "messages", text)

    lines = bundle["messages/w1/kubelet"].read_bytes().split(b"\n")
    assert lines[2].endswith(b"after")


def test_views_beyond_the_bound_are_left_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("rancher_ext.evidence.readers.mixed._VIEWS", 2)
    bundle, _ = opened(tmp_path, "messages", SYSLOG)

    assert len(bundle) == 3
    assert sum(len(shown(bundle, path)) for path in bundle) == len(SYSLOG.splitlines())
