"""How does a test get a real Kubernetes API on loopback?

`Etcd` and `ApiServer` run upstream's own programs with certificates made for the run: bearer tokens for several users, RBAC,
no controllers and no scheduler, so that an object stays what a test made it. Several API servers share one etcd, each below
a prefix of its own. Everything lies in one temporary folder and is gone with it.

Objects are stored as JSON instead of protobuf, which no client can tell, so that `Etcd` can put back what only the server
may set (`creationTimestamp`, `uid`, `deletionTimestamp`), as the restore of a backup does.
"""

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from tests.e2e.build import SERVERS
from tests.e2e.certificates import Authority, signing_key

Json = dict[str, Any]

# It takes three seconds on an idle machine, and an answer none at all; other builds may hold both cores.
READY_WITHIN = 180.0
ANSWERED_WITHIN = 120.0
# Twenty servers share the machine with the tests: one thread each is enough, and memory is cheaper than collecting it.
FRUGAL = {"GOMAXPROCS": "1", "GOGC": "300"}
ADMIN = "e2e-admin"
MASTERS = "system:masters"


class DidNotStart(Exception):
    """A server ended or never became ready; the message has the end of its log."""


@dataclass(frozen=True)
class User:
    """Who a bearer token belongs to, for the API server itself."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        return f"token-of-{self.name}"


class Program:
    """One server process with its log in a file. May be started again after it was stopped."""

    def __init__(self, name: str, folder: Path, arguments: Sequence[str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._arguments = arguments
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env={**os.environ, **FRUGAL},
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            if self.process.poll() is not None:
                raise DidNotStart(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise DidNotStart(f"{self.name} was not ready within {READY_WITHIN:.0f} s:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """At once: nothing that it holds is needed any more, and an API server would first wait for its watches to end."""
        self.process.kill()
        self.process.wait()


class Etcd:
    """One etcd member, spoken to through its JSON gateway.

    `tells_progress` is how kubeadm, K3s and RKE2 run it (every 5 s there): without it the version of a kind in which nothing
    happens stands still, and the API server sends no bookmark for it. It is off in an etcd that nobody configured, and here
    where no test is about bookmarks: one message a second for each of the 70 kinds that an API server watches is five sixths
    of what an idle one costs.
    """

    def __init__(self, folder: Path, authority: Authority, *, tells_progress: bool = False) -> None:
        self.authority = authority
        self.certificate, self.key = authority.issue("etcd")
        client, peer = free_ports(2)
        self.url = f"https://127.0.0.1:{client}"
        self._session = _session(authority)
        self._session.cert = (str(self.certificate), str(self.key))
        served = [f"--{side}cert-file={self.certificate}" for side in ("", "peer-")]
        served += [f"--{side}key-file={self.key}" for side in ("", "peer-")]
        served += [f"--{side}trusted-ca-file={authority.file}" for side in ("", "peer-")]
        self._program = Program(
            "etcd",
            folder / "etcd",
            [
                str(SERVERS["etcd"].binary),
                f"--data-dir={folder / 'etcd' / 'data'}",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls=https://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=https://127.0.0.1:{peer}",
                f"--initial-cluster=default=https://127.0.0.1:{peer}",
                "--client-cert-auth",
                # Nothing here has to survive a power cut, and every write would wait for the disk.
                "--unsafe-no-fsync",
                "--log-level=warn",
                *(["--experimental-watch-progress-notify-interval=1s"] if tells_progress else []),
                *served,
            ],
        )
        self._program.wait_until(lambda: _answers(self._session, f"{self.url}/health"))

    def read(self, key: str) -> Json:
        """The stored form of one object. A KeyError means that nothing is stored there."""
        found = self._call("kv/range", {"key": _b64(key)}).get("kvs")
        if not found:
            raise KeyError(key)
        value: Json = json.loads(base64.b64decode(found[0]["value"]))
        return value

    def write(self, key: str, value: Json) -> None:
        """Past the API server and all its checks; its caches and watches hear of it as of any other change."""
        self._call("kv/put", {"key": _b64(key), "value": _b64(json.dumps(value, separators=(",", ":")))})

    def revision(self) -> int:
        return int(self._call("kv/range", {"key": _b64("/")})["header"]["revision"])

    def compact(self) -> None:
        """Forgets every revision before this moment, as the API server does every five minutes."""
        self._call("kv/compaction", {"revision": str(self.revision()), "physical": True})

    def _call(self, method: str, body: Json) -> Json:
        response = self._session.post(f"{self.url}/v3/{method}", json=body, timeout=ANSWERED_WITHIN)
        response.raise_for_status()
        answer: Json = response.json()
        return answer

    def stop(self) -> None:
        self._session.close()
        self._program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


class ApiServer:
    """One kube-apiserver over `etcd`. `call` speaks to it as its administrator or as anybody else.

    With a `tunnel` (a Unix socket) it reaches kubelets as K3s and RKE2 do, by asking a proxy to connect it. Without
    `watch_cache` watches are served from etcd itself and end with its history.
    """

    def __init__(
        self,
        folder: Path,
        etcd: Etcd,
        name: str = "local",
        users: Sequence[User] = (),
        *,
        tunnel: Path | None = None,
        watch_cache: bool = True,
    ) -> None:
        self.name = name
        self.etcd = etcd
        self.prefix = f"/{name}"
        self.authority = etcd.authority
        self.admin = User(ADMIN, (MASTERS,))
        home = folder / f"kube-apiserver-{name}"
        home.mkdir(parents=True, exist_ok=True)
        self.users = (self.admin, *users)
        tokens = home / "tokens.csv"
        tokens.write_text(
            "".join(f'{u.token},{u.name},{u.name},"{",".join(u.groups)}"\n' for u in self.users), encoding="ascii"
        )
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        self.session = _session(self.authority)
        more = [] if watch_cache else ["--watch-cache=false"]
        if tunnel:
            more.append(f"--egress-selector-config-file={_egress(home, tunnel)}")
        self._program = self._start(home, port, tokens, more)
        try:
            self._wait()
        except DidNotStart:
            self.session.close()
            raise

    def _wait(self) -> None:
        self._program.wait_until(lambda: _answers(self.session, f"{self.url}/readyz"))

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The server is gone meanwhile, and comes back on the same address with empty caches."""
        self._program.stop()
        try:
            yield
        finally:
            self._program.start()
            self._wait()

    def _start(self, home: Path, port: int, tokens: Path, more: Sequence[str]) -> Program:
        certificate, key = self.authority.issue(f"kube-apiserver-{self.name}", MASTERS)
        accounts = signing_key(home)
        return Program(
            f"kube-apiserver-{self.name}",
            home,
            [
                str(SERVERS["kube-apiserver"].binary),
                f"--etcd-servers={self.etcd.url}",
                f"--etcd-prefix={self.prefix}",
                f"--etcd-cafile={self.authority.file}",
                f"--etcd-certfile={self.etcd.certificate}",
                f"--etcd-keyfile={self.etcd.key}",
                "--etcd-compaction-interval=0",  # tests compact when they mean to
                "--storage-media-type=application/json",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={port}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={self.authority.file}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={accounts}",
                f"--service-account-signing-key-file={accounts}",
                "--service-cluster-ip-range=10.43.0.0/16",
                "--allow-privileged",  # as RKE1, RKE2 and K3s run it
                # What several servers need to find each other and to share a load; each runs alone here.
                "--endpoint-reconciler-type=none",
                "--feature-gates=APIServerIdentity=false",
                "--enable-priority-and-fairness=false",
                # Pods would wait for a service account that only the controller manager makes.
                "--disable-admission-plugins=ServiceAccount",
                # The kubelets that `pods/log` is asked of are KWOK's.
                f"--kubelet-client-certificate={certificate}",
                f"--kubelet-client-key={key}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--cert-dir={home}",
                "--profiling=false",
                "--v=1",
                *more,
            ],
        )

    def call(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        user: User | None = None,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        return self.session.request(
            method,
            self.url + path,
            params=params,
            data=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {(user or self.admin).token}", "Content-Type": content_type},
            timeout=ANSWERED_WITHIN,
        )

    def kubeconfig(self, file: Path) -> Path:
        """For programs that want one."""
        cluster = {"server": self.url, "certificate-authority": str(self.authority.file)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": "e2e", "user": {"token": self.admin.token}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
        }
        file.touch(mode=0o600)
        file.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
        return file

    def stop(self) -> None:
        self.session.close()
        self._program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()


@contextmanager
def running_cluster(
    folder: Path, users: Sequence[User] = (), *, tells_progress: bool = False, watch_cache: bool = True
) -> Iterator[ApiServer]:
    """etcd and one API server over it."""
    authority = Authority(folder / "certificates")
    with (
        Etcd(folder, authority, tells_progress=tells_progress) as etcd,
        ApiServer(folder, etcd, users=users, watch_cache=watch_cache) as server,
    ):
        yield server


def _egress(home: Path, tunnel: Path) -> Path:
    """Connections into the cluster (to kubelets) go through the socket; all others, to etcd, go straight."""
    through = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(tunnel)}}}
    file = home / "egress.yaml"
    content = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": through}],
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are held until the last is known, so that none is given twice."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _session(authority: Authority) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(authority.file)
    return session


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
