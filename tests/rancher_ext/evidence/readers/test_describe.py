from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.facts import Taint
from rancher_ext.evidence.readers import read_facts

NODE = """\
Name:               green-6
Roles:              worker
Labels:             beta.kubernetes.io/os=linux
                    kubernetes.io/os=linux
Annotations:        flannel.alpha.coreos.com/backend-data: {"VNI":1,"VtepMAC":"5e:aa:0c:71:02:9d"}
                    flannel.alpha.coreos.com/public-ip: 10.0.2.15
CreationTimestamp:  Tue, 20 May 2025 10:00:00 +0000
Taints:             node.cloudprovider.kubernetes.io/uninitialized=true:NoSchedule
                    node.kubernetes.io/not-ready:NoExecute
Unschedulable:      false
Conditions:
  Type             Status  LastHeartbeatTime                 LastTransitionTime                Reason                       Message
  ----             ------  -----------------                 ------------------                ------                       -------
  MemoryPressure   False   Tue, 20 May 2025 16:10:00 +0000   Tue, 20 May 2025 15:40:00 +0000   KubeletHasSufficientMemory   kubelet has sufficient memory available
  Ready            False   Tue, 20 May 2025 16:10:00 +0000   Tue, 20 May 2025 15:40:00 +0000   KubeletNotReady              cni plugin not initialized
Addresses:
  InternalIP:  192.168.7.31
  Hostname:    green-6
System Info:
  Kernel Version:             6.12.0-124.8.1.el10_1.x86_64
  OS Image:                   Rocky Linux 10.1 (Red Quartz)
  Operating System:           linux
  Kubelet Version:            v1.33.6+rke2r1
PodCIDR:                      10.42.3.0/24
"""

POD = """\
Name:                 rke2-canal-n5x7d
Namespace:            kube-system
Node:                 bare01/203.0.113.14
Status:               Running
Init Containers:
  install-cni:
    Image:          rancher/hardened-calico:v3.29.2
    State:          Terminated
      Reason:       Completed
      Exit Code:    0
    Ready:          True
    Restart Count:  2
Containers:
  calico-node:
    Image:          rancher/hardened-calico:v3.29.2
    State:          Running
      Started:      Tue, 16 Dec 2025 14:05:40 +0000
    Ready:          True
    Restart Count:  0
  kube-flannel:
    Image:          rancher/hardened-flannel:v0.26.4
    State:          Waiting
      Reason:       CrashLoopBackOff
    Last State:     Terminated
      Reason:       Error
      Exit Code:    1
    Ready:          False
    Restart Count:  7
Events:
  Type     Reason   Age   From     Message
"""


def test_a_described_node_gives_its_facts_and_an_object_for_expressions():
    [node] = read_facts(Bundle.of({"nodes.txt": NODE})).nodes

    assert (node.name, node.ready, node.os, node.internal_ip) == ("green-6", "False", "linux", "192.168.7.31")
    assert node.taints == (
        Taint("node.cloudprovider.kubernetes.io/uninitialized", "true", "NoSchedule"),
        Taint("node.kubernetes.io/not-ready", "", "NoExecute"),
    )
    assert node.annotations["flannel.alpha.coreos.com/public-ip"] == "10.0.2.15"
    assert node.annotations["flannel.alpha.coreos.com/backend-data"].startswith('{"VNI":1')
    assert node.labels["kubernetes.io/os"] == "linux"
    assert (node.os_image, node.kernel) == ("Rocky Linux 10.1 (Red Quartz)", "6.12.0-124.8.1.el10_1.x86_64")
    assert node.pod_cidr == "10.42.3.0/24"
    assert [c.type for c in node.conditions] == ["MemoryPressure", "Ready"]
    assert node.object["status"]["nodeInfo"]["osImage"] == "Rocky Linux 10.1 (Red Quartz)"
    assert node.object["spec"]["podCIDR"] == "10.42.3.0/24"
    assert not node.complete


def test_fragments_of_a_description_are_facts_of_a_node_without_name():
    facts = read_facts(
        Bundle.of({"nodes.txt": "Taints:             node.cloudprovider.kubernetes.io/uninitialized=true:NoSchedule\n"})
    )

    [node] = facts.nodes
    assert (node.name, node.ready, node.taints[0].key) == ("", None, "node.cloudprovider.kubernetes.io/uninitialized")
    assert node.annotations is None
    assert (node.at.source, node.at.line) == ("nodes.txt", 1)


def test_no_taints_is_known_not_unknown():
    [node] = read_facts(Bundle.of({"nodes.txt": "Name:   a\nTaints:             <none>\n"})).nodes

    assert node.taints == ()


def test_a_described_pod_gives_its_containers():
    [pod] = read_facts(Bundle.of({"pods.txt": POD})).pods

    assert (pod.name, pod.namespace, pod.node, pod.status) == (
        "rke2-canal-n5x7d",
        "kube-system",
        "bare01",
        "CrashLoopBackOff",
    )
    assert (pod.ready, pod.total, pod.restarts) == (1, 2, 9)
    flannel = pod.container("kube-flannel")
    assert (flannel.state, flannel.reason, flannel.last_reason, flannel.last_exit_code) == (
        "waiting",
        "CrashLoopBackOff",
        "Error",
        1,
    )
    init = pod.container("install-cni")
    assert (init.init, init.state, init.exit_code, init.restarts) == (True, "terminated", 0, 2)


def test_a_listing_and_a_description_of_one_pod_are_one_pod():
    listing = "kube-system   rke2-canal-n5x7d   1/2   CrashLoopBackOff   9 (2m ago)   14m   203.0.113.14   bare01\n"
    [pod] = read_facts(Bundle.of({"pods.txt": listing + POD})).pods

    assert pod.age == 840
    assert pod.container("kube-flannel").last_exit_code == 1


def test_a_described_daemonset():
    text = "Name:           kube-flannel-ds\nSelector:       app=flannel\nDesired Number of Nodes Scheduled: 2\nCurrent Number of Nodes Scheduled: 2\nNumber of Nodes Scheduled with Available Pods: 1\nNumber of Nodes Misscheduled: 0\n"
    [daemonset] = read_facts(Bundle.of({"pods.txt": text})).daemonsets

    assert (daemonset.name, daemonset.desired, daemonset.ready, daemonset.misscheduled) == ("kube-flannel-ds", 2, 1, 0)
    assert daemonset.at.text.startswith("Desired Number")


def test_several_descriptions_in_one_paste_are_told_apart():
    facts = read_facts(Bundle.of({"everything.txt": NODE + "\n\n" + POD + "\n" + NODE.replace("green-6", "green-7")}))

    assert [node.name for node in facts.nodes] == ["green-6", "green-7"]
    assert [pod.name for pod in facts.pods] == ["rke2-canal-n5x7d"]
