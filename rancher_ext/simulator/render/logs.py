"""What does a container's log say?

Texts stand in `library/logs.yaml` and in scenarios, one template line per log line. A line may begin with a marker that
becomes the program's own time stamp, counted from the start of the container:

    @k I 0.35 main.go:211] text     klog, as flannel and kube-proxy write
    @c INFO 9 0.20 felix/x.go 12: … calico
    @l info 0.5 text                logrus, as Rancher's agent writes
    @p 0.1 text                     no stamp of its own
"""

import time
from collections.abc import Mapping

from rancher_ext.simulator.clock import rfc3339, rfc3339_nano


def render_log(
    template: str,
    started: float,
    names: Mapping[str, str],
    *,
    tail: int | None = None,
    limit_bytes: int | None = None,
    timestamps: bool = False,
    since: float | None = None,
) -> str:
    lines: list[str] = []
    for raw in template.splitlines():
        if not raw.strip():
            continue
        at, text = _line(raw, started)
        if since is not None and at < since:
            continue
        for key, value in names.items():
            text = text.replace("{" + key + "}", value)
        lines.append(f"{rfc3339_nano(at)} {text}" if timestamps else text)
    if tail is not None:
        lines = lines[-tail:] if tail > 0 else []
    whole = "".join(line + "\n" for line in lines)
    if limit_bytes is not None:
        return whole.encode()[:limit_bytes].decode(errors="ignore")
    return whole


def _line(raw: str, started: float) -> tuple[float, str]:
    if raw.startswith("@k "):
        _, level, offset, text = raw.split(" ", 3)
        at = started + float(offset)
        stamp = time.strftime("%m%d %H:%M:%S", time.gmtime(at))
        return at, f"{level}{stamp}.{_micros(at)}       1 {text}"
    if raw.startswith("@c "):
        _, level, pid, offset, text = raw.split(" ", 4)
        at = started + float(offset)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
        return at, f"{stamp}.{_micros(at)[:3]} [{level}][{pid}] {text}"
    if raw.startswith("@l "):
        _, level, offset, text = raw.split(" ", 3)
        at = started + float(offset)
        quoted = text.replace('"', '\\"')
        return at, f'time="{rfc3339(at)}" level={level} msg="{quoted}"'
    if raw.startswith("@p "):
        _, offset, text = raw.split(" ", 2)
        return started + float(offset), text
    return started, raw


def _micros(at: float) -> str:
    return f"{round((at - int(at)) * 1e6) % 1_000_000:06d}"
