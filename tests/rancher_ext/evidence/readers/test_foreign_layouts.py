"""Archives as other tools make them: whose words are ascribed to whom, and is the cause named as from a bundle of ours?"""

import io
import json
import tarfile
import zipfile

import pytest

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.origin import OriginKind
from rancher_ext.catalogue import diagnose_bundle, load_signatures
from rancher_ext.evidence.archive import open_bundle, write_folder
from rancher_ext.evidence.readers import read_facts

FLANNEL_LOG = (
    "I0412 07:31:02.118340       1 main.go:211] CLI flags config: {etcdEndpoints:http://127.0.0.1:4001 iface:[] kubeSubnetMgr:true}\n"
    "I0412 07:31:02.240112       1 kube.go:139] Waiting 10m0s for node controller to sync\n"
    "E0412 07:31:03.001276       1 main.go:278] Failed to check br_netfilter: stat /proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory\n"
)
KUBELET_LINE = 'kubelet[1187]: E0412 07:31:40.552034    1187 kubelet.go:3002] "Container runtime network not ready" networkReady="NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"\n'
HEX = "9b1d3ef0" * 8


def tar_of(files, *, top="", links=()):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            info = tarfile.TarInfo(f"./{top}/{path}" if top else f"./{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for path, target in links:
            info = tarfile.TarInfo(f"./{top}/{path}" if top else f"./{path}")
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return data.getvalue()


def facts_of_archive(tmp_path, data, name="bundle.tar.gz"):
    (tmp_path / name).write_bytes(data)
    return read_facts(open_bundle(tmp_path / name))


def said_by(facts, path):
    origin = facts.origins[path]
    return origin.workload or origin.unit, origin.container, origin.node, origin.previous


def rke2_node(host, *, kernel="6.12.0-55.9.1.el10_0.x86_64"):
    """One node's collection of Rancher's log collector, second layout, API server reachable."""
    return {
        "collector-output.log": "2025-04-12 07:40:00: Detecting OS... rocky 10.0\n",
        "systeminfo/hostname": f"{host}.plant.example\n",
        "systeminfo/date": "Sat Apr 12 07:40:03 UTC 2025\n",
        "systeminfo/osrelease": 'NAME="Rocky Linux"\nPRETTY_NAME="Rocky Linux 10.0 (Red Quartz)"\n',
        "systeminfo/uname": f"Linux {host}.plant.example {kernel} #1 SMP PREEMPT_DYNAMIC Fri Mar 7 UTC 2025 x86_64 GNU/Linux\n",
        "systeminfo/dmesg": "[Sat Apr 12 07:28:11 2025] bridge: filtering via arp/ip/ip6tables is no longer available by default\n",
        "systeminfo/ps": "root 1187 kubelet --fail-swap-on=false\n",
        "networking/cni/10-canal.conflist": '{"name": "k8s-pod-network"}\n',
        "journald/rke2-agent": f'Apr 12 07:31:40 {host} rke2[1001]: time="2025-04-12T07:31:40Z" level=info msg="Running kubelet"\n',
        "rke2/agent-logs/kubelet.log": KUBELET_LINE.partition(": ")[2],
        "rke2/agent-logs/kubelet-2025-04-11T03-10-44.201.log": "I0411 earlier\n",
        "rke2/containerd.log": 'time="2025-04-12T07:31:00Z" level=error msg="failed to load cni during init"\n',
        "rke2/kubectl/nodes": (
            "NAME                 STATUS     ROLES    AGE   VERSION          INTERNAL-IP   EXTERNAL-IP   OS-IMAGE                        KERNEL-VERSION                CONTAINER-RUNTIME\n"
            "w1.plant.example     NotReady   <none>   19m   v1.32.3+rke2r1   10.4.0.11     <none>        Rocky Linux 10.0 (Red Quartz)   6.12.0-55.9.1.el10_0.x86_64   containerd://2.0.4-k3s2\n"
            "w2.plant.example     NotReady   <none>   18m   v1.32.3+rke2r1   10.4.0.12     <none>        Rocky Linux 10.0 (Red Quartz)   6.12.0-55.9.1.el10_0.x86_64   containerd://2.0.4-k3s2\n"
        ),
        "rke2/kubectl/pods": (
            "NAMESPACE     NAME                READY   STATUS             RESTARTS        AGE   IP           NODE               NOMINATED NODE   READINESS GATES\n"
            "kube-system   rke2-canal-7m2dx    1/2     CrashLoopBackOff   8 (3m9s ago)    19m   10.4.0.11    w1.plant.example   <none>           <none>\n"
            "kube-system   rke2-canal-kq9zt    1/2     CrashLoopBackOff   8 (2m51s ago)   18m   10.4.0.12    w2.plant.example   <none>           <none>\n"
        ),
        "rke2/kubectl/events": (
            "NAMESPACE     LAST SEEN   TYPE      REASON    OBJECT                 SUBOBJECT                     SOURCE                      MESSAGE                                              FIRST SEEN   COUNT   NAME\n"
            "kube-system   3m9s        Warning   BackOff   pod/rke2-canal-7m2dx   spec.containers{kube-flannel}   kubelet, w1.plant.example   Back-off restarting failed container kube-flannel    19m          71      rke2-canal-7m2dx.17f\n"
        ),
        "rke2/kubectl/crds": "NAME                                   CREATED AT\nippools.crd.projectcalico.org          2025-04-12T07:20:31Z\n",
        "rke2/kubectl/rancher-prov/clusters.provisioning.cattle.io": (
            "apiVersion: v1\nitems:\n- apiVersion: provisioning.cattle.io/v1\n  kind: Cluster\n  metadata:\n    name: plant\n    namespace: fleet-default\n"
            '  spec:\n    kubernetesVersion: v1.32.3+rke2r1\n    rkeConfig:\n      machineGlobalConfig:\n        cni: canal\nkind: List\nmetadata:\n  resourceVersion: ""\n'
        ),
        "rke2/podlogs/kube-system-rke2-canal-7m2dx": FLANNEL_LOG,
        "rke2/podlogs/kube-system-rke2-canal-7m2dx-previous": FLANNEL_LOG,
        "rke2/podlogs/kube-system-rke2-canal-kq9zt": FLANNEL_LOG,
        "systemlogs/messages": (
            f"Apr 12 07:28:10 {host} kernel: Linux version {kernel}\n"
            f"Apr 12 07:31:39 {host} systemd[1]: rke2-agent.service: Consumed 31.2s CPU time.\n"
            f"Apr 12 07:31:40 {host} {KUBELET_LINE}"
            f"Apr 12 07:31:41 {host} chronyd[702]: Selected source 10.0.0.1\n"
        ),
    }  # fmt: skip


def test_one_node_of_rke2_with_its_listings_logs_and_host(tmp_path):
    data = tar_of(rke2_node("w1"), top="w1.plant.example-2025-04-12_07_40_00")
    facts = facts_of_archive(tmp_path, data, "w1.plant.example-2025-04-12_07_40_00.tar.gz")

    w1 = "w1.plant.example"
    assert said_by(facts, "rke2/podlogs/kube-system-rke2-canal-7m2dx") == ("cni", None, w1, False)
    assert said_by(facts, "rke2/podlogs/kube-system-rke2-canal-7m2dx-previous") == ("cni", None, w1, True)
    assert said_by(facts, "rke2/podlogs/kube-system-rke2-canal-kq9zt") == ("cni", None, "w2.plant.example", False)
    assert said_by(facts, "rke2/agent-logs/kubelet.log") == ("kubelet", None, w1, False)
    assert said_by(facts, "rke2/agent-logs/kubelet-2025-04-11T03-10-44.201.log")[0] == "kubelet"
    assert said_by(facts, "journald/rke2-agent") == ("rke2-agent", None, w1, False)
    assert said_by(facts, "systeminfo/dmesg") == ("kernel", None, w1, False)
    assert said_by(facts, "systemlogs/messages/w1/kubelet") == ("kubelet", None, w1, False)
    assert said_by(facts, "systemlogs/messages/w1/rke2-agent")[0] == "rke2-agent"
    assert "systeminfo/ps" not in facts.origins
    assert [(n.name, n.ready, n.os_image) for n in facts.nodes] == [
        (w1, "False", "Rocky Linux 10.0 (Red Quartz)"),
        ("w2.plant.example", "False", "Rocky Linux 10.0 (Red Quartz)"),
    ]
    [event] = facts.events
    assert (event.reason, event.kind, event.name, event.namespace, event.count, event.message) == (
        "BackOff", "Pod", "rke2-canal-7m2dx", "kube-system", 71, "Back-off restarting failed container kube-flannel",
    )  # fmt: skip
    assert "CustomResourceDefinition" in facts.listed
    assert (facts.cluster.name, facts.cluster.distribution, facts.cluster.cni) == ("plant", "rke2", "canal")


def test_collections_of_several_nodes_in_one_zip_stay_apart(tmp_path):
    path = tmp_path / "support-0317.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for host in ("w1", "w2"):
            name = f"{host}.plant.example-2025-04-12_07_40_00"
            archive.writestr(f"case/{name}.tar.gz", tar_of(rke2_node(host), top=name))

    facts = read_facts(open_bundle(path))

    kubelets = {
        o.node: p for p, o in facts.origins.items() if o.unit == "kubelet" and p.endswith("agent-logs/kubelet.log")
    }
    assert set(kubelets) == {"w1.plant.example", "w2.plant.example"}
    assert len(facts.nodes) == 2
    assert len(facts.pods) == 2
    assert len(facts.events) == 1, "one list of events, collected twice"


def rke1_node():
    return {
        "systeminfo/hostname": "edge-a3\n",
        "docker/dockerpsa": "CONTAINER ID   IMAGE   COMMAND\n",
        "journald/docker": 'Apr 12 07:31:40 edge-a3 dockerd[640]: level=info msg="API listen on /var/run/docker.sock"\n',
        "k8s/containerlogs/kubelet": "2025-04-12T07:31:40.000000001Z E0412 07:31:40.552034    1187 kubelet.go:3002] network plugin is not ready: cni config uninitialized\n",
        "k8s/containerlogs/nginx-proxy": "2025-04-12T07:31:40.000000001Z started\n",
        "k8s/podlogs/k8s_kube-flannel_canal-p4wd8_kube-system_1f0c7a52-0b63-4a39-9a53-5f2f6f0d7b11_6": FLANNEL_LOG,
        "k8s/podlogs/k8s_kube-flannel_canal-p4wd8_kube-system_1f0c7a52-0b63-4a39-9a53-5f2f6f0d7b11_5": FLANNEL_LOG,
        "k8s/podlogs/k8s_POD_canal-p4wd8_kube-system_1f0c7a52-0b63-4a39-9a53-5f2f6f0d7b11_0": "",
        "k8s/kubectl/nodes": "NAME      STATUS     ROLES    AGE   VERSION\nedge-a3   NotReady   worker   20m   v1.32.2\n",
        "rancher/containerlogs/agent-4be1c2a97f10": '2025-04-12T07:31:40.000000001Z level=error msg="Failed to connect to proxy"\n',
    }  # fmt: skip


def test_rke1_in_the_first_layout(tmp_path):
    """Docker numbers a container's runs in its name, and the archive has no folder around it."""
    facts = facts_of_archive(tmp_path, tar_of(rke1_node()))

    pod = "k8s/podlogs/k8s_kube-flannel_canal-p4wd8_kube-system_1f0c7a52-0b63-4a39-9a53-5f2f6f0d7b11"
    assert said_by(facts, f"{pod}_6") == ("cni", "kube-flannel", "edge-a3", False)
    assert said_by(facts, f"{pod}_5") == ("cni", "kube-flannel", "edge-a3", True)
    assert said_by(facts, "k8s/containerlogs/kubelet") == ("kubelet", None, "edge-a3", False)
    assert said_by(facts, "k8s/containerlogs/nginx-proxy")[0] == "nginx-proxy"
    assert said_by(facts, "rancher/containerlogs/agent-4be1c2a97f10")[0] == "rancher-agent"
    assert facts.cluster.cni == "canal"


def test_rke1_in_the_second_layout_reads_the_same(tmp_path):
    files = {path.replace("k8s/", "rke/"): text for path, text in rke1_node().items()}
    facts = facts_of_archive(tmp_path, tar_of(files, top="edge-a3-2025-04-12_07_40_00"))

    runs = {o.previous for p, o in facts.origins.items() if o.container == "kube-flannel"}
    assert runs == {True, False}
    assert all(o.node == "edge-a3" for o in facts.origins.values() if o.kind is OriginKind.UNIT)


def test_k3s_whose_api_server_is_down_brings_copies_of_var_log_pods(tmp_path):
    run = "k3s/podlogs/kube-system_coredns-5d4dd4b4db-9hx2j_8c1d1f5e-7a65-4d39-9d0c-c1b9b70f5a44/coredns"
    files = {
        "systeminfo/hostname": "shop-17\n",
        "journald/k3s": 'Apr 12 07:31:40 shop-17 k3s[812]: time="2025-04-12T07:31:40Z" level=fatal msg="flannel exited: failed to find any valid interface"\n',
        f"{run}/2.log": "2025-04-12T07:31:40.000000001Z stdout F plugin/errors: 2\n",
        f"{run}/1.log": "2025-04-12T07:21:40.000000001Z stdout F plugin/errors: 2\n",
        f"{run}/1.log.20250412-072500": "2025-04-12T07:20:00.000000001Z stdout F started\n",
    }
    facts = facts_of_archive(tmp_path, tar_of(files, top="shop-17-2025-04-12_07_40_00"))

    assert said_by(facts, "journald/k3s") == ("k3s", None, "shop-17", False)
    assert said_by(facts, f"{run}/2.log") == ("coredns", "coredns", "shop-17", False)
    assert said_by(facts, f"{run}/1.log")[3]
    assert said_by(facts, f"{run}/1.log.20250412-072500")[3]
    assert facts.cluster.distribution == "k3s"


def test_a_kubeadm_collection_with_links_for_logs_is_read_and_says_so(tmp_path):
    """/var/log/containers holds nothing but links, and the collector copies it."""
    files = {"kubeadm/podlogs/kube-flannel-kube-flannel-ds-2kqpt": FLANNEL_LOG, "systeminfo/hostname": "n1\n"}
    links = [
        (
            f"kubeadm/containers-varlogs/kube-flannel-ds-2kqpt_kube-flannel_kube-flannel-{HEX}.log",
            "/var/log/pods/x/0.log",
        )
    ]
    (tmp_path / "b.tar.gz").write_bytes(tar_of(files, top="n1-2025-04-12_07_40_00", links=links))
    bundle = open_bundle(tmp_path / "b.tar.gz")

    assert any("1 links" in note for note in bundle.notes)
    origin = read_facts(bundle).origins["kubeadm/podlogs/kube-flannel-kube-flannel-ds-2kqpt"]
    assert (origin.namespace, origin.workload) == ("kube-flannel", "cni")


def test_a_windows_collection_in_utf_16(tmp_path):
    files = {
        "k8s/components/kubelet.log": "E0412 07:31:40.552034 kubelet.go] cni config uninitialized\r\n".encode("utf-16"),
        "k8s/containerlogs/kube-flannel-0f3a9c77de12.log": FLANNEL_LOG,
        "eventlogs/rke2-service.txt": "Starting rke2 agent\r\n",
        "system/systeminfo": "Host Name: WIN-4\r\n",
    }
    facts = facts_of_archive(tmp_path, tar_of(files), "rancher_rke2_win-4_2025-04-12.tar.gz")

    assert said_by(facts, "k8s/components/kubelet.log") == ("kubelet", None, "win-4", False)
    assert said_by(facts, "k8s/containerlogs/kube-flannel-0f3a9c77de12.log")[:2] == ("cni", "kube-flannel")


POD = {
    "metadata": {"name": "kube-flannel-ds-2kqpt", "namespace": "kube-flannel", "managedFields": [{"manager": "kubelet"}]},
    "spec": {"nodeName": "n1", "containers": [{"name": "kube-flannel"}]},
    "status": {"phase": "Running", "containerStatuses": [{"name": "kube-flannel", "ready": False, "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=kube-flannel"}}}]},
}  # fmt: skip
NODE = {"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "cni plugin not initialized"}]}}  # fmt: skip


@pytest.mark.parametrize("with_kinds", [False, True])
def test_a_support_bundle_of_troubleshoot(tmp_path, with_kinds):
    """Older versions leave the kind out; newer ones write lists, and link the logs of collectors to one copy."""

    def listing(kind, *items):
        return json.dumps(
            {"kind": f"{kind}List", "apiVersion": "v1", "items": items} if with_kinds else list(items), indent=2
        )

    files = {
        "version.yaml": "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\n",
        "cluster-resources/nodes.json": listing("Node", NODE),
        "cluster-resources/pods/kube-flannel.json": listing("Pod", POD),
        "cluster-resources/pods/logs/kube-flannel/kube-flannel-ds-2kqpt/kube-flannel.log": FLANNEL_LOG,
        "cluster-resources/pods/logs/kube-flannel/kube-flannel-ds-2kqpt/kube-flannel-previous.log": FLANNEL_LOG,
        "cluster-resources/events/kube-flannel.json": listing("Event", {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "kube-flannel-ds-2kqpt"}, "reason": "BackOff", "type": "Warning", "message": "Back-off restarting failed container"}),
        "host-collectors/journald/kubelet.txt": f"Apr 12 07:31:40 n1 {KUBELET_LINE}",
    }  # fmt: skip
    data = tar_of(files, top="support-bundle-2025-04-12T07_40_00", links=[("flannel/kube-flannel-ds-2kqpt/kube-flannel.log", "../../cluster-resources/x.log")])  # fmt: skip
    facts = facts_of_archive(tmp_path, data)

    logs = "cluster-resources/pods/logs/kube-flannel/kube-flannel-ds-2kqpt"
    assert said_by(facts, f"{logs}/kube-flannel.log") == ("cni", "kube-flannel", "n1", False)
    assert said_by(facts, f"{logs}/kube-flannel-previous.log") == ("cni", "kube-flannel", "n1", True)
    assert said_by(facts, "host-collectors/journald/kubelet.txt") == ("kubelet", None, "n1", False)
    assert [(p.name, p.status, p.complete) for p in facts.pods] == [("kube-flannel-ds-2kqpt", "CrashLoopBackOff", True)]
    assert "managedFields" not in facts.pods[0].object["metadata"]
    assert [n.ready for n in facts.nodes] == ["False"]
    assert [e.reason for e in facts.events] == ["BackOff"]
    assert {"Pod", "Node", "Event"} <= facts.listed


def dump_parts():
    def listing(kind, *items):
        return json.dumps(
            {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items}, indent=4
        )

    log = (
        "==== START logs for container install-cni of pod kube-flannel/kube-flannel-ds-2kqpt ====\n"
        "copied\n"
        "==== END logs for container install-cni of pod kube-flannel/kube-flannel-ds-2kqpt ====\n"
        "==== START logs for container kube-flannel of pod kube-flannel/kube-flannel-ds-2kqpt ====\n"
        f"{FLANNEL_LOG}"
        "==== END logs for container kube-flannel of pod kube-flannel/kube-flannel-ds-2kqpt ====\n"
    )
    return {"nodes.json": listing("Node", NODE), "kube-flannel/events.json": listing("Event"), "kube-flannel/pods.json": listing("Pod", POD), "kube-flannel/kube-flannel-ds-2kqpt/logs.txt": log}  # fmt: skip


def test_a_cluster_info_dump_as_one_stream_keeps_its_line_numbers(tmp_path):
    text = "\n".join(dump_parts().values())
    (tmp_path / "dump.json").write_text(text)
    bundle = open_bundle(tmp_path / "dump.json")
    facts = read_facts(bundle)

    view = "dump.json/kube-flannel/kube-flannel-ds-2kqpt/kube-flannel"
    assert said_by(facts, view) == ("cni", "kube-flannel", "n1", False)
    wanted = next(n for n, line in enumerate(text.split("\n"), 1) if "br_netfilter" in line)
    seen = bundle[view].read_bytes().decode().split("\n")
    assert "Failed to check br_netfilter" in seen[wanted - 1]
    assert seen.count("") == len(seen) - 3
    assert facts.origins["dump.json"].kind is OriginKind.OBJECT
    assert [p.restarts for p in facts.pods] == [9]
    assert facts.pods[0].at.line == next(
        n for n, line in enumerate(text.split("\n"), 1) if '"kube-flannel-ds-2kqpt"' in line
    )
    assert {"Node", "Pod", "Event"} <= facts.listed


def test_a_cluster_info_dump_as_a_folder(tmp_path):
    write_folder(Bundle.of(dump_parts()), tmp_path / "state")
    facts = read_facts(open_bundle(tmp_path / "state"))

    assert said_by(facts, "kube-flannel/kube-flannel-ds-2kqpt/logs.txt/kube-flannel/kube-flannel-ds-2kqpt/kube-flannel")[:2] == ("cni", "kube-flannel")  # fmt: skip
    assert [n.name for n in facts.nodes] == ["n1"]


def test_a_support_bundle_of_longhorn_or_harvester(tmp_path):
    """Node logs lie in one zip a node, objects in YAML lists."""
    node = io.BytesIO()
    with zipfile.ZipFile(node, "w") as archive:
        archive.writestr("logs/kubelet.log", KUBELET_LINE)
        archive.writestr("logs/messages", f"Apr 12 07:31:40 hv-2 {KUBELET_LINE}Apr 12 07:31:41 hv-2 kernel: x\n")
        archive.writestr("hostinfos/hostinfo.txt", "hv-2\n")
    path = tmp_path / "supportbundle_0b1c_2025-04-12T07-40-00Z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sb/metadata.yaml", "projectName: Longhorn\n")
        archive.writestr("sb/yamls/cluster/kubernetes/nodes.yaml", 'apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: hv-2\n  status:\n    conditions:\n    - type: Ready\n      status: "False"\n      message: cni plugin not initialized\nkind: NodeList\n')  # fmt: skip
        archive.writestr("sb/logs/kube-system/rke2-canal-7m2dx/kube-flannel.log", FLANNEL_LOG)
        archive.writestr("sb/logs/kube-system/rke2-canal-7m2dx/kube-flannel.log.1", FLANNEL_LOG)
        archive.writestr("sb/nodes/hv-2.zip", node.getvalue())

    facts = read_facts(open_bundle(path))

    assert said_by(facts, "logs/kube-system/rke2-canal-7m2dx/kube-flannel.log")[:2] == ("cni", "kube-flannel")
    assert said_by(facts, "logs/kube-system/rke2-canal-7m2dx/kube-flannel.log.1")[:2] == ("cni", "kube-flannel")
    assert said_by(facts, "nodes/hv-2/logs/kubelet.log") == ("kubelet", None, "hv-2", False)
    assert said_by(facts, "nodes/hv-2/logs/messages/hv-2/kernel") == ("kernel", None, "hv-2", False)
    [ready] = [c for c in facts.nodes[0].conditions if c.type == "Ready"]
    assert (facts.nodes[0].name, ready.message, ready.at.line) == ("hv-2", "cni plugin not initialized", 11)


def test_kind_and_must_gather_name_node_and_container_in_folders(tmp_path):
    pod = "kube-system_canal-7m2dx_1f0c7a52-0b63-4a39-9a53-5f2f6f0d7b11"
    files = {
        f"worker/pods/{pod}/kube-flannel/3.log": FLANNEL_LOG,
        "namespaces/kube-system/pods/canal-7m2dx/kube-flannel/kube-flannel/logs/previous.log": FLANNEL_LOG,
        "worker/journal.log": f"Apr 12 07:31:40 worker {KUBELET_LINE}",
    }
    facts = facts_of_archive(tmp_path, tar_of(files, top="out"))

    assert said_by(facts, f"worker/pods/{pod}/kube-flannel/3.log")[:2] == ("cni", "kube-flannel")
    assert said_by(facts, "namespaces/kube-system/pods/canal-7m2dx/kube-flannel/kube-flannel/logs/previous.log")[3]
    assert said_by(facts, "worker/journal.log/worker/kubelet")[2] == "worker"


@pytest.mark.parametrize(
    ("layout", "signature"),
    [
        ("rke1", "flannel-br-netfilter-missing"),
        ("dump", "flannel-br-netfilter-missing"),
        # The hosts are Enterprise Linux 10, which moved the module into a package of its own.
        ("rke2", "rhel10-kernel-modules-extra"),
    ],
)
def test_the_cause_is_named_from_every_layout(tmp_path, layout, signature):
    data = {"rke1": lambda: tar_of(rke1_node()), "rke2": lambda: tar_of(rke2_node("w1"), top="x"), "dump": lambda: tar_of(dump_parts())}[layout]()  # fmt: skip
    (tmp_path / "b.tar.gz").write_bytes(data)
    diagnosis = diagnose_bundle(open_bundle(tmp_path / "b.tar.gz"), load_signatures())

    assert diagnosis.best.signature == signature
    assert diagnosis.best.confidence >= 0.8, "the origin of the line is known, so there is no doubt about it"
