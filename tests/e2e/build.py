"""Where do the real servers of the end-to-end tests come from?

From Go's module proxy: each folder under `servers/` is a module without code of its own, whose `go.mod` names one command
of one upstream release and whose `go.sum` locks every module that goes into it. `python3 tests/e2e/build.py` builds what is
not in the cache yet and says what it does; nothing is downloaded but modules, and nothing is kept in the tree.

The cache is `<server>-<version>-<hash of go.mod and go.sum>/` below `$DROVER_E2E_CACHE` (else `$XDG_CACHE_HOME/drover-e2e`, else
`~/.cache/drover-e2e`), so a changed lock builds anew and everything else takes no time. It needs Go and nothing else. Where there
is none it says so and what brings it; that is a failure (2) where the servers are expected (`DROVER_E2E=1`, or `CI=true`)
and else the exit status 3. Only the standard library is used: this runs before there is an environment.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MODULES = Path(__file__).parent / "servers"
# Enough for the kube-apiserver on one busy core; a build that takes longer hangs.
BUILD_WITHIN = 45 * 60.0
# The exit status of a build that nobody insists on, where there is no compiler: not built, and no failure.
LEFT_OUT = 3


class NotBuilt(Exception):
    """A server is not there; the message says why and what to do."""


class NoCompiler(NotBuilt):
    """There is no Go here, or one that is too old for a server's `go.mod`."""


@dataclass(frozen=True)
class Server:
    """One upstream command. `stamps` are variables of the program that carry its version, as upstream's own build sets them."""

    name: str
    module: str
    package: str
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return MODULES / self.name

    @property
    def version(self) -> str:
        """As the module file names it."""
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(self.module)}\s+(v\S+)", self._text("go.mod"), re.MULTILINE)
        if not found:
            raise NotBuilt(f"{self.folder / 'go.mod'} does not require {self.module}")
        return found[1]

    @property
    def language(self) -> str:
        """The oldest Go that builds it, as the module file says."""
        found = re.search(r"^go (\S+)", self._text("go.mod"), re.MULTILINE)
        if not found:
            raise NotBuilt(f"{self.folder / 'go.mod'} does not say which Go it needs")
        return found[1]

    @property
    def binary(self) -> Path:
        locks = hashlib.sha256((self._text("go.mod") + self._text("go.sum")).encode()).hexdigest()[:12]
        return cache() / f"{self.name}-{self.version}-{locks}" / self.name

    def _text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


SERVERS = {
    server.name: server
    for server in (
        Server("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
        Server(
            "kube-apiserver",
            "k8s.io/kubernetes",
            "k8s.io/kubernetes/cmd/kube-apiserver",
            {"k8s.io/component-base/version.gitVersion": "{version}"},
        ),
        Server("kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    )
}


def cache() -> Path:
    own = os.environ.get("DROVER_E2E_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drover-e2e"


def expected() -> bool:
    """Is a tier that cannot run a failure here?"""
    return os.environ.get("DROVER_E2E") == "1" or os.environ.get("CI", "").lower() in {"1", "true"}


def missing(names: Sequence[str] = tuple(SERVERS)) -> list[str]:
    return [name for name in names if not SERVERS[name].binary.is_file()]


def build(names: Sequence[str] = tuple(SERVERS), say: Callable[[str], None] = print) -> None:
    """Builds what the cache lacks. Raises NotBuilt with Go's own words when that does not work."""
    for name in names:
        server = SERVERS[name]
        if server.binary.is_file():
            say(f"{name} {server.version}: in the cache, {server.binary}")
            continue
        go = compiler_for(server)
        say(f"{name} {server.version}: building, this takes minutes the first time")
        began = time.monotonic()
        _compile(go, server)
        size = server.binary.stat().st_size / 1e6
        say(f"{name} {server.version}: built in {time.monotonic() - began:.0f} s, {size:.0f} MB, {server.binary}")


def compiler_for(server: Server) -> str:
    """The Go command on the path, if it is there and new enough."""
    go = shutil.which("go")
    what = f"{server.name} {server.version} is not in the cache ({cache()})"
    if go is None:
        raise NoCompiler(f"{what}, and there is no Go here to build it: no command `go` on the path.\n{_how_to_get()}")
    found = re.search(r"go(\d+(?:\.\d+)*)", _go_version(go))
    if found is None or _numbers(found[1]) < _numbers(server.language):
        raise NoCompiler(f"{what}; it needs Go {server.language}, and {go} is {_go_version(go)}.\n{_how_to_get()}")
    return go


def _how_to_get() -> str:
    newest = max((each.language for each in SERVERS.values()), key=_numbers)
    line = ".".join(newest.split(".")[:2])
    return (
        f"  On Debian the package golang-{line}-go of the release or its backports brings it, in /usr/lib/go-{line}/bin, which has\n"
        f"  to be on the path; golang-go may be older. Elsewhere: https://go.dev/dl/. It fetches modules through GOPROXY.\n"
        "  Then: make e2e"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split("."))


def _compile(go: str, server: Server) -> None:
    place = server.binary.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    flags = " ".join(f"-X {name}={value.format(version=server.version)}" for name, value in server.stamps.items())
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "local",  # the compiler that is here; another one would have to be downloaded
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly -buildvcs=false",  # go.sum is the lock: nothing that it does not name is used
    }
    # Made beside its place and moved there whole: a build that is cut off, or one of two at once, leaves no half file.
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        made = Path(scratch) / "made"
        command = [go, "build", "-p", str(jobs()), "-trimpath", "-ldflags", f"-s -w {flags}".strip()]
        command += ["-o", str(made / server.name), server.package]
        try:
            done = subprocess.run(
                _nice(command),
                cwd=server.folder,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=BUILD_WITHIN,
            )
        except subprocess.TimeoutExpired:
            raise NotBuilt(
                f"{server.name} {server.version}: not built within {BUILD_WITHIN / 60:.0f} minutes"
            ) from None
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if not line.startswith("go: downloading ")]
            raise NotBuilt(
                f"{server.name} {server.version} cannot be built with {_go_version(go)}:\n" + "\n".join(said[-20:])
            )
        if not server.binary.is_file():
            shutil.rmtree(place, ignore_errors=True)
            made.rename(place)


def jobs() -> int:
    """A build shares the machine with whatever else runs on it."""
    return min(2, os.cpu_count() or 1)


def _nice(command: list[str]) -> list[str]:
    return ["nice", "-n", "15", *command] if shutil.which("nice") else command


def _go_version(go: str) -> str:
    return subprocess.run([go, "version"], check=False, text=True, capture_output=True).stdout.strip()


def main(names: Sequence[str]) -> int:
    if unknown := [name for name in names if name not in SERVERS]:
        print(f"There is no server {unknown[0]!r}. Known: {', '.join(SERVERS)}.", file=sys.stderr)
        return 2
    try:
        build(names or tuple(SERVERS))
    except NoCompiler as error:
        print(error, file=sys.stderr)
        if expected():
            return 2
        print("The end-to-end tests are left out here.", file=sys.stderr)
        return LEFT_OUT
    except NotBuilt as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
