from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.text import chunks
from rancher_ext.signatures.patterns import compiled
from rancher_ext.signatures.scan import KEPT, Scanner, Text


def texts(*contents, size=1 << 20):
    def of(file):
        return lambda: chunks(file, size)

    files = [BundleFile.of(f"{number}.log", content) for number, content in enumerate(contents)]
    return [Text(file.path, of(file)) for file in files]


def found(scanner, *contents, size=1 << 20):
    hits = scanner.scan(texts(*contents, size=size))
    return {
        p: {key: [(line.number, line.text) for line in f.lines] for key, f in hits.of(p).items()}
        for p in scanner.patterns
        if hits.of(p)
    }


def test_lines_and_files_are_told():
    scanner = Scanner(["alpha", r"be+ta$", "nowhere"])

    assert found(scanner, "x\nan alpha\nbeeta\n", "beta not at the end\nbeta") == {
        "alpha": {"0.log": [(2, "an alpha")]},
        r"be+ta$": {"0.log": [(3, "beeta")], "1.log": [(2, "beta")]},
    }


def test_a_match_never_joins_two_lines():
    scanner = Scanner([r"one\s+two", r"one[^x]*two", r"(?s)one.*two"])

    assert found(scanner, "one\ntwo\n") == {}
    assert set(found(scanner, "one two\n")) == set(scanner.patterns)


def test_every_line_is_counted_once_and_the_first_ones_are_kept():
    hits = Scanner(["hit"]).scan(texts("hit hit hit\n" * 1000))

    entry = hits.of("hit")["0.log"]
    assert entry.count == 1000
    assert [line.number for line in entry.lines] == list(range(1, KEPT + 1))


def test_the_stored_line_is_shown_not_the_cleaned_one():
    scanner = Scanner(['type="flannel" failed'])

    assert found(scanner, 'a\r\nerr="plugin type=\\"flannel\\" failed"\r\n') == {
        'type="flannel" failed': {"0.log": [(2, 'err="plugin type=\\"flannel\\" failed"')]}
    }


def test_very_long_lines_are_cut_around_the_hit():
    line = "a" * 200_000 + " NEEDLE " + "b" * 200_000

    [(number, shown)] = found(Scanner(["NEEDLE"]), f"first\n{line}\nlast\n")["NEEDLE"]["0.log"]

    assert number == 2
    assert "NEEDLE" in shown
    assert len(shown) < 700


def test_a_scanner_without_patterns_finds_nothing():
    assert Scanner([]).scan(texts("anything")).of("x") == {}


def test_one_scanner_serves_many_threads():
    """Hyperscan's scratch space belongs to one scan; sharing it raises."""
    scanner = Scanner(["needle", "hay.stack"])
    content = "needle\n" + "hay stack\n" * 2000

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: scanner.scan(texts(content)).of("hay.stack")["0.log"].count, range(24)))

    assert counts == [2000] * 24


PATTERNS = ["ab", r"a[^b]+c", r"^c", r"b$", r"a\s*b", r"(ab|cd)+e", r"\bb\b"]


@given(st.lists(st.text(alphabet="abcde \t", max_size=14), max_size=12), st.integers(4, 40))
def test_the_scan_agrees_with_trying_every_pattern_on_every_line(lines, size):
    """Chunk borders, line ends and the two engines must not show."""
    content = "\n".join(lines)
    # A line longer than a chunk is looked at in pieces; that is another promise.
    size = max(size, max((len(line) for line in lines), default=0) + 2)

    hits = Scanner(PATTERNS).scan(texts(content, size=size))

    for pattern in PATTERNS:
        expected = sum(compiled(pattern).search(line.encode()) is not None for line in content.split("\n"))
        entry = hits.of(pattern).get("0.log")
        assert (entry.count if entry else 0) == expected, pattern
