"""How does a diagnosis look in a terminal?"""

from collections.abc import Mapping
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
    for number, finding in enumerate(found["findings"][:3]):
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
        if number == 0 and finding.get("playbook"):
            out.print(
                Text(f"Mend      playbook {finding['playbook']} ({finding['risk'] or 'explains what a person can do'})")
            )
        elif number == 0 and finding.get("advice"):
            out.print(Text("Mend      " + " ".join(finding["advice"].split())))
        for reference in finding["references"][:2]:
            out.print(Text("See       " + reference, style="dim"))
    for wish in found.get("missing", ())[:5]:
        out.print(Text("Surer     " + wish, style="dim"))
    bad = [entry for entry in found["collectors"] if entry["status"] in {"failed", "forbidden", "partial"}]
    for entry in bad:
        out.print(
            Text(
                f"Missing   {entry['name']}: {entry['status']}" + (f" ({entry['reason']})" if entry["reason"] else ""),
                style="dim",
            )
        )
