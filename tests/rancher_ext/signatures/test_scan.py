from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import BundleFile
from rancher_ext.bundle.text import LONGEST, chunks
from rancher_ext.signatures.patterns import compiled
from rancher_ext.signatures.scan import KEPT, Found, Line, Scanner, Text


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


def test_every_line_is_counted_once_and_the_first_ones_and_the_last_are_kept():
    hits = Scanner(["hit"]).scan(texts("hit hit hit\n" * 1000))

    entry = hits.of("hit")["0.log"]
    assert entry.count == 1000
    assert [line.number for line in entry.lines] == list(range(1, KEPT + 1))
    assert entry.last == Line(1000, "hit hit hit")


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


PATTERNS = [
    "ab",
    r"a[^b]+c",
    r"^c",
    r"b$",
    r"a\s*b",
    r"(ab|cd)+e",
    r"\bb\b",
    r"^d|e$",
    r"(?s)a.b",
    r"[[:alpha:]]\t",
    r"^ab+c$",
]


def expected(pattern, lines):
    """By the plainest way: RE2 alone, one pattern, one line after the other."""
    return [number for number, line in enumerate(lines, 1) if compiled(pattern).search(line) is not None]


SCANNER = Scanner(PATTERNS)


def agrees(content, size, longest):
    file = BundleFile.of("x", content)
    hits = SCANNER.scan([Text("x", lambda: chunks(file, size, longest))])
    # How files are undressed is tested elsewhere.
    lines = b"".join(chunk.seen for chunk in chunks(file, 1 << 20, 1 << 20)).split(b"\n")
    for pattern in PATTERNS:
        entry, wanted = hits.of(pattern).get("x", Found()), expected(pattern, lines)
        assert (entry.count, [line.number for line in entry.lines]) == (len(wanted), wanted[:KEPT]), pattern
        last = entry.last.number if entry.last else None
        assert last == (wanted[-1] if len(wanted) > KEPT else None), pattern


@given(
    st.lists(st.text(alphabet="abcde \t", max_size=14), max_size=60), st.integers(4, 40), st.sampled_from([4, 10, 1000])
)
def test_the_scan_agrees_with_trying_every_pattern_on_every_line(lines, size, longest):
    """Borders of chunks, lines in pieces, line ends and the two engines must not show."""
    agrees("\n".join(lines).encode(), size, longest)


STAMP = b"2026-03-01T10:00:00.123456789Z "
DRESSED = st.sampled_from(
    [b"ab", b"cde", b" ", b"b", b'\\"', b'\\\\\\"', b'"', b"\x1b[1m", b"\r", b"\0", b"\xff", b"\t", b"a" * 300, STAMP]
    + [b"\n"] * 3
    + [b"\n" + STAMP + stream + part for stream in (b"stdout ", b"stderr ") for part in (b"F ", b"P ")]
)


@given(st.lists(DRESSED, max_size=60).map(b"".join), st.integers(4, 400), st.booleans())
def test_the_scan_agrees_on_any_mixture_of_clothes(content, size, begins_with_line):
    agrees((b"x\n" if begins_with_line else b"") + content, size, 1 << 20)


def test_a_line_of_megabytes_counts_once_and_its_pieces_have_no_ends_of_their_own():
    word, filler = b"needle", b"x y" * (LONGEST // 3)
    line = filler[:-3] + word + filler + word + filler
    content = b"first\n" + line + b"\nneedle\n" + line
    scanner = Scanner(["needle", "^x", "y$", "^needle", "needle$", "y y$|nothing", r"(?s)needle.x"])

    counted = {pattern: entry["x"].count for pattern in scanner.patterns if (entry := scanner.scan([Text("x", lambda: chunks(BundleFile.of("x", content)))]).of(pattern))}  # fmt: skip

    assert counted == {"needle": 3, "^x": 2, "y$": 2, "^needle": 1, "needle$": 1}


def test_a_hit_where_two_pieces_of_a_line_meet_is_found():
    """Wherever the reader cuts, the words before the cut are seen once more with those after it."""
    scanner = Scanner(["needle in hay", "^needle", "hay$"])
    for at in range(LONGEST - 8, LONGEST + 8):
        content = b"x" * (at - 6) + b"needle in hay" + b"y" * 10

        hits = scanner.scan([Text("x", lambda content=content: chunks(BundleFile.of("x", content)))])

        assert [pattern for pattern in scanner.patterns if hits.of(pattern)] == ["needle in hay"]


def test_a_message_in_parts_is_found_and_told_under_its_first_line():
    parts = [STAMP + b"stderr P failed to check br_", STAMP + b"stderr F netfilter", STAMP + b"stderr F next"]

    assert found(Scanner(["check br_netfilter", "next"]), b"\n".join(parts)) == {
        "check br_netfilter": {"0.log": [(1, "failed to check br_netfilter")]},
        "next": {"0.log": [(3, (STAMP + b"stderr F next").decode())]},
    }


def test_a_pattern_that_nothing_is_sure_of_is_counted_like_any_other():
    hits = Scanner([r"(?s)hit.x", "hit"]).scan(texts("hit hit\nhit x hit x\n" * 1000))

    assert hits.of(r"(?s)hit.x")["0.log"].count == 1000
    assert hits.of("hit")["0.log"].count == 2000
