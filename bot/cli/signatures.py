"""`drover signatures`: the catalogue of known failures."""

from pathlib import Path

import click
from rich.text import Text

from bot.cli.shared import format_option, out, print_json, progress_bar
from bot.settings import load_settings


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
def test(names: tuple[str, ...], samples: Path) -> int:
    """Run the hits and misses of all signatures, or of those NAMED."""
    from rancher_ext.catalogue import load_signatures, run_samples

    results = run_samples(samples, load_signatures(load_settings().signature_dirs), names)
    bad = [result for result in results if result.problem]
    for result in bad:
        click.echo(f"{result.sample.path}: {result.problem}")
    click.echo(f"{len(results) - len(bad)} of {len(results)} samples are right")
    return 2 if bad else 0


@command.command("score")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@format_option("text", "json")
def score(folder: Path, output: str) -> None:
    """Diagnose the labelled cases in FOLDER and compare: precision and recall per cause."""
    from rancher_ext.catalogue import load_signatures, score_cases

    signatures = load_signatures(load_settings().signature_dirs)
    with progress_bar() as bar:
        bar.add_task(f"diagnosing the cases in {folder}", total=None)
        result = score_cases(folder, signatures)
    if output == "json":
        print_json(result.to_json())
    else:
        click.echo(result.to_text())
