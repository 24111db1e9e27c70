"""What do the journals of the nodes say? By Rancher's machine shell, on clusters whose people allow it.

Rancher has the SSH key of every machine that it made itself, and opens a shell there for who may update machines. No API gives
the journals of RKE2, K3s and the kernel otherwise. Only with the label `drover.io/machine-shell: allow` on the Rancher cluster, and
only the commands below, which read: what is typed is made of nothing else. Each session and each command is noted before and after
by the witness of the collection; where there is none, no shell is opened.
"""

import re
import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import quote

from rancher_ext.errors import RancherError
from rancher_ext.evidence.collect import Collector, Item, segment
from rancher_ext.evidence.collectors._machine_socket import MachineSocket
from rancher_ext.evidence.collectors._machines import infrastructure_of, machines
from rancher_ext.evidence.reach import Reach, Side
from rancher_ext.evidence.witness import ShellAct, Witness
from rancher_ext.fleet.cluster import Distribution, Management
from rancher_ext.fleet.parse import mapping, text
from rancher_ext.fleet.snapshot import ClusterSnapshot

LABEL = "drover.io/machine-shell"
# A dead network looks alike on every node; the servers and a few others tell it.
MOST_MACHINES = 6
_OUTPUT = 4 << 20
# The address is tried for 5 s, SSH gets 30 s (Rancher, pkg/api/steve/machine).
_OPENS_WITHIN = 40.0
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])")


@dataclass(frozen=True)
class Command:
    """One command line, and under which unit's name its output is kept."""

    unit: str
    line: str


def _journal(unit: str, lines: int) -> Command:
    return Command(unit, f"journalctl -u {unit} --no-pager -n {lines}")


_SYSTEM_AGENT = _journal("rancher-system-agent", 500)
_KERNEL = Command("kernel", "journalctl -k --no-pager -n 1000")
COMMANDS: Mapping[tuple[Distribution, bool], tuple[Command, ...]] = MappingProxyType(
    {
        (Distribution.RKE2, True): (_journal("rke2-server", 2000), _SYSTEM_AGENT, _KERNEL),
        (Distribution.RKE2, False): (_journal("rke2-agent", 2000), _SYSTEM_AGENT, _KERNEL),
        (Distribution.K3S, True): (_journal("k3s", 2000), _SYSTEM_AGENT, _KERNEL),
        (Distribution.K3S, False): (_journal("k3s-agent", 2000), _SYSTEM_AGENT, _KERNEL),
    }
)
_FIXED = frozenset(command for commands in COMMANDS.values() for command in commands)
_NONCE = re.compile(r"[0-9a-f]{16}")


def allowed(snapshot: ClusterSnapshot) -> bool:
    """Off unless somebody switched it on for this cluster."""
    return (
        snapshot.labels.get(LABEL) == "allow"
        and snapshot.management is Management.PROVISIONED
        and snapshot.distribution in {Distribution.RKE2, Distribution.K3S}
    )


def run(reach: Reach) -> Iterator[Item]:
    witness = reach.witness
    if witness is None:
        reach.problem("no shell is opened where nobody keeps a record of it: that is the service, under an incident")
        return
    found = [machine for machine in machines(reach) if _has_key(machine)]
    found.sort(key=lambda machine: (not _is_server(machine), text(mapping(machine, "metadata").get("name"))))
    if not found:
        reach.remark("Rancher has no key of these machines: it did not make them")
    if len(found) > MOST_MACHINES:
        reach.remark(f"{MOST_MACHINES} of {len(found)} machines were asked")
    with witness.watching():
        for machine in found[:MOST_MACHINES]:
            name = text(mapping(machine, "metadata").get("name"))
            node = text(mapping(machine, "status", "nodeRef").get("name")) or name
            with reach.tolerating():
                commands = COMMANDS[reach.snapshot.distribution, _is_server(machine)]
                for command, output in _ask(reach, witness, name, commands):
                    yield f"logs/{command.unit}/{segment(node)}.log", output


def _ask(reach: Reach, witness: Witness, machine: str, commands: tuple[Command, ...]) -> Iterator[tuple[Command, str]]:
    """All commands in one shell of one machine. What was read is told in the manifest, that it was done in the record."""
    namespace = reach.snapshot.identity.namespace
    path = f"/v1/cluster.x-k8s.io.machines/{quote(namespace, safe='')}/{quote(machine, safe='')}?link=shell"
    act = ShellAct(secrets.token_hex(8), f"{namespace}/{machine}")
    with (
        _noted(witness, act) as session,
        MachineSocket(reach.local.transport, path, min(_OPENS_WITHIN, reach.remaining())) as shell,
    ):
        for number, command in enumerate(commands, 1):
            nonce = secrets.token_hex(8)
            with _noted(witness, replace(act, number=number, command=command.line)) as told:
                shell.type(typed(command, nonce))
                output, status = _answer(shell, nonce, reach)
                told.result = f"{len(output.encode())} bytes, exit {status}"
            if status != 0:
                reach.problem(f"{machine}: `{command.line}` ended with {status}: {output.strip()[-120:]}")
                continue
            reach.remark(f"{machine}: `{command.line}`")
            yield command, output
        shell.type("exit\n")
        session.result = f"closed after {len(commands)} commands"


@dataclass
class _Told:
    """What an act came to, once it is known."""

    result: str = ""


@contextmanager
def _noted(witness: Witness, act: ShellAct) -> Iterator[_Told]:
    """Before and after, whatever happens between. Of a failure stands its kind alone: its words may be the machine's."""
    witness.note(act)
    told = _Told()
    try:
        yield told
    except BaseException as error:
        told.result = f"broken off: {type(error).__name__}"
        raise
    finally:
        witness.note(replace(act, result=told.result or "broken off"))


def typed(command: Command, nonce: str) -> str:
    """What is typed for a command: marks around its output, since a terminal shows what is typed, too.

    The marks are put together by the shell, so that the line that is typed does not hold them itself. Journals belong to root.
    """
    if command not in _FIXED or not _NONCE.fullmatch(nonce):
        raise ValueError("only the commands of this file are ever typed")
    line = shlex.join(shlex.split(command.line))
    return (
        f"printf '\\ndrover-%s-%s\\n' begin {nonce}; "
        f"if sudo -n true 2>/dev/null; then sudo -n {line}; else {line}; fi 2>&1; "
        f"printf '\\ndrover-%s-%s-%d\\n' end {nonce} $?\n"
    )


def _answer(shell: MachineSocket, nonce: str, reach: Reach) -> tuple[str, int]:
    begin, end = f"drover-begin-{nonce}", re.compile(rf"drover-end-{nonce}-(\d+)")
    seen = b""
    while True:
        # Looked for at the end only: the whole would be read again with every piece.
        found = end.search(seen[-4096:].decode("utf-8", "replace"))
        if found:
            break
        if len(seen) > _OUTPUT:
            raise RancherError(
                "the machine says more than anybody asked for", cure="Look at the machine's shell by hand."
            )
        seen += shell.read(reach.remaining())
    shown = _ANSI.sub("", seen.decode("utf-8", "replace")).replace("\r", "")
    inside = shown.partition(begin)[2].rpartition(f"drover-end-{nonce}")[0]
    return inside.strip("\n") + "\n", int(found[1])


def _is_server(machine: dict[str, object]) -> bool:
    labels = mapping(machine, "metadata", "labels")
    return any(labels.get(f"rke.cattle.io/{role}-role") == "true" for role in ("control-plane", "etcd"))


def _has_key(machine: dict[str, object]) -> bool:
    """A custom machine was made by somebody else, and its key is theirs."""
    infrastructure = infrastructure_of(machine)
    return infrastructure is not None and "custom" not in infrastructure[0].name.lower()


COLLECTOR = Collector("machine_shell", Side.MANAGEMENT, run, timeout=180, applies=allowed)
