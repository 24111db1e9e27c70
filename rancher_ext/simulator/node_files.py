"""What lies on the disk of a simulated node, and in its /proc and /sys, as far as anybody looks?

A folder that stands for the node's root. Logs of pods are those that the simulated API server would give, in the runtime's
format, as the kubelet keeps them; kernel and CNI files say what the cluster's state says.
"""

from collections.abc import Mapping
from pathlib import Path

from rancher_ext.simulator.clock import rfc3339_nano
from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.capi import node_info
from rancher_ext.simulator.render.logs import render_log
from rancher_ext.simulator.render.workloads import CNI

_LOADED = ("overlay", "vxlan", "nf_conntrack", "nf_nat", "nf_tables", "nft_compat", "ip_set", "xt_comment", "xt_mark")
_INSTALLED = (*_LOADED, "br_netfilter", "wireguard", "dummy", "ip_tables", "iptable_nat", "iptable_filter")


def lay_out(folder: Path, files: Mapping[str, str], links: Mapping[str, str] | None = None) -> Path:
    """Writes the files of a node below `folder`; `links` are symbolic, and point to the node's own paths."""
    for path, content in files.items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
    for path, target in (links or {}).items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(target)
    return folder


def host_files(
    kernel: str, system: str, ip: str, *, bridge_filter: bool = True, plugins: bool = True
) -> dict[str, str]:
    """A host as it comes from a cloud image, with or without `br_netfilter`."""
    loaded = [*_LOADED, *(["br_netfilter"] if bridge_filter else [])]
    files = {
        "/etc/os-release": f'NAME="Linux"\nPRETTY_NAME="{system}"\n',
        "/proc/sys/kernel/osrelease": f"{kernel}\n",
        "/proc/modules": "".join(f"{name} 32768 0 - Live 0x0000000000000000\n" for name in loaded),
        f"/lib/modules/{kernel}/modules.dep": "".join(f"kernel/net/{name}.ko.zst:\n" for name in _INSTALLED),
        f"/lib/modules/{kernel}/modules.builtin": "kernel/net/ipv4/ip_vs.ko\n",
        "/proc/sys/net/ipv4/ip_forward": "1\n",
        "/proc/sys/fs/inotify/max_user_instances": "128\n",
        "/proc/net/udp": _udp(8472),
        "/proc/net/route": (
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
            f"eth0\t00000000\t{_hex(_gateway(ip))}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        ),
        "/proc/net/fib_trie": f"Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- {ip}\n        /32 host LOCAL\n",
        "/sys/class/net/eth0/operstate": "up\n",
        "/sys/class/net/eth0/mtu": "9001\n",
        "/sys/class/net/eth0/address": "0a:58:0a:00:00:01\n",
        "/usr/sbin/xtables-nft-multi": "",
    }
    if bridge_filter:
        files["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "1\n"
    if plugins:
        files |= {f"/opt/cni/bin/{name}": "" for name in ("bridge", "flannel", "host-local", "loopback", "portmap")}
    return files


IPTABLES_LINKS = {"/usr/sbin/iptables": "/etc/alternatives/iptables", "/etc/alternatives/iptables": "/usr/sbin/xtables-nft-multi"}  # fmt: skip


def node_root(cluster: SimCluster, machine: MachineName, folder: Path) -> Path:
    """The root of one machine of a simulated cluster at this moment."""
    info = node_info(cluster, machine)
    files = host_files(
        str(info["kernelVersion"]),
        str(info["osImage"]),
        machine.ip,
        bridge_filter="netfilter" not in cluster.facts.cni.log,
    )
    return lay_out(folder, files | _pod_logs(cluster, machine), IPTABLES_LINKS)


def _pod_logs(cluster: SimCluster, machine: MachineName) -> dict[str, str]:
    """Of the CNI's own pods, as the container runtime writes them: time, stream, F for a full line."""
    workload = CNI.get((cluster.scenario.distribution, cluster.scenario.cni))
    if workload is None:
        return {}
    fact, logs = cluster.facts.cni, cluster.scenario.logs
    ill = cluster.cni_manner(machine) != "ready" and bool(fact.log)
    started = cluster.cni_since.get(machine.place, cluster.born)
    written = {}
    pod = f"{workload.daemonset}-{machine.id[:5]}"
    names = {"node": machine.node, "ip": machine.ip, "pod": pod, "cni": cluster.scenario.cni, "rancher": ""}
    for container, _, log in (*workload.init, *workload.containers):
        text = logs[fact.log] if ill and container == fact.container else logs[log]
        lines = render_log(text, started, names).splitlines()
        stamp = rfc3339_nano(started)
        path = f"/var/log/pods/kube-system_{pod}_{machine.id}/{container}/{1 if ill else 0}.log"
        written[path] = "".join(f"{stamp} stderr F {line}\n" for line in lines)
    return written


def _udp(port: int) -> str:
    heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    return (
        f"{heading}  12: 00000000:{port:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2\n"
    )


def _hex(address: str) -> str:
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))


def _gateway(ip: str) -> str:
    return f"{ip.rpartition('.')[0]}.1"
