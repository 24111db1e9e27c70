"""`drover diagnose`: collect evidence of one cluster and name the cause."""

from pathlib import Path

import click
from rich.text import Text

from bot.cli.findings import EXIT_BY_VERDICT, print_diagnosis
from bot.cli.shared import (
    err,
    find_cluster,
    format_option,
    out,
    policy_now,
    print_json,
    progress_bar,
    servers,
    settings_or_exit,
)
from bot.cli.witness import terminal_witness
from bot.collecting import collect_evidence
from bot.knowledge import load_knowledge, load_policy
from rancher_ext.evidence.archive import write_archive, write_folder


@click.command("diagnose")
@click.argument("cluster")
@click.option(
    "--out",
    "destination",
    type=click.Path(path_type=Path),
    help="Where to keep the evidence: a folder, or a file ending in .tar.gz.",
)
@format_option("text", "json")
def command(cluster: str, destination: Path | None, output: str) -> int:
    """Collect evidence of CLUSTER (id or name) and name the cause. Reads only.

    Exit status as `drover analyze`: 0 healthy, 10 the network plugin failed, 14 something else, 15 unknown, 2 error.
    """
    settings = settings_or_exit()
    knowledge = load_knowledge(settings.signature_dirs, settings.playbook_dirs)
    server, key = find_cluster(servers(settings), cluster)
    snapshot = server.reader.cluster(key.id)
    policy = load_policy(settings.policy_file, knowledge)
    with progress_bar() as bar, terminal_witness(settings, snapshot, policy) as witness:
        task = bar.add_task("collecting", total=None)
        bundle = collect_evidence(
            server,
            snapshot,
            policy_now(settings)(),
            lambda done, of, name: bar.update(task, completed=done, total=of, description=f"collected {name}"),
            witness,
        )
    path = None
    if destination:
        whole = destination.name.endswith((".tar.gz", ".tgz"))
        path = write_archive(bundle, destination) if whole else write_folder(bundle, destination)
    found = dict(knowledge.remedy_json(knowledge.diagnose(bundle)))
    if output == "json":
        print_json(found | ({"evidence": str(path)} if path else {}))
    else:
        print_diagnosis(found)
        if path:
            out.print(Text(f"Evidence  {path}"))
        else:
            err.print("[dim]--out FILE.tar.gz keeps the evidence[/dim]")
    return EXIT_BY_VERDICT[found["verdict"]]
