"""`drover signatures`: the catalogue of known failures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from bot.cli.shared import format_option, out, print_json, progress_bar
from bot.settings import load_settings

# The score of the catalogue is below what was asked for.
EXIT_SHORT = 13

if TYPE_CHECKING:
    from rancher_ext.catalogue import SampleResult


@click.group("signatures")
def command() -> None:
    """The catalogue of known failures."""


@command.command("list")
@format_option("table", "json")
def list_(output: str) -> None:
    """Every signature with its cause."""
    from rancher_ext.catalogue import load_signatures

    signatures = load_signatures(load_settings().signature_dirs)
    if output == "json":
        print_json(
            [
                {"id": each.id, "cause": each.cause.value, "title": each.title, "confidence": each.confidence}
                for each in signatures
            ]
        )
        return
    width = max(len(each.id) for each in signatures)
    for each in sorted(signatures, key=lambda each: (each.cause.value, each.id)):
        out.print(Text(each.id.ljust(width), style="bold") + Text(f"  {each.cause.value}  {each.title}"))
    out.print(f"{len(signatures)} signatures, {len({each.cause for each in signatures})} causes")


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """One signature, as its file says it."""
    from difflib import get_close_matches

    from rancher_ext.catalogue.signatures import read_signatures, signature_dirs
    from rancher_ext.errors import BadInput

    loaded, _ = read_signatures(signature_dirs(load_settings().signature_dirs))
    found = {each.signature.id: each for each in loaded}
    if name not in found:
        near = get_close_matches(name, found, n=3)
        raise BadInput(
            f"there is no signature {name!r}",
            cure=f"Did you mean {', '.join(near)}?" if near else "`drover signatures list` shows them all.",
        )
    click.echo(found[name].path.read_text(encoding="utf-8"), nl=False)


@command.command("lint")
def lint_() -> int:
    """Check all signature files. Exit status 2 when something is wrong."""
    from rancher_ext.catalogue import lint, load_signatures

    dirs = load_settings().signature_dirs
    problems = lint(dirs)
    for problem in problems:
        click.echo(str(problem))
    if problems:
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", err=True)
        return 2
    click.echo(f"{len(load_signatures(dirs))} signatures, no problem")
    return 0


@command.command("test")
@click.argument("names", nargs=-1)
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("tests/signatures"),
    show_default=True,
    help="A folder with a folder of hits and misses per signature.",
)
@click.option(
    "--mutate", is_flag=True, help="Also take away one predicate of `when` at a time: a sample has to go wrong."
)
@click.option("--each-pattern", is_flag=True, help="With --mutate: take away single patterns of a list, too.")
def test(names: tuple[str, ...], samples: Path, mutate: bool, each_pattern: bool) -> int:
    """Run the hits and misses of all signatures, or of those NAMED.

    Exit status 2 when a sample is wrong, or when a predicate can be removed and no sample notices.
    """
    from rancher_ext.catalogue import known_signatures, run_samples
    from rancher_ext.catalogue.mutations import survivors

    loaded = known_signatures(load_settings().signature_dirs, names)
    results = run_samples(samples, [entry.signature for entry in loaded], names)
    bad = [result for result in results if result.problem]
    for row in _per_signature(results):
        click.echo(row)
    for result in bad:
        click.echo(f"{result.sample.path}: {result.problem}")
    click.echo(f"{len(results) - len(bad)} of {len(results)} samples are right")
    if not mutate:
        return 2 if bad else 0
    report = survivors(samples, loaded, names, each_pattern=each_pattern)
    for survivor in report.survivors:
        click.echo(str(survivor))
    what = "predicates and patterns" if each_pattern else "predicates"
    click.echo(f"{report.tried - len(report.survivors)} of {report.tried} {what} are needed by a sample")
    return 2 if bad or report.survivors else 0


def _per_signature(results: "Sequence[SampleResult]") -> list[str]:
    """A line for each signature: how many of its hits and misses are right."""
    ids = sorted({result.sample.signature for result in results})
    width = max(map(len, ids), default=0)
    rows = []
    for name in ids:
        own = [result for result in results if result.sample.signature == name]
        counts = []
        for hit in (True, False):
            those = [result for result in own if result.sample.hit is hit]
            right = sum(result.problem is None for result in those)
            counts.append(f"{right} of {len(those)} {'hits' if hit else 'misses'}")
        rows.append(f"{name.ljust(width)}  {counts[0]:>12}  {counts[1]:>14}")
    return rows


_SHARE = click.FloatRange(0.0, 1.0)


@command.command("score")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@format_option("text", "json")
@click.option("--min-top1", type=_SHARE, help="Fail when the right cause comes first less often: a share, say 0.95.")
@click.option("--max-false-alarms", type=_SHARE, help="Fail when more look-alikes are called a CNI failure, say 0.02.")
def score(folders: tuple[Path, ...], output: str, min_top1: float | None, max_false_alarms: float | None) -> int:
    """Diagnose the labelled cases in FOLDERS and compare: how often the right cause is named, and how sure it is.

    Exit status: 0, 13 when the score falls short of --min-top1 or --max-false-alarms, 2 error.
    """
    from rancher_ext.catalogue import load_signatures, score_cases

    signatures = load_signatures(load_settings().signature_dirs)
    with progress_bar() as bar:
        bar.add_task(f"diagnosing the cases in {', '.join(map(str, folders))}", total=None)
        result = score_cases(folders, signatures)
    if output == "json":
        print_json(result.to_json())
    else:
        click.echo(result.to_text(), nl=False)
    short = result.shortcomings(min_top1, max_false_alarms)
    for text in short:
        click.echo(f"Falls short: {text}", err=True)
    return EXIT_SHORT if short else 0
