"""What do the logs of one component say? Their last lines, from collected evidence, short enough for a comment."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from bot.reports.escape import code_span
from bot.reports.prose import fence, place
from rancher_ext.bundle.bundle import Bundle

# Enough to see how a component ended, little enough to read.
LINES = 40
WIDTH = 400
FILES = 3
# The end of a file that is read for that many lines.
_TAIL = 64 * 1024
_LISTED = 40


def logs_reply(bundle: Bundle, component: str) -> str:
    """Markdown. Without a component, or with one that has no log, it says which there are."""
    logs = {path: bundle[path].size for path in bundle if path.startswith("logs/") and bundle[path].size}
    if not logs:
        return "No logs were collected: a dead network cuts Rancher off from pods and nodes. `/drover diagnose` tries again."
    known = _components(logs)
    if not component:
        return f"Which one? There are logs of {_list(known)}."
    fitting = _fitting(logs, component)
    if not fitting:
        near = get_close_matches(component.lower(), known, n=1)
        hint = f"Did you mean `/drover logs {near[0]}`?" if near else f"There are logs of {_list(known)}."
        return f"There is no log of {code_span(component[:60])}. {hint}"
    parts = []
    for path in fitting[:FILES]:
        lines = bundle[path].read_bytes()[-_TAIL:].decode("utf-8", errors="replace").splitlines()
        shown = "\n".join(lines[-LINES:])
        parts.append(
            f"{place(path)}, the last {min(LINES, len(lines))} lines:\n{fence(shown, lines=LINES, width=WIDTH)}"
        )
    if len(fitting) > FILES:
        parts.append(f"{len(fitting) - FILES} more such logs are in the evidence archive.")
    return "\n\n".join(parts)


def _fitting(logs: Mapping[str, int], component: str) -> list[str]:
    """Logs whose container, unit or pod has this name; the present run before the previous one, the fullest first."""
    wanted = component.lower()
    found = [path for path in logs if wanted in _names(path)] or [path for path in logs if wanted in path.lower()]
    return sorted(found, key=lambda path: ("previous" in path, -logs[path], path))


def _names(path: str) -> set[str]:
    """`logs/kube-system/canal-7hx2p/kube-flannel.log` answers to `kube-flannel`, `flannel`, `canal-7hx2p` and `canal`."""
    parts = [part.lower() for part in re.sub(r"(?:\.previous)?\.log$", "", path).split("/")[1:]]
    names = set(parts)
    for part in parts:
        names.add(part.removeprefix("kube-"))
        names.add(re.sub(r"(?:-[a-z0-9]{5,10})?-[a-z0-9]{5}$", "", part))
    return names


def _components(logs: Mapping[str, int]) -> list[str]:
    """Container and unit names, as somebody would ask for them."""
    names = set()
    for path in logs:
        parts = re.sub(r"(?:\.previous)?\.log$", "", path).split("/")[1:]
        # Two levels are a unit and its node, three a namespace, a pod and a container.
        names.add(parts[0] if len(parts) == 2 else parts[-1])
    return sorted(names)


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(code_span(name[:60]) for name in names[:_LISTED]) + more
