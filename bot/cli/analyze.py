"""`drover analyze`: name the cause from what somebody collected, offline."""

import secrets
import sys
from pathlib import Path

import click

from bot.cli.findings import EXIT_BY_VERDICT, print_diagnosis
from bot.cli.shared import err, format_option, print_json
from bot.knowledge import load_knowledge
from bot.settings import load_settings


@click.command("analyze")
@click.argument("path", type=click.Path(path_type=Path, allow_dash=True))
@format_option("text", "json")
def command(path: Path, output: str) -> int:
    """Name the cause from PATH: an evidence bundle, a folder, an archive, or one log file; `-` reads any of them but a folder from stdin.

    Besides Drover's own bundles: archives of Rancher's log collectors (several nodes may lie in one zip), support bundles of
    troubleshoot.sh, Longhorn and Harvester, `kubectl cluster-info dump`, output of kubectl get, describe and logs, journals and
    system logs.

    Exit status: 0 healthy, 10 the network plugin failed, 14 something else failed, 15 unknown, 2 error.
    """
    from rancher_ext.bundle.redact import Redactor
    from rancher_ext.catalogue import diagnose_bundle
    from rancher_ext.catalogue.redaction import load_redaction
    from rancher_ext.evidence.archive import open_bundle, open_stream

    settings = load_settings()
    knowledge = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
    if str(path) == "-":
        if sys.stdin.isatty():
            click.echo("Reading from the terminal; end with Ctrl-D.", err=True)
        bundle = open_stream(sys.stdin.buffer)
    else:
        bundle = open_bundle(path)
    for note in bundle.notes:
        err.print(note, markup=False)
    # A foreign bundle was never masked: no line of it is shown with what looks like a secret.
    mask = Redactor(load_redaction(), secrets.token_bytes(32)).text
    found = dict(knowledge.remedy_json(diagnose_bundle(bundle, knowledge.signatures).masked(mask)))
    if output == "json":
        print_json(found)
    else:
        print_diagnosis(found)
    return EXIT_BY_VERDICT[found["verdict"]]
