"""Which program on which node wrote this line of a journal or system log?

journald prints as text (`short`, `short-iso`, `short-precise`, `short-full`, `short-unix`, `with-unit`), as JSON lines and as its
export format; rsyslog writes `messages` and `syslog` in much the same shape.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from rancher_ext.bundle.origin import UNITS

_TIME = (
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    rb"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    rb"|(?:[A-Z][a-z]{2} )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})? [A-Z]{1,5}"
    rb"|\d{10}\.\d{6})"
)
_SYSLOG = re.compile(
    rb"^(?:<\d{1,3}>)?" + _TIME + rb" ([A-Za-z0-9][A-Za-z0-9_.-]{0,252}) ([A-Za-z0-9_./@-]{1,100})(?:\[\d{1,10}\])?: "
)
# systemd speaks of a unit in its own name: `systemd[1]: kubelet.service: Main process exited`.
_OF_UNIT = re.compile(rb"(?:^|\s)([a-z0-9][a-z0-9-]{1,60})\.service\b")
_NAMES = {
    "dockerd": "docker",
    "networkmanager": "networkmanager",
    "auditd": "audit",
    "audispd": "audit",
    "kubeproxy": "kube-proxy",
    "rke2-server": "rke2-server",
    "rancher-wins": "rancher-wins",
}
_LONGEST_FIELD = 1 << 20


def syslog_line(line: bytes) -> tuple[str, str] | None:
    """Host and unit of a line as text; the unit is empty for programs that are nobody's concern. None: no such line."""
    found = _SYSLOG.match(line)
    if found is None:
        return None
    host, program = found[1].decode(), found[2].decode().rpartition("/")[2].lower()
    return host, _unit(program, line[found.end() : found.end() + 300])


def _unit(program: str, message: bytes) -> str:
    stem = program.removesuffix(".service").removesuffix(".sh")
    if stem == "systemd" and (named := _OF_UNIT.search(message)) is not None:
        stem = named[1].decode()
    stem = _NAMES.get(stem, stem)
    return stem if stem in UNITS else ""


def journal_host(head: bytes) -> str | None:
    """The node that a journal's first lines name, when they agree."""
    hosts = {found[1] for line in head.split(b"\n")[:40] if (found := _SYSLOG.match(line)) is not None}
    return next(iter(hosts)).decode() if len(hosts) == 1 else None


def looks_like_json(head: bytes) -> bool:
    first = head.lstrip()[:_LONGEST_FIELD].split(b"\n", 1)[0]
    return first.startswith(b"{") and (b'"__REALTIME_TIMESTAMP"' in first or b'"__CURSOR"' in first)


def json_line(line: bytes) -> tuple[str, str, bytes] | None:
    """Host, unit and the line as `journalctl` would print it; None when it is no entry."""
    if not line.startswith(b"{"):
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return _entry(entry) if isinstance(entry, dict) else None


def looks_like_export(head: bytes) -> bool:
    return head.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP="))


def export_lines(stream: BinaryIO) -> Iterator[tuple[int, str, str, bytes]]:
    """Line of the message, host, unit and text of every entry of `journalctl -o export`."""
    fields: dict[str, Any] = {}
    number = at = 1
    while line := stream.readline(_LONGEST_FIELD):
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if line == b"\n":
            if (found := _entry(fields)) is not None:
                yield at, *found
            fields = {}
        elif equals:
            key = name.decode("ascii", "replace")
            at = number if key == "MESSAGE" else at
            fields[key] = value.decode("utf-8", "replace")
        else:
            # Values with line ends inside: the name alone, eight bytes of length, the value, a line end.
            size = int.from_bytes(stream.read(8), "little")
            if size > _LONGEST_FIELD:
                break
            held = stream.read(size + 1)
            key = name.decode("ascii", "replace")
            at = number if key == "MESSAGE" else at
            fields[key] = held[:size].decode("utf-8", "replace")
            number += held.count(b"\n")
        number += line.count(b"\n")
    if (found := _entry(fields)) is not None:
        yield at, *found


def _entry(fields: dict[str, Any]) -> tuple[str, str, bytes] | None:
    message = fields.get("MESSAGE")
    if isinstance(message, list) and all(isinstance(item, int) and 0 <= item < 256 for item in message):
        # What is no UTF-8 stands there as numbers.
        message = bytes(message).decode("utf-8", "replace")
    if not isinstance(message, str):
        return None
    program = _text(fields.get("SYSLOG_IDENTIFIER")) or _text(fields.get("_COMM"))
    host = _text(fields.get("_HOSTNAME"))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}", host):
        host = ""
    unit = ""
    for name in (_text(fields.get("_SYSTEMD_UNIT")), _text(fields.get("UNIT")), program):
        unit = unit or _unit(name.lower(), message[:300].encode("utf-8", "replace"))
    pid = _text(fields.get("_PID"))
    text = f"{_time(fields.get('__REALTIME_TIMESTAMP'))}{host or '-'} {program or '-'}{f'[{pid}]' if pid else ''}: {message}"
    return host, unit, " ".join(text.split("\n")).encode("utf-8", "replace")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(microseconds: Any) -> str:
    digits = _text(microseconds)
    if not re.fullmatch(r"[0-9]{1,17}", digits):
        return ""
    try:
        return datetime.fromtimestamp(int(digits) / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ ")
    except (ValueError, OverflowError, OSError):
        return ""
