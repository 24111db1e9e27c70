"""Which trouble, by which playbook, with which injected failure, ended how? Run them all, print the table, keep it in the docs.

`make scenarios` runs every drill and writes the table between the marker lines of README.md (short) and docs/scenarios.md (all).
`--check` runs a few and fails where one does not end as it has to; it writes nothing.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog

from rancher_ext.simulator.troubles import known_troubles, trouble_ids
from tests.scenarios.drill import HEALS, Injected, Result, drill, line

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- scenarios:begin -->", "<!-- scenarios:end -->"

Drill = tuple[str, Injected]


def _trouble_says(key: str, value: object = None) -> Callable[[str], bool]:
    """Scenarios whose trouble has this in what it is about, whatever the cluster."""

    def says(scenario: str) -> bool:
        trouble = known_troubles()[scenario.partition("@")[0]]
        found = {**trouble, **(trouble.get("shows") or {})}.get(key)
        return found is not None if value is None else found == value

    return says


def _where(*words: str) -> Callable[[str], bool]:
    return lambda scenario: any(word in scenario.partition("@")[2] for word in words)


FORMS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("RKE1, Flannel", _where("rke1-flannel")),
    ("RKE1, Canal", _where("rke1-canal")),
    ("RKE2, Flannel", _where("rke2-flannel")),
    ("RKE2, Canal", _where("rke2-canal")),
    ("K3s, Flannel", _where("k3s-flannel")),
    ("EC2 node driver", lambda scenario: not _where("-vsphere")(scenario)),
    ("another node driver", _where("-vsphere")),
    ("mixed Linux and Windows", _where("-mixed")),
    ("120 nodes", _where("-many")),
    ("the agent never connected", _trouble_says("broken", "never")),
    ("half-way from 1.31 to 1.32", _trouble_says("upgraded")),
)

# One of every kind of undo, on every distribution: each has all the failures.
THOROUGH = (
    "flannel-br-netfilter-missing@rke1-canal",
    "node-podcidr-not-assigned@rke2-canal",
    "helm-values-invalid@rke2-canal",
    "canal-rbac-forbidden@rke2-canal",
    "canal-rbac-forbidden@rke1-flannel",
    "kubelet-flag-in-configuration@k3s-flannel",
)
# The same in other forms of clusters.
SHAPES = (
    "flannel-no-interface@rke2-canal-vsphere",
    "rke2-flannel-missing-tolerations@rke2-flannel-mixed",
    "node-podcidr-not-assigned@rke1-flannel-mixed",
    "canal-rbac-forbidden@rke2-canal-many",
    "node-podcidr-not-allocated@rke2-canal-many",
)
# Plans of several writes: one of them can be refused after another one was made.
SEVERAL = (
    "canal-rbac-forbidden@rke1-flannel",
    "canal-crd-missing@rke2-canal",
    "kubelet-flag-while-drained@rke2-canal",
)
QUICK: tuple[Drill, ...] = (
    ("flannel-br-netfilter-missing@rke1-canal", Injected.NOTHING),
    ("helm-values-invalid@rke2-canal", Injected.NOTHING),
    ("helm-values-invalid@rke2-canal", Injected.NO_EFFECT),
    ("canal-rbac-forbidden@rke2-canal", Injected.NO_EFFECT),
    ("kubelet-flag-in-configuration@k3s-flannel", Injected.NOTHING),
    ("kubelet-flag-while-drained@rke2-canal", Injected.NO_EFFECT),
    ("helm-values-invalid@rke2-canal", Injected.REFUSED),
    ("canal-rbac-forbidden@rke1-flannel", Injected.REFUSED_LATER),
    ("helm-values-invalid@rke2-canal", Injected.REFUSED_UNDO),
    ("helm-values-invalid@rke2-canal", Injected.DISEMPOWERED),
)


def all_drills() -> list[Drill]:
    others = [each for each in Injected if each not in {Injected.NOTHING, Injected.NO_EFFECT}]
    drills = [(scenario, injected) for scenario in THOROUGH for injected in others if _makes_sense(scenario, injected)]
    drills += [(scenario, Injected.REFUSED_LATER) for scenario in SEVERAL]
    drills += [(scenario, Injected.NOTHING) for scenario in SHAPES]
    drills += [
        (scenario, injected) for scenario in trouble_ids() for injected in (Injected.NOTHING, Injected.NO_EFFECT)
    ]
    return drills


def _makes_sense(scenario: str, injected: Injected) -> bool:
    if injected is Injected.REFUSED_LATER:
        return False
    # Into an object that we made, or a list, nobody else can write the same field.
    return injected is not Injected.COLLIDES or "br-netfilter" in scenario


def run(drills: Sequence[Drill], workers: int, minutes: float) -> list[Result]:
    """Side by side, each in a process of its own: one service belongs to one process."""
    found: dict[Drill, Result] = {}
    last = time.monotonic() + minutes * 60
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, maxtasksperchild=10) as pool:
        for result in pool.imap_unordered(_one, drills):
            found[result.scenario, result.injected] = result
            print(line(result), flush=True)
            if time.monotonic() > last:
                break
    return sorted(found.values(), key=lambda each: (each.scenario, list(Injected).index(each.injected)))


def _one(each: Drill) -> Result:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        return drill(*each)
    except AssertionError as error:
        # The wait that was in vain; the others go on.
        return Result(each[0], each[1], "", (), "", "no end", "", str(error), good=False, took=0.0)


def rows(results: Iterable[Result]) -> list[str]:
    head = [
        "| trouble | cluster | playbook | undo | what goes wrong | ended | as before |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return head + [
        f"| {trouble} | {where} | {each.playbook} | {each.undo} | {each.injected} | {each.ended} | {each.same} |"
        for each in results
        for trouble, _, where in (each.scenario.partition("@"),)
    ]


def summary(results: Sequence[Result]) -> list[str]:
    """One line for each playbook."""
    head = [
        "| playbook | undo | drills | mended | undone, all as before | undone, as declared |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines = []
    for name in sorted({each.playbook for each in results if each.playbook}):
        mine = [each for each in results if each.playbook == name]
        healed = [each for each in mine if each.injected in HEALS]
        undone = [each for each in mine if each.injected not in HEALS]  # by a person where Drover was not let
        undo = ", ".join(sorted({each.undo for each in mine if each.undo}))
        exact = sum(each.good and not each.same.startswith("as declared") for each in undone)
        declared = sum(each.good and each.same.startswith("as declared") for each in undone)
        mended = f"{sum(each.good for each in healed)} of {len(healed)}"
        lines.append(f"| {name} | {undo} | {len(mine)} | {mended} | {exact} of {len(undone)} | {declared} |")
    return head + lines


def by_form(results: Sequence[Result]) -> list[str]:
    """One line for each form of clusters: whether what can be mended was mended, and the rest put back."""
    head = ["| clusters | mended | put back | a person called, as has to be |", "| --- | --- | --- | --- |"]
    lines = []
    for title, belongs in FORMS:
        mine = [each for each in results if belongs(each.scenario)]
        healed = [each for each in mine if each.injected in HEALS]
        back = [each for each in mine if each.injected not in HEALS and each.ended != "escalated"]
        called = [each for each in mine if each.injected not in HEALS and each.ended == "escalated"]
        counts = (f"{sum(each.good for each in group)} of {len(group)}" for group in (healed, back, called))
        lines.append(f"| {title} | {' | '.join(counts)} |")
    return head + lines


def write_between(path: Path, lines: Sequence[str]) -> bool:
    """Whether the file has the marker lines."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if BEGIN not in text or END not in text:
        return False
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the drills and print their table.")
    parser.add_argument("--check", action="store_true", help="a few drills only; writes nothing")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="drills whose trouble contains this; writes nothing")
    parser.add_argument("--injected", type=Injected, choices=list(Injected), help="only these; writes nothing")
    parser.add_argument(
        "--minutes", type=float, default=90, help="begin no drill after so long; the table says how many ran"
    )
    given = parser.parse_args()
    drills = list(QUICK) if given.check else all_drills()
    drills = [each for each in drills if given.only in each[0] and given.injected in {None, each[1]}]
    results = run(drills, given.workers, given.minutes)
    short = [*by_form(results), "", *summary(results)]
    print("\n".join(["", *rows(results), "", *short]))
    if not (given.check or given.only or given.injected):
        write_between(ROOT / "docs" / "scenarios.md", rows(results))
        write_between(ROOT / "README.md", short)
    bad = [each for each in results if not each.good]
    print(f"\n{len(results) - len(bad)} of {len(results)} ended as they have to, {len(drills)} were to run")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
