"""What does `drover probe` do on a node? Read, mask, send once, and then keep still until it is taken away.

The pod must not end: a DaemonSet would start it again and again. It has nothing more to do, and the document that brought it is
taken out again within minutes.
"""

import secrets
import signal
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rancher_ext.bundle.redact import RedactionRules, Redactor
from rancher_ext.probe.host import host_text
from rancher_ext.probe.logs import SERVICE_ACCOUNT, LocalApi, from_api, from_files, units
from rancher_ext.probe.report import NODE, PACKED, RUN, UNPACKED, Report, token_of
from rancher_ext.probe.root import NodeRoot

# Of one file, and of all; the end of a log tells more than its beginning.
FILE = 256 << 10
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)
_SECONDS = 30.0


@dataclass(frozen=True)
class ProbeSettings:
    """What the DaemonSet tells the pod."""

    url: str
    run: str
    key: bytes = field(repr=False)
    node: str
    root: Path = Path("/host")
    ca: str = ""
    service_account: Path = Path(SERVICE_ACCOUNT)
    apis: tuple[str, ...] = ()


class NotConfigured(ValueError):
    """The pod was not started as Drover starts it. The text names the variable."""


def settings_from(environment: Mapping[str, str]) -> ProbeSettings:
    """Raises NotConfigured."""
    url = environment.get("PROBE_URL", "").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotConfigured("PROBE_URL is not the address of Drover (example: https://drover.example)")
    run, node, key = (environment.get(name, "") for name in ("PROBE_RUN", "PROBE_NODE", "PROBE_KEY"))
    if not RUN.fullmatch(run):
        raise NotConfigured("PROBE_RUN is not the name of a run")
    if not NODE.fullmatch(node):
        raise NotConfigured("PROBE_NODE is not the name of a node")
    try:
        secret = bytes.fromhex(key)
    except ValueError:
        secret = b""
    if len(secret) < 16:
        raise NotConfigured("PROBE_KEY is not a key of at least 16 bytes in hexadecimal digits")
    more = {"apis": tuple(environment["PROBE_APIS"].split(","))} if environment.get("PROBE_APIS") else {}
    return ProbeSettings(
        url=url,
        run=run,
        key=secret,
        node=node,
        root=Path(environment.get("PROBE_ROOT") or "/host"),
        ca=environment.get("PROBE_CA", ""),
        service_account=Path(environment.get("PROBE_SERVICE_ACCOUNT") or SERVICE_ACCOUNT),
        **more,
    )


def collect(settings: ProbeSettings, rules: RedactionRules) -> Report:
    """Everything that this node has to say, masked before it is packed."""
    root, notes = NodeRoot(settings.root), list[str]()
    apis = LocalApi.of_pod(settings.service_account, *([settings.apis] if settings.apis else []))
    if not apis:
        notes.append("the pod has no service account, so the API server was not asked")
    found = from_api(apis, settings.node, FILE, notes)
    if not any(path.startswith("logs/") for path, _ in found):
        # The honest fallback: the kubelet's own files, in which a pod without a container left nothing.
        found += from_files(root, FILE, notes)
    found += units(root, settings.node, FILE)
    redactor = Redactor(rules, secrets.token_bytes(32))
    facts = redactor.file("host.txt", host_text(root).encode("utf-8", "replace"))
    files = {f"host/{settings.node}.txt": facts.decode("utf-8", "replace")}
    size = len(facts)
    for path, content in found:
        masked = redactor.file(path, content)
        # A quarter is left for JSON's own marks.
        if size + len(masked) > UNPACKED // 4 * 3:
            notes.append(f"{path} did not fit any more")
            continue
        size += len(masked)
        files.setdefault(path, masked.decode("utf-8", "replace"))
    said = tuple(redactor.file("notes.txt", note.encode()).decode() for note in notes)
    return Report(settings.node, files, said, sum(entry.count for entry in redactor.report))


def fitted(report: Report) -> bytes:
    """Packed, and small enough: the largest files go first where it is not."""
    files, notes = dict(report.files), list(report.notes)
    while len(body := Report(report.node, files, tuple(notes), report.masked).packed()) > PACKED and len(files) > 1:
        largest = max((path for path in files if not path.startswith("host/")), key=lambda path: len(files[path]))
        del files[largest]
        notes.append(f"{largest} did not fit any more")
    return body


def send(
    settings: ProbeSettings,
    body: bytes,
    say: Callable[[str], None],
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """Post it once. Tried again while nobody answers; a refusal is final, for the token is used up or was never good."""
    token = token_of(settings.run, settings.key, settings.node)
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{settings.url}/ingest/probe/{token}", data=body, headers={"Content-Type": "application/gzip"}, method="POST"
    )
    context = ssl.create_default_context(cadata=settings.ca or None) if settings.url.startswith("https:") else None
    for seconds in (*_PAUSES, None):
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS, context=context):  # noqa: S310
                say(f"sent {len(body)} bytes to {settings.url}")
                return True
        except urllib.error.HTTPError as error:
            if error.code == 409:
                # The answer to the first post was lost, or the container was started again.
                say("Drover already has the report of this node")
                return True
            if error.code < 500 and error.code not in {408, 429}:
                say(f"{settings.url} refused the report with {error.code}")
                return False
            said = f"answered with {error.code}"
        except OSError as error:
            said = f"did not answer: {getattr(error, 'reason', error)}"
        say(f"{settings.url} {said}")
        if seconds is not None:
            pause(seconds)
    return False


def run(settings: ProbeSettings, rules: RedactionRules, say: Callable[[str], None], *, stay: bool) -> int:
    """All of it. With `stay` it then waits to be stopped, whatever came of it."""
    stopped = threading.Event()
    if stay and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    report = collect(settings, rules)
    say(f"read {len(report.files)} files on {settings.node}, masked {report.masked} values")
    for note in report.notes:
        say(note)
    sent = send(settings, fitted(report), say, pause=stopped.wait)
    if stay:
        stopped.wait()
    return 0 if sent else 1
