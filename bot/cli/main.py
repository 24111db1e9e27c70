"""What can be typed after `drover`? Names and one-line helps stand here, so that `--help` imports nothing heavy."""

import sys
from importlib import import_module

import click

# name -> (module, one line). The order is that of the help text.
_COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("bot.cli.demo", "A simulated fleet and GitHub with the real service: see the whole road."),
    "serve": ("bot.cli.serve", "Run the service: listeners, hooks, sweep, dashboard."),
    "sweep": ("bot.cli.sweep", "Look at the whole fleet once: who is stuck?"),
    "diagnose": ("bot.cli.diagnose", "Collect evidence of one cluster and name the cause."),
    "analyze": ("bot.cli.analyze", "Name the cause from a bundle, an archive or a log, offline."),
    "plan": ("bot.cli.plan", "Show what would be done to a cluster, in exact diffs."),
    "remediate": ("bot.cli.remediate", "Mend a cluster: apply a plan, prove the cure, or put everything back."),
    "probe": ("bot.cli.probe", "Ask a cluster's nodes themselves, where nobody else reaches them."),
    "incidents": ("bot.cli.incidents", "What happened: list, show, audit."),
    "pause": ("bot.cli.pause", "Stop acting on any cluster until `drover resume`."),
    "resume": ("bot.cli.resume", "Act again after `drover pause`."),
    "signatures": ("bot.cli.signatures", "The catalogue of known failures: list, show, lint, test, score."),
    "doctor": ("bot.cli.doctor", "Check Rancher, GitHub, the database, rights and settings."),
    "simulate": ("bot.cli.simulate", "The simulated Rancher alone, over HTTP."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = import_module(entry[0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `drover --help` lists the commands."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="rancher-drover", prog_name="drover")
def cli() -> None:
    """Drover gets stuck Rancher clusters moving again.

    It finds clusters that wait for Flannel or Canal, names the cause, mends it under a policy, proves the cure or puts
    everything back, and tells it in one GitHub issue.
    """


def main() -> None:
    """The console script. Expected failures end with their text and cure, never with a traceback."""
    try:
        status = cli.main(prog_name="drover", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`head`) has seen enough. Python would complain once more while closing it.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        from rancher_ext.errors import DroverError

        if isinstance(error, OSError) and error.filename is not None:
            click.echo(f"drover: {error.filename}: {error.strerror}", err=True)
            sys.exit(2)
        if not isinstance(error, DroverError):
            raise
        click.echo(f"drover: {error.message}", err=True)
        for line in error.cure.splitlines():
            click.echo(f"  {line}", err=True)
        sys.exit(2)
    sys.exit(status if isinstance(status, int) else 0)
