"""Which parts of the documentation follow from the code? The table of commands in the README, docs/settings.md, and what Drover can
do to clusters: the tables of playbooks, actions, host fixes and manifests in config/README.md.

python docs/generate.py [--check]
"""

import re
import sys
from datetime import timedelta
from pathlib import Path

from bot.commands.command import Command
from bot.commands.gather import commands
from bot.settings import SECRETS, VARIABLES
from bot.workflows.desk import Desk
from rancher_ext.catalogue.playbooks import load_playbooks
from rancher_ext.catalogue.shipped import shipped_config_dir
from rancher_ext.remediation.actions import gather
from rancher_ext.remediation.actions.register_crds import SETS
from rancher_ext.remediation.host_fix import FIXES
from rancher_ext.remediation.manifests import named, shipped
from rancher_ext.remediation.playbook import Playbook, Variant

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(<!-- commands -->\n).*?(<!-- /commands -->)", re.DOTALL)

_ABOUT = {
    "RANCHER_URL": "The Rancher server. Several servers: `ranchers` in drover.yaml.",
    "RANCHER_TOKEN": "An API key of a user with the rights in rancher-rights.md, without a cluster scope. As a file it is read again when it changes.",
    "RANCHER_CA_FILE": "The CA that signed Rancher's certificate, when it is not a public one.",
    "GITHUB_API_URL": "GitHub's API, or that of a GitHub Enterprise Server (`https://ghe.example/api/v3`).",
    "GITHUB_REPOSITORY": "Where the issues live. Without it, incidents stay on the dashboard.",
    "GITHUB_TOKEN": "A token that may read and write issues.",
    "GITHUB_APP_ID": "Or a GitHub App instead of a token.",
    "GITHUB_APP_PRIVATE_KEY": "Its private key, as PEM.",
    "GITHUB_WEBHOOK_SECRETS": "One or two secrets (two while one is being replaced). Without any, comments are read once a minute.",
    "HOOK_TOKENS": "Bearer tokens, or HMAC keys, for `/hooks/alertmanager`.",
    "PAGE_TOKENS": "Bearer tokens for pages and API. Needed on any address but loopback, unless a proxy logs people in.",
    "TRUSTED_PROXY_HEADER": "The header in which a proxy before Drover names the person it has logged in. The proxy has to remove it from what clients send, and nobody else may reach Drover.",
    "DATABASE_URL": "Default: a SQLite file under `DROVER_HOME`. PostgreSQL in production.",
    "HOME": "Database and evidence. Default `~/.local/share/drover`.",
    "PUBLIC_URL": "How people reach the dashboard; issues link to it.",
    "EXECUTOR_ID": "Stable and unique per process: by it a restarted process finds what it had begun. Default `drover` with SQLite, the host name with PostgreSQL (use a StatefulSet). See upgrading.md.",
    "POLICY_FILE": "What may run and who must agree. Default: policy.yaml in the configuration folder, else the shipped one.",
    "SIGNATURE_DIRS": "Folders with signatures of your own, separated by colons.",
    "PLAYBOOK_DIRS": "Folders with playbooks of your own, separated by colons.",
    "CONFIG_DIR": "Your configuration folder. Default `~/.config/drover`.",
    "DRY_RUN": "Plan and show, change nothing.",
    "LISTEN": "Address of hooks and pages. Default 127.0.0.1:8080.",
    "LOG_FORMAT": "`text` or `json`.",
    "CLOCK_SPEED": "For the demo and tests: policy time runs this many times faster.",
    "CLOCK_ORIGIN": "For the demo and tests: the moment from which it does.",
}


def command_table() -> str:
    rows = ["| command | does | least role |", "|---|---|---|"]
    # What a desk has not is answered with that it is not in this version.
    offered = [command for command in commands().values() if issubclass(Desk, command.needs)]
    ordered: list[Command] = sorted(offered, key=lambda command: command.name)
    rows += [f"| `{command.usage}` | {command.help} | {command.who.name.lower()} |" for command in ordered]
    return "\n".join(rows) + "\n"


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Environment first, then `drover.yaml` in the configuration folder, then the shipped defaults (`config/drover.yaml`). A setting marked with a file may also be given as",
        "`DROVER_…_FILE`, the path of a file that holds the value alone. Mistakes are reported together, each with its source and an example.",
        "",
        "| variable | file | meaning | example |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `DROVER_{name}` | {'yes' if name in SECRETS else ''} | {_ABOUT[name]} | `{example}` |"
        for name, example in VARIABLES.items()
    ]
    return "\n".join(lines) + "\n"


def playbook_table() -> str:
    signatures = {path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")}
    books = {book.id: book for book in load_playbooks(signatures).values()}
    rows = ["| playbook | for | does |", "|---|---|---|"]
    rows += [
        f"| `{book.id}` | {', '.join(f'`{each}`' for each in book.signatures)} | {_variants(book)} |"
        for book in sorted(books.values(), key=lambda book: book.id)
    ]
    return "\n".join(rows) + "\n"


def _variants(book: Playbook) -> str:
    """What is tried, in order; the risk of each is that of its riskiest step."""
    actions = gather()
    ways = []
    for variant in book.variants:
        risk = max((actions[step.action].risk for step in variant.steps), key=lambda risk: risk.rank)
        ways.append(
            f"{_where(variant)}: {', '.join(dict.fromkeys(f'`{step.action}`' for step in variant.steps))} ({risk})"
        )
    return "<br>".join(ways) or "tells a person the steps"


def _where(variant: Variant) -> str:
    when = variant.when
    words = ["/".join(when.distributions), "/".join(when.cni)]
    words += [f"Rancher {', '.join(map(str, when.rancher))}"] if when.rancher else []
    words += [f"Kubernetes {', '.join(map(str, when.kubernetes))}"] if when.kubernetes else []
    return " ".join(filter(None, words)) or "any"


def action_table() -> str:
    rows = ["| action | does | arguments | risk | undo | shows after |", "|---|---|---|---|---|---|"]
    for action in gather().values():
        arguments = " ".join((action.preview.__doc__ or "").split()).replace("|", "\\|")
        if arguments == "No arguments.":
            arguments = ""
        rows.append(
            f"| `{action.name}` | {action.help} | {arguments} | {action.risk} | {action.undo} | {_minutes(action.expected)} |"
        )
    return "\n".join(rows) + "\n"


def _minutes(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def host_fix_table() -> str:
    rows = ["| fix | on every Linux node | what remains |", "|---|---|---|"]
    rows += [f"| `{name}` | {fix.does} | {fix.remains} |" for name, fix in sorted(FIXES.items())]
    return "\n".join(rows) + "\n"


def manifest_table() -> str:
    """Those that the actions of playbooks add by name."""
    signatures = {path.stem for path in (shipped_config_dir() / "signatures").glob("*.yaml")}
    books = load_playbooks(signatures).values()
    steps = [step for book in books for variant in book.variants for step in variant.steps]
    used = sorted({*SETS, *(str(name) for step in steps for name in step.arguments.get("manifests", ()))})
    rows = ["| manifest | objects | when it is taken back |", "|---|---|---|"]
    for name in used:
        manifest = shipped(name)
        after = "it stays: with a definition all its objects would go" if manifest.stays else "its objects are deleted"
        rows.append(f"| `{name}` | {named(manifest.documents)} | {after} |")
    return "\n".join(rows) + "\n"


_TABLES = {
    "playbooks": playbook_table,
    "actions": action_table,
    "host-fixes": host_fix_table,
    "manifests": manifest_table,
}


def configuration_page(text: str) -> str:
    for name, table in _TABLES.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        rows = table()
        text = block.sub(lambda match, rows=rows: match[1] + rows + match[2], text)
    return text


def generated() -> dict[Path, str]:
    """Path to the content it should have."""
    readme = ROOT / "README.md"
    text = _BLOCK.sub(lambda match: match[1] + command_table() + match[2], readme.read_text(encoding="utf-8"))
    configuration = ROOT / "config" / "README.md"
    return {
        readme: text,
        ROOT / "docs" / "settings.md": settings_page(),
        configuration: configuration_page(configuration.read_text(encoding="utf-8")),
    }


def main() -> int:
    stale = [
        path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: make docs")
        return 1 if stale else 0
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
