"""`drover plan`: what would be done to a cluster, in exact diffs, and may it be done?"""

import click

from bot.cli.shared import EXIT_REFUSED, format_option, print_json, progress_bar, settings_or_exit


@click.command("plan")
@click.argument("cluster")
@click.option(
    "--playbook",
    default="",
    help="Plan this playbook (or the one that mends this signature), whatever the evidence says.",
)
@click.option("--signature", default="", help="Plan as if this signature had been found.")
@format_option("text", "json")
def command(cluster: str, playbook: str, signature: str, output: str) -> int:
    """Show what would be done to CLUSTER (id or name): every object and line, order, risk, proof, undo and the policy's answer.

    Reads only. Without a name the cluster is diagnosed first, unless an open incident has the diagnosis already.

    Exit status: 0 there is a plan, 11 there is none that Drover may run, 2 error.
    """
    from bot.cli.plan_view import prepared_json, print_prepared
    from bot.cli.planning import prepare
    from bot.policy.decide import Refuse

    settings = settings_or_exit()
    with progress_bar() as bar:
        task = bar.add_task("looking", total=None)
        prepared = prepare(settings, cluster, playbook, signature, lambda text: bar.update(task, description=text))
    if output == "json":
        print_json(prepared_json(prepared))
    else:
        print_prepared(prepared)
    return EXIT_REFUSED if prepared.plan is None or isinstance(prepared.decision, Refuse) else 0
