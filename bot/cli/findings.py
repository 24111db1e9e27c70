"""How does a diagnosis look in a terminal?"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from bot.cli.shared import out

EXIT_BY_VERDICT = {"healthy": 0, "cni-failure": 10, "other-failure": 14, "unknown": 15}
_VERDICTS = {
    "cni-failure": ("The network plugin does not come up.", "bold red"),
    "other-failure": ("Something failed, but not Flannel or Canal.", "yellow"),
    "healthy": ("Nothing is wrong in this evidence.", "green"),
    "unknown": ("No known cause.", "magenta"),
}
_LINES = 3
_MOMENTS = 8
_SYMPTOMS = 3
# Below this the reader is told what would make it surer.
_SURE = 0.9


def _wishes(found: Mapping[str, Any]) -> list[str]:
    """What would make it surer, when it is not sure enough: of the best finding, and of the analysis."""
    best = next(iter(found["findings"]), None)
    own = list(best["missing"]) if best and (best["confidence"] < _SURE or found["verdict"] == "unknown") else []
    return list(dict.fromkeys([*own, *found.get("missing", ())]))[:5]


def _print_timeline(entries: Sequence[Mapping[str, Any]]) -> None:
    if len(entries) < 2:
        return
    out.print()
    shown = entries[:_MOMENTS]
    width = max(len(entry["when"]) for entry in shown)
    for number, entry in enumerate(shown):
        also = f" (and {entry['alike']} alike)" if entry.get("alike") else ""
        out.print(Text(f"{'When' if number == 0 else '':10}{entry['when'].ljust(width)}  {entry['text']}{also}"))
    if len(entries) > len(shown):
        out.print(Text(f"          and {len(entries) - len(shown)} more moments in the JSON", style="dim"))


def print_diagnosis(found: Mapping[str, Any]) -> None:
    """The verdict, the best findings with their lines, and what would make it surer."""
    cluster = found["cluster"]
    known = [
        str(cluster[key])
        for key in ("name", "distribution", "kubernetes", "cni")
        if cluster.get(key) not in {None, "", "unknown"}
    ]
    if known:
        out.print(Text(" · ".join(known), style="bold"))
    text, style = _VERDICTS[found["verdict"]]
    out.print(Text(text, style=style))
    causes = [finding for finding in found["findings"] if not finding.get("explainedBy")]
    for number, finding in enumerate(causes[:3]):
        out.print()
        head = Text("Cause     " if number == 0 else "Or        ")
        head.append(finding["title"], style="bold" if number == 0 else "")
        head.append(f" ({finding['confidence']:.0%} sure)")
        out.print(head)
        if finding.get("because"):
            out.print(Text("          " + " ".join(finding["because"].split())))
        for line in finding["evidence"][:_LINES]:
            where = f"{line['source']}:{line['line']}" if line.get("line") else line["source"]
            out.print(Text("Seen in   " + where, style="dim"))
            out.print(Text("          " + line["text"].strip()[:300]))
        hidden = len(finding["evidence"]) - _LINES
        if hidden > 0:
            out.print(Text(f"          and {hidden} more lines", style="dim"))
        for line in (finding.get("against") or ())[:2]:
            out.print(Text(f"Against   {line['source']}:{line['line']}", style="dim"))
            out.print(Text("          " + line["text"].strip()[:300]))
        where = (finding.get("affected") or {}).get("text")
        if where:
            out.print(Text("Where     " + where))
        if number == 0 and finding.get("playbook"):
            out.print(
                Text(f"Mend      playbook {finding['playbook']} ({finding['risk'] or 'explains what a person can do'})")
            )
        elif number == 0 and finding.get("advice"):
            out.print(Text("Mend      " + " ".join(finding["advice"].split())))
        for reference in finding["references"][:2]:
            out.print(Text("See       " + reference, style="dim"))
    symptoms = [finding for finding in found["findings"] if finding.get("explainedBy")]
    for number, finding in enumerate(symptoms[:_SYMPTOMS]):
        if number == 0:
            out.print()
        out.print(
            Text(f"{'Symptom' if number == 0 else '':10}{finding['title']} (follows from {finding['explainedBy']})")
        )
    undecided = found.get("undecided")
    if undecided:
        others = ", ".join(undecided["signatures"][1:])
        out.print()
        out.print(Text(f"Undecided between this and {others}: {undecided['why']}."))
    _print_timeline(found.get("timeline") or ())
    for wish in _wishes(found):
        out.print(Text("Surer     " + wish, style="dim"))
    bad = [entry for entry in found["collectors"] if entry["status"] in {"failed", "forbidden", "partial"}]
    for entry in bad:
        out.print(
            Text(
                f"Missing   {entry['name']}: {entry['status']}" + (f" ({entry['reason']})" if entry["reason"] else ""),
                style="dim",
            )
        )
