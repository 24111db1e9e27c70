"""What does `link=shell` of a machine open? A terminal on the node, as Rancher opens it by SSH for who may update machines.

`wss /v1/cluster.x-k8s.io.machines/<namespace>/<name>?link=shell`, subprotocol `base64.channel.k8s.io`. Behind it is a real `sh` on
a real pty, with `journalctl` and `sudo` of a simulated node. Custom machines have no key, and are not found.
"""

import asyncio
import base64
import contextlib
import os
import pty
import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from rancher_ext.simulator.cluster import SimCluster
from rancher_ext.simulator.fleet import Fleet, Token
from rancher_ext.simulator.identity import MachineName
from rancher_ext.simulator.render.logs import render_log

_SUBPROTOCOL = "base64.channel.k8s.io"
_PATH = re.compile(r"/v1/cluster\.x-k8s\.io\.machines/(?P<namespace>[^/]+)/(?P<name>[^/]+)")
_JOURNALCTL = """\
#!/bin/sh
unit=kernel
while [ $# -gt 0 ]; do
  case "$1" in -u) unit=$2; shift;; -k) unit=kernel;; esac
  shift
done
if [ -f "$JOURNAL/$unit" ]; then cat "$JOURNAL/$unit"; else echo "-- No entries --"; fi
"""
_SUDO = '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n'


class MachineShell:
    """Serves the terminal. `typed` is everything that was ever typed, by machine: for those who judge a client."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.typed: list[tuple[str, str]] = []

    async def serve(self, scope: Scope, receive: Receive, send: Send, token: Token | None) -> None:
        await receive()  # websocket.connect
        found = self._machine(scope, token)
        if isinstance(found, int):
            if "websocket.http.response" in (scope.get("extensions") or {}):
                await send({"type": "websocket.http.response.start", "status": found, "headers": []})
                await send({"type": "websocket.http.response.body", "body": b""})
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        cluster, machine = found
        await send({"type": "websocket.accept", "subprotocol": _SUBPROTOCOL})
        with tempfile.TemporaryDirectory() as folder:
            await self._terminal(_home(Path(folder), cluster, machine), machine, receive, send)

    def _machine(self, scope: Scope, token: Token | None) -> tuple[SimCluster, MachineName] | int:
        """The machine, or the status of the refusal."""
        path = _PATH.fullmatch(scope["path"])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if token is None:
            return 401
        if path is None or query.get("link") != ["shell"] or _SUBPROTOCOL not in scope.get("subprotocols", ()):
            return 404
        if token.read_only or "machines" in token.deny:
            return 403
        with self._fleet.lock:
            for cluster in self._fleet.clusters.values():
                if cluster.identity.namespace != path["namespace"] or not cluster.provisioned_v2:
                    continue
                for machine in cluster.identity.machines:
                    if machine.name == path["name"] and cluster.scenario.driver != "custom":
                        return cluster, machine
        return 404

    async def _terminal(self, home: Path, machine: MachineName, receive: Receive, send: Send) -> None:
        ours, theirs = pty.openpty()
        environment = {"PATH": f"{home / 'bin'}:/usr/bin:/bin", "JOURNAL": str(home / "journal"), "TERM": "xterm"}
        shell = subprocess.Popen(  # noqa: ASYNC220 - starts at once, and is the machine's own
            ["/bin/sh", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        shown: asyncio.Queue[bytes] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def readable() -> None:
            try:
                data = os.read(ours, 65536)
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(ours)
            shown.put_nowait(data)

        loop.add_reader(ours, readable)
        jobs = [
            asyncio.create_task(_show(shown, send)),
            asyncio.create_task(self._type(ours, machine, receive)),
        ]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(ours)
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            shell.kill()
            shell.wait()
            os.close(ours)
        with contextlib.suppress(RuntimeError):
            # The client may have left first.
            await send({"type": "websocket.close", "code": 1000})

    async def _type(self, terminal: int, machine: MachineName, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text") or ""
            if text[:1] == "0":
                keys = base64.b64decode(text[1:])
                self.typed.append((machine.name, keys.decode()))
                os.write(terminal, keys)


async def _show(shown: "asyncio.Queue[bytes]", send: Send) -> None:
    while data := await shown.get():
        await send({"type": "websocket.send", "text": "1" + base64.b64encode(data).decode()})


def _home(folder: Path, cluster: SimCluster, machine: MachineName) -> Path:
    """The node's programs and journals, as far as anybody asks for them."""
    for name, script in (("journalctl", _JOURNALCTL), ("sudo", _SUDO)):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(script, encoding="ascii")
        program.chmod(0o755)
    journal = folder / "journal"
    journal.mkdir()
    server = machine.has("controlplane") or machine.has("etcd")
    unit = {("rke2", True): "rke2-server", ("rke2", False): "rke2-agent", ("k3s", True): "k3s"}.get(
        (cluster.scenario.distribution, server), "k3s-agent"
    )
    names = {"node": machine.node, "ip": machine.ip, "pod": "", "cni": cluster.scenario.cni, "rancher": ""}
    fact = cluster.facts.cni
    said = render_log(cluster.scenario.logs[fact.log], cluster.born, names) if fact.log else "all is well\n"
    journal.joinpath(unit).write_text(
        "".join(f"Mar 02 10:11:12 {machine.node} {unit}[812]: {line}\n" for line in said.splitlines()), encoding="utf-8"
    )
    journal.joinpath("kernel").write_text(
        f"Mar 02 10:11:12 {machine.node} kernel: bridge: filtering via arp/ip/ip6tables is no longer available by default.\n",
        encoding="utf-8",
    )
    return folder
