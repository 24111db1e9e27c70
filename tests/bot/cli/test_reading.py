"""`sweep`, `diagnose` and `analyze`: what they print, what they return, and what they say about bad input."""

import gzip
import io
import json
import os
import sys
import tarfile
import threading
import zipfile

import pytest
import requests

from tests.rancher_ext.client.servers import QuietServer, Server, handler_of, say
from tests.rancher_ext.client.test_tls import Authority

FOUNDING = "rke1-canal-br-netfilter"
FATAL = (
    "E0304 09:12:31.400117       1 main.go:268] Failed to check br_netfilter: stat "
    "/proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory\n"
)


def failed_politely(said, *words):
    """Exit 2, the source and the cure on stderr, nothing on stdout, and no traceback."""
    assert said.status == 2
    assert said.out == ""
    assert said.err.startswith("drover: ")
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) >= 2, "a cure is missing"
    for word in words:
        assert word in said.err


class TestSweep:
    def test_a_fleet_without_stuck_clusters(self, drover, rancher):
        said = drover("sweep", **rancher("rke2-canal-healthy", "rke2-canal-slow", "imported-unreachable").env)
        assert said.status == 0
        assert "healthy 1" in said.out
        assert "slow" in said.out
        assert said.err == ""

    def test_some_are_stuck_and_stand_first(self, drover, rancher):
        server = rancher("rke2-canal-slow", FOUNDING, "rke2-canal-healthy")
        said = drover("sweep", **server.env)
        assert said.status == 10
        rows = said.out.splitlines()[2:]
        assert rows[0].split()[:2] == ["STUCK", "edge-01"]
        assert "Waiting for API to be available" in rows[0]
        assert server.fleet.journal == type(server.fleet.journal)()

    def test_json_is_clean_and_complete(self, drover, rancher):
        said = drover("sweep", "--format", "json", **rancher(FOUNDING, "rke2-canal-healthy").env)
        found = json.loads(said.out)
        assert said.status == 10
        assert found["schema"] == 1
        assert found["servers"][0]["clusters"] == len(found["clusters"]) == 3
        verdicts = {cluster["name"]: cluster["verdict"] for cluster in found["clusters"]}
        assert verdicts["edge-01"] == "stuck"
        assert verdicts["local"] == "out-of-scope"
        stuck = found["clusters"][0]
        assert {"id", "rancher", "distribution", "cni", "kubernetes", "since", "reason", "nodes"} <= set(stuck)

    def test_markdown_and_html_escape_what_clusters_say(self, drover, rancher):
        server = rancher(FOUNDING)
        item = server.fleet.clusters[next(key for key, each in server.fleet.clusters.items() if each.name == "edge-01")]
        requests.patch(
            f"{server.url}/k8s/clusters/local/apis/management.cattle.io/v3/clusters/{item.id}",
            json={"spec": {"displayName": "<b>|evil|</b>"}},
            headers={"Authorization": f"Bearer {server.token}", "Content-Type": "application/merge-patch+json"},
            timeout=10,
        ).raise_for_status()
        markdown = drover("sweep", "--format", "markdown", **server.env).out
        html = drover("sweep", "--format", "html", **server.env).out
        assert "<b>" not in markdown
        assert "<b>" not in html
        assert html.startswith("<!doctype html>")

    def test_an_empty_fleet_is_said_to_be_empty(self, drover, rancher):
        server = rancher(with_local=False)
        said = drover("sweep", **server.env)
        assert said.status == 0
        assert "No clusters: this Rancher has none, or the token may see none." in said.out
        assert json.loads(drover("sweep", "--format", "json", **server.env).out)["clusters"] == []

    def test_several_servers_are_one_table(self, drover, rancher, tmp_path):
        (tmp_path / "config").mkdir()
        (tmp_path / "token").write_text("token-admin:simulated-administrator-secret", encoding="utf-8")
        eu, us = rancher(FOUNDING), rancher("rke2-canal-healthy")
        (tmp_path / "config" / "drover.yaml").write_text(
            f"ranchers:\n  - {{name: eu, url: '{eu.url}', token_file: {tmp_path}/token}}\n"
            f"  - {{name: us, url: '{us.url}', token_file: {tmp_path}/token}}\n",
            encoding="utf-8",
        )
        found = json.loads(drover("sweep", "--format", "json").out)
        assert {server["rancher"] for server in found["servers"]} == {"eu", "us"}
        assert {cluster["rancher"] for cluster in found["clusters"]} == {"eu", "us"}


class TestRancherThatIsNone:
    @pytest.mark.parametrize("command", [["sweep"], ["diagnose", "edge-01"], ["sweep", "--format", "json"]])
    def test_nobody_there(self, drover, command):
        said = drover(*command, RANCHER_URL="http://127.0.0.1:9", RANCHER_TOKEN="token-a:b")
        failed_politely(said, "http://127.0.0.1:9", "refused", "DROVER_RANCHER_URL")

    @pytest.mark.parametrize("command", [["sweep"], ["diagnose", "edge-01"]])
    def test_none_configured(self, drover, command):
        failed_politely(drover(*command), "no Rancher server is configured", "DROVER_RANCHER_URL")

    @pytest.mark.parametrize("command", [["sweep"], ["diagnose", "edge-01"]])
    def test_a_wrong_token(self, drover, rancher, command):
        server = rancher(FOUNDING)
        said = drover(*command, RANCHER_URL=server.url, RANCHER_TOKEN="token-wrong:s3cr3t")
        failed_politely(said, server.url, "401")
        assert "s3cr3t" not in said.err

    def test_an_expired_token(self, drover, rancher):
        server = rancher(FOUNDING)
        server.fleet.add_token("token-old:secret", expires_in=-60)
        failed_politely(drover("sweep", RANCHER_URL=server.url, RANCHER_TOKEN="token-old:secret"), "401")

    @pytest.mark.parametrize(
        ("fault", "word"), [("html", "HTML"), ("truncate", ""), ("drop", ""), ("unauthorized", "401")]
    )
    @pytest.mark.parametrize("command", [["sweep"], ["diagnose", "edge-01"]])
    def test_answers_that_are_none(self, drover, rancher, fault, word, command, monkeypatch):
        monkeypatch.setattr("rancher_ext.client.transport.time.sleep", lambda _: None)
        server = rancher(FOUNDING)
        server.fleet.faults.add(fault, path="^/(k8s|v3|rancherversion)")
        failed_politely(drover(*command, **server.env), server.url, word)

    def test_an_expired_certificate_and_an_unknown_authority(self, drover, tmp_path, monkeypatch):
        authority = Authority(tmp_path, "authority")
        for days, options, word in (
            (-1, {"RANCHER_CA_FILE": authority.file}, "expired"),
            (30, {}, "DROVER_RANCHER_CA_FILE"),
        ):
            running = QuietServer(("127.0.0.1", 0), handler_of(Server([say()])))
            running.socket = authority.server(days=days).wrap_socket(running.socket, server_side=True)
            thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            thread.start()
            url = f"https://127.0.0.1:{running.server_address[1]}"
            said = drover("sweep", RANCHER_URL=url, RANCHER_TOKEN="token-a:b", **options)
            running.shutdown()
            running.server_close()
            thread.join(5)
            failed_politely(said, url, word)

    def test_a_wrong_setting(self, drover):
        failed_politely(drover("sweep", LISTEN="x"), "DROVER_LISTEN: 'x' is not host:port")

    def test_a_bug_is_loud(self, drover, monkeypatch):
        """Only expected failures are turned into a line of text."""
        monkeypatch.setattr("bot.cli.analyze.load_settings", lambda: {}["x"])
        with pytest.raises(KeyError):
            drover("analyze", "x")


class TestDiagnose:
    def test_it_names_the_cause(self, drover, rancher):
        said = drover("diagnose", "edge-01", **rancher(FOUNDING).env)
        assert said.status == 10
        assert "The network plugin does not come up." in said.out
        assert "br_netfilter" in said.out
        assert "playbook enable-br-netfilter (" in said.out

    def test_json_on_stdout_and_nothing_else(self, drover, rancher):
        server = rancher(FOUNDING)
        (cluster,) = [each for each in server.fleet.clusters.values() if each.name == "edge-01"]
        found = json.loads(drover("diagnose", cluster.id, "--format", "json", **server.env).out)
        assert (found["schema"], found["verdict"]) == (1, "cni-failure")
        assert found["findings"][0]["signature"] == "flannel-br-netfilter-missing"
        assert found["findings"][0]["playbook"] == "enable-br-netfilter"
        assert found["findings"][0]["evidence"]
        assert {entry["status"] for entry in found["collectors"]} <= {"ok", "partial", "failed", "forbidden", "skipped"}

    @pytest.mark.parametrize("name", ["evidence.tar.gz", "evi[dence]/all.tgz", "folder"])
    def test_the_evidence_can_be_kept_and_read_again(self, drover, rancher, tmp_path, name):
        (tmp_path / "evi[dence]").mkdir()
        said = drover("diagnose", "edge-01", "--out", tmp_path / name, **rancher(FOUNDING).env)
        assert f"Evidence  {tmp_path / name}" in said.out
        again = drover("analyze", tmp_path / name)
        assert again.status == 10
        assert "br_netfilter" in again.out

    def test_a_healthy_cluster(self, drover, rancher):
        server = rancher("rke2-canal-healthy")
        (name,) = [cluster.name for cluster in server.fleet.clusters.values() if cluster.name != "local"]
        said = drover("diagnose", name, **server.env)
        assert said.status in {0, 15}
        assert "does not come up" not in said.out

    def test_an_unknown_cluster_with_near_names(self, drover, rancher):
        said = drover("diagnose", "edge-1", **rancher(FOUNDING).env)
        failed_politely(said, "has no cluster 'edge-1'", "Did you mean edge-01?")

    def test_a_cluster_deleted_half_way(self, drover, rancher):
        """It stands in the list and is gone when it is read."""
        server = rancher(FOUNDING)
        (cluster,) = [each for each in server.fleet.clusters.values() if each.name == "edge-01"]
        server.fleet.faults.add("status", path=f"/clusters/{cluster.id}$", status=404)
        failed_politely(drover("diagnose", "edge-01", **server.env), cluster.id)

    def test_a_place_that_cannot_be_written(self, drover, rancher):
        said = drover("diagnose", "edge-01", "--out", "/dev/null/x.tar.gz", **rancher(FOUNDING).env)
        assert said.status == 2
        assert "/dev/null" in said.err
        assert "Traceback" not in said.err


class TestAnalyze:
    @pytest.fixture
    def log(self, tmp_path):
        path = tmp_path / "kube-flannel.log"
        path.write_text(FATAL, encoding="utf-8")
        return path

    def test_one_log_file(self, drover, log):
        said = drover("analyze", log)
        assert said.status == 10
        assert "kube-flannel.log:1" in said.out
        assert FATAL.strip()[:60] in said.out

    def test_json(self, drover, log):
        found = json.loads(drover("analyze", log, "--format", "json").out)
        assert found["findings"][0]["evidence"][0]["line"] == 1
        assert found["findings"][0]["references"]

    @pytest.mark.parametrize("packed", [False, True])
    def test_what_comes_through_a_pipe(self, drover, monkeypatch, packed):
        """A pasted log, or an archive: `ssh node … | drover analyze -`."""
        data = gzip.compress(FATAL.encode()) if packed else FATAL.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        said = drover("analyze", "-")
        assert said.status == 10
        assert "stdin:1" in said.out

    def test_links_in_an_archive_are_told_and_not_followed(self, drover, tmp_path, log):
        link = tarfile.TarInfo("latest.log")
        link.type, link.linkname = tarfile.SYMTYPE, "kube-flannel.log"
        with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
            archive.add(log, arcname="kube-flannel.log")
            archive.addfile(link)
        said = drover("analyze", tmp_path / "b.tar.gz", "--format", "json")
        assert said.status == 10
        assert "1 links in the archive were not followed" in said.err
        assert json.loads(said.out)["verdict"] == "cni-failure"

    def test_a_log_without_a_cause(self, drover, tmp_path):
        (tmp_path / "quiet.log").write_text("I0304 all is well\n", encoding="utf-8")
        assert drover("analyze", tmp_path / "quiet.log").status == 15

    def test_an_empty_file_and_an_empty_folder(self, drover, tmp_path):
        (tmp_path / "empty.log").write_text("", encoding="utf-8")
        (tmp_path / "folder").mkdir()
        for name in ("empty.log", "folder"):
            assert drover("analyze", tmp_path / name).status in {2, 15}

    def test_it_needs_no_rancher_and_no_database(self, drover, log, tmp_path):
        drover("analyze", log)
        assert not (tmp_path / "home").exists()

    def test_what_is_not_there(self, drover, tmp_path):
        failed_politely(drover("analyze", tmp_path / "x"), f"{tmp_path}/x: there is no such file or folder")

    def test_what_is_no_archive(self, drover, tmp_path):
        (tmp_path / "x.tar.gz").write_text("hello", encoding="utf-8")
        failed_politely(drover("analyze", tmp_path / "x.tar.gz"), "is named like an archive, but is none")

    @pytest.mark.parametrize("name", ["../outside.log", "/etc/outside.log", "a/../../outside.log"])
    def test_a_name_that_leads_out_of_the_bundle(self, drover, tmp_path, log, name):
        with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive, log.open("rb") as stream:
            entry = archive.gettarinfo(log)
            entry.name = name
            archive.addfile(entry, stream)
        failed_politely(drover("analyze", tmp_path / "evil.tar.gz"), "evil.tar.gz", "outside.log")
        assert not (tmp_path.parent / "outside.log").exists()

    def test_a_link_out_of_the_bundle(self, drover, tmp_path):
        link = tarfile.TarInfo("kubelet.log")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
            archive.addfile(link)
        said = drover("analyze", tmp_path / "evil.tar.gz")
        assert said.status in {2, 15}
        assert "root:" not in said.out

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["zip", "gz"])
    def test_a_bomb(self, drover, tmp_path, kind):
        if kind == "zip":
            path = tmp_path / "bomb.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                archive.writestr("a.log", b"\0" * (200 << 20))
        else:
            path = tmp_path / "bomb.log.gz"
            with gzip.open(path, "wb", compresslevel=9) as stream:
                for _ in range(200):
                    stream.write(b"\0" * (1 << 20))
        failed_politely(drover("analyze", path), path.name)

    def test_a_truncated_archive(self, drover, tmp_path, log):
        whole = tmp_path / "whole.tar.gz"
        noise = tmp_path / "noise.log"
        noise.write_bytes(os.urandom(200_000))
        with tarfile.open(whole, "w:gz") as archive:
            archive.add(log, arcname="logs/kubelet/n1.log")
            archive.add(noise, arcname="noise.log")
        (tmp_path / "half.tar.gz").write_bytes(whole.read_bytes()[:100_000])
        failed_politely(drover("analyze", tmp_path / "half.tar.gz"), "half.tar.gz")

    def test_binary_rubbish_is_no_crash(self, drover, tmp_path):
        (tmp_path / "core.log").write_bytes(os.urandom(100_000))
        assert drover("analyze", tmp_path / "core.log").status in {2, 15}

    def test_a_broken_signature_of_the_user(self, drover, log, tmp_path):
        folder = tmp_path / "config" / "signatures"
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text("id: mine\ntitle: [\n", encoding="utf-8")
        failed_politely(drover("analyze", log), f"{folder}/mine.yaml:")
