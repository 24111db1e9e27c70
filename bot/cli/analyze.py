"""`drover analyze`: name the cause from what somebody collected, offline."""

import secrets
from pathlib import Path

import click

from bot.cli.findings import EXIT_BY_VERDICT, print_diagnosis
from bot.cli.shared import format_option, print_json
from bot.knowledge import load_knowledge
from bot.settings import load_settings


@click.command("analyze")
@click.argument("path", type=click.Path(path_type=Path))
@format_option("text", "json")
def command(path: Path, output: str) -> int:
    """Name the cause from PATH: an evidence bundle, a folder, an archive, or one log file.

    Exit status: 0 healthy, 10 the network plugin failed, 14 something else failed, 15 unknown, 2 error.
    """
    from rancher_ext.bundle.redact import Redactor
    from rancher_ext.catalogue import analyze
    from rancher_ext.catalogue.redaction import load_redaction

    settings = load_settings()
    knowledge = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
    # A foreign bundle was never masked: no line of it is shown with what looks like a secret.
    diagnosis = analyze(path, knowledge.signatures, Redactor(load_redaction(), secrets.token_bytes(32)).text)
    found = dict(knowledge.remedy_json(diagnosis))
    if output == "json":
        print_json(found)
    else:
        print_diagnosis(found)
    return EXIT_BY_VERDICT[found["verdict"]]
