"""What should be known of a host on which flannel does not come up? A fixed list of facts, read from files, as one text.

Nothing is run and nothing is listed beyond what stands here: kernel, modules, sysctls, the plugins' folders, UDP ports that are
taken, which iptables is in use, links, routes.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from itertools import islice

from rancher_ext.probe.root import NodeRoot

MODULES = (
    "br_netfilter", "overlay", "vxlan", "wireguard", "dummy", "nf_conntrack", "nf_nat", "nf_tables", "nft_compat", "ip_tables",
    "iptable_nat", "iptable_filter", "iptable_mangle", "ip6_tables", "ip6table_nat", "ip_set", "ip_vs", "xt_comment",
    "xt_conntrack", "xt_mark", "xt_multiport", "xt_set", "xt_statistic", "xt_MASQUERADE",
)  # fmt: skip
SYSCTLS = (
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
)
CONFIG_FOLDERS = (
    "/etc/cni/net.d",
    "/var/lib/rancher/k3s/agent/etc/cni/net.d",
    "/var/lib/rancher/rke2/agent/etc/cni/net.d",
)
PLUGIN_FOLDERS = ("/opt/cni/bin", "/var/lib/rancher/k3s/data/cni", "/usr/libexec/cni", "/usr/lib/cni")
# VXLAN of Linux as flannel and as everybody else use it, WireGuard, Geneve.
_PORTS = {8472: "VXLAN", 4789: "VXLAN", 51820: "WireGuard", 51821: "WireGuard", 6081: "Geneve"}
_SHOWN = 200
_LINES = 20_000
_CONFIG = 16 << 10


def host_text(root: NodeRoot) -> str:
    """All facts, each under its heading. What cannot be read is said."""
    parts = []
    for title, read in _FACTS:
        lines = list(islice(read(root), _SHOWN + 1))
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = ["…"]
        parts.append("\n".join([f"== {title} ==", *(lines or ["(nothing)"])]))
    return "\n\n".join(parts) + "\n"


def _system(root: NodeRoot) -> Iterator[str]:
    release = root.text("/etc/os-release") or root.text("/usr/lib/os-release") or ""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
    yield f"system: {name[1] if name else 'not known'}"
    yield f"kernel: {_line(root, '/proc/sys/kernel/osrelease')}"
    enforcing = root.text("/sys/fs/selinux/enforce")
    selinux = {"1": "enforcing", "0": "permissive"}.get((enforcing or "").strip(), "off")
    yield f"SELinux: {selinux}"


def _modules(root: NodeRoot) -> Iterator[str]:
    present = root.text("/proc/modules", 256 << 10)
    if present is None:
        yield "/proc/modules cannot be read"
        return
    loaded = {line.partition(" ")[0] for line in present.splitlines()}
    release = (root.text("/proc/sys/kernel/osrelease") or "").strip()
    built_in = _module_names(root, f"/lib/modules/{release}/modules.builtin")
    installed = _module_names(root, f"/lib/modules/{release}/modules.dep")
    for module in MODULES:
        if module in loaded:
            state = "loaded"
        elif module in (built_in or ()):
            state = "built in"
        elif installed is None:
            state = "not loaded"
        else:
            state = "not loaded" if module in installed else "not loaded, not installed for this kernel"
        yield f"{module}: {state}"


def _module_names(root: NodeRoot, path: str) -> frozenset[str] | None:
    """From `kernel/drivers/net/vxlan/vxlan.ko.xz: …`; the kernel writes `_` where files have `-`."""
    listed = root.text(path, 2 << 20)
    if listed is None:
        return None
    files = (line.partition(":")[0].rpartition("/")[2] for line in listed.splitlines())
    return frozenset(name.partition(".ko")[0].replace("-", "_") for name in files)


def _sysctls(root: NodeRoot) -> Iterator[str]:
    for name in SYSCTLS:
        yield f"{name} = {_line(root, '/proc/sys/' + name.replace('.', '/'), '(not there)')}"


def _configurations(root: NodeRoot) -> Iterator[str]:
    for folder in CONFIG_FOLDERS:
        names = root.names(folder)
        if names is None:
            yield f"{folder}: not there"
            continue
        yield f"{folder}: {', '.join(names[:_SHOWN]) or 'empty'}"
        # Kubeconfigs lie beside them and hold tokens: nothing but network configurations is read.
        for name in [each for each in names if each.endswith((".conf", ".conflist"))][:20]:
            yield f"--- {folder}/{name}"
            yield from (root.text(f"{folder}/{name}", _CONFIG) or "(cannot be read)").splitlines()
    yield "--- /run/flannel/subnet.env"
    yield from (root.text("/run/flannel/subnet.env", _CONFIG) or "(not there)").splitlines()


def _plugins(root: NodeRoot) -> Iterator[str]:
    for folder in PLUGIN_FOLDERS:
        names = root.names(folder)
        yield f"{folder}: {'not there' if names is None else ', '.join(names[:_SHOWN]) or 'empty'}"


def _reservations(root: NodeRoot) -> Iterator[str]:
    """Addresses that host-local keeps: a file each, named as the address."""
    folder = "/var/lib/cni/networks"
    for network in (root.names(folder) or [])[:20]:
        count = sum(_is_address(name) for name in root.names(f"{folder}/{network}") or ())
        yield f"{network}: {count} addresses reserved"


def _udp(root: NodeRoot) -> Iterator[str]:
    for path in ("/proc/net/udp", "/proc/net/udp6"):
        for columns in _table(root, path):
            if len(columns) > 1 and ":" in columns[1]:
                address, _, port = columns[1].rpartition(":")
                number = int(port, 16)
                yield f"{_address(address)} port {number}" + (f" ({_PORTS[number]})" if number in _PORTS else "")


def _iptables(root: NodeRoot) -> Iterator[str]:
    for name in ("iptables", "ip6tables", "nft"):
        found = [
            path
            for path in (f"/usr/sbin/{name}", f"/sbin/{name}", f"/usr/bin/{name}", f"/usr/local/sbin/{name}")
            if root.target(path)
        ]
        if not found:
            yield f"{name}: not installed"
            continue
        target = root.target(found[0])
        mode = "legacy" if "legacy" in target else "nft" if "nft" in target else "of unknown mode"
        yield f"{name}: {found[0]} is {target}, {mode}" if name != "nft" else f"{name}: {found[0]}"
    for path, kind in (("/proc/net/ip_tables_names", "IPv4"), ("/proc/net/ip6_tables_names", "IPv6")):
        tables = root.text(path)
        said = "cannot be read" if tables is None else ", ".join(tables.split()) or "none"
        yield f"legacy {kind} tables in use: {said}"


def _links(root: NodeRoot) -> Iterator[str]:
    folder = "/sys/class/net"
    for name in root.names(folder) or []:
        state, mtu, mac = (_line(root, f"{folder}/{name}/{each}", "?") for each in ("operstate", "mtu", "address"))
        yield f"{name}: {state}, mtu {mtu}, {mac}"


def _addresses(root: NodeRoot) -> Iterator[str]:
    """The host's own IPv4 addresses, from the kernel's table of routes."""
    last, seen = "", set()
    for line in (root.text("/proc/net/fib_trie", 1 << 20) or "").splitlines():
        found = re.match(r"[\s|]*\|-- (\d+\.\d+\.\d+\.\d+)$", line)
        if found:
            last = found[1]
        elif "/32 host LOCAL" in line and last not in seen:
            seen.add(last)
            yield last
    for columns in _table(root, "/proc/net/if_inet6", headings=0):
        if len(columns) == 6 and re.fullmatch("[0-9a-f]{32}", columns[0]):
            yield f"{ipaddress.IPv6Address(int(columns[0], 16))} on {columns[5]}"


def _routes(root: NodeRoot) -> Iterator[str]:
    rows = [columns for columns in _table(root, "/proc/net/route") if len(columns) >= 8]
    if not any(columns[1] == "00000000" == columns[7] for columns in rows):
        yield "there is no default route for IPv4"
    for columns in rows:
        prefix = int(columns[7], 16).bit_count()
        via = f" via {_address(columns[2])}" if int(columns[2], 16) else ""
        yield f"{_address(columns[1])}/{prefix}{via} on {columns[0]}"


_FACTS: tuple[tuple[str, Callable[[NodeRoot], Iterator[str]]], ...] = (
    ("system", _system),
    ("kernel modules", _modules),
    ("sysctls", _sysctls),
    ("network configurations", _configurations),
    ("network plugins", _plugins),
    ("reserved addresses", _reservations),
    ("UDP ports in use", _udp),
    ("iptables", _iptables),
    ("links", _links),
    ("addresses", _addresses),
    ("IPv4 routes", _routes),
)


def _table(root: NodeRoot, path: str, headings: int = 1) -> Iterator[list[str]]:
    listed = (root.text(path, 4 << 20) or "").splitlines()
    for line in islice(listed, headings, _LINES):
        yield line.split()


def _address(text: str) -> str:
    """As the kernel prints it: words of 32 bits, each in the order of a little-endian host."""
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _line(root: NodeRoot, path: str, otherwise: str = "not known") -> str:
    read = root.text(path, 4096)
    return otherwise if read is None else read.strip() or "(empty)"
