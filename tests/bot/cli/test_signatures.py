"""`drover signatures` as people and CI use it."""

import json

import pytest

SIGNATURE = """\
id: our-own
title: Our own trouble with the network
cause: rbac-forbidden
when:
  any:
    - text: 'OUR TROUBLE'
    - text: 'OUR SORROW'
confidence: 0.95
because: A long enough explanation of it.
since: 2025-01-01
references: [https://example.com/x]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config" / "signatures").mkdir(parents=True)
    (tmp_path / "config" / "signatures" / "our-own.yaml").write_text(SIGNATURE)
    return tmp_path


def sample(folder, name, text):
    path = folder / "samples" / "our-own" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def case(folder, name, cause, text, *, in_scope=True):
    path = folder / "cases" / name
    path.mkdir(parents=True)
    (path / "case.json").write_text(json.dumps({"cause": cause, "in_scope": in_scope}))
    (path / "paste.log").write_text(text)


class TestTest:
    def test_hits_and_misses_of_each_signature(self, drover, folder):
        sample(folder, "hit-a.log", "OUR TROUBLE\n")
        sample(folder, "miss-a.log", "fine\n")
        sample(folder, "miss-b.log", "OUR TROUBLE\n")

        said = drover("signatures", "test", "our-own", "--samples", folder / "samples")

        assert said.status == 2
        assert "our-own   1 of 1 hits   1 of 2 misses\n" in said.out
        assert "miss-b.log: was found, and should not be" in said.out
        assert said.out.endswith("2 of 3 samples are right\n")

    def test_a_predicate_that_no_sample_needs(self, drover, folder):
        sample(folder, "hit-a.log", "OUR TROUBLE\n")
        sample(folder, "miss-a.log", "fine\n")

        said = drover("signatures", "test", "our-own", "--samples", folder / "samples", "--mutate")

        assert said.status == 2
        assert "our-own.yaml:7: when.any.1: no sample of 'our-own' needs this predicate\n" in said.out
        assert said.out.endswith("1 of 2 predicates are needed by a sample\n")

    def test_every_predicate_is_needed(self, drover, folder):
        sample(folder, "hit-a.log", "OUR TROUBLE\n")
        sample(folder, "hit-b.log", "OUR SORROW\n")

        assert drover("signatures", "test", "our-own", "--samples", folder / "samples", "--mutate").status == 0

    def test_a_name_that_does_not_exist(self, drover, folder):
        sample(folder, "hit-a.log", "OUR TROUBLE\n")

        said = drover("signatures", "test", "our-owm", "--samples", folder / "samples")

        assert said.status == 2
        assert "our-own" in said.err


class TestLint:
    def test_sound_signatures(self, drover, folder):
        said = drover("signatures", "lint")

        assert said.status == 0
        assert "no problem" in said.out

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("cause: rbac-forbidden", "cause: gremlins", "our-own.yaml:3: cause: Input should be"),
            ("confidence:", "confidense:", "our-own.yaml:8: confidense: Extra inputs are not permitted"),
            ("'OUR SORROW'", "'(a+)+$('", "our-own.yaml:7: when.any.1.text: the pattern does not compile"),
            (
                "text: 'OUR SORROW'",
                "any: [{log: one}, {any: [{log: two}, {log: three}]}]",
                "our-own.yaml:7: when.any.1:",
            ),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line(self, drover, folder, old, new, message):
        path = folder / "config" / "signatures" / "our-own.yaml"
        path.write_text(SIGNATURE.replace(old, new))

        said = drover("signatures", "lint")

        assert said.status == 2
        assert message in said.out

    def test_a_user_takes_the_place_of_a_shipped_signature(self, drover, folder):
        path = folder / "config" / "signatures" / "cni-conf-uninitialized.yaml"
        path.write_text(SIGNATURE.replace("our-own", "cni-conf-uninitialized"))

        assert drover("signatures", "lint").status == 0
        assert "Our own trouble" in drover("signatures", "show", "cni-conf-uninitialized").out


class TestScore:
    @pytest.fixture
    def cases(self, folder):
        case(folder, "a-right", "rbac-forbidden", "OUR TROUBLE\n")
        case(folder, "b-wrong", "image-pull", "OUR TROUBLE\n")
        case(folder, "c-alarm", "healthy-lookalike", "OUR TROUBLE\n", in_scope=False)
        return folder / "cases"

    def test_a_page_of_text(self, drover, cases):
        said = drover("signatures", "score", cases)

        assert said.status == 0
        assert "3 cases, 2 in scope, 1 look-alikes" in said.out
        assert "Right cause first                  50%  (1 of 2)" in said.out
        assert "Brier score" in said.out

    def test_json_for_machines(self, drover, cases):
        document = json.loads(drover("signatures", "score", cases, "--format", "json").out)

        assert document["inScope"]["top1"] == 0.5
        assert document["lookalikes"]["falseCniFailures"] == ["c-alarm"]
        assert document["calibration"]["findings"] == 3

    @pytest.mark.parametrize(
        ("bounds", "status", "said"),
        [
            (("--min-top1", "0.5"), 0, ""),
            (("--min-top1", "0.9"), 13, "the right cause came first in 50% of the cases, wanted 90%"),
            (("--max-false-alarms", "0.02"), 13, "100% of the look-alikes were called a CNI failure, allowed 2%"),
            (("--min-top1", "50"), 2, "is not in the range"),
        ],
    )
    def test_ci_can_fail_below_a_bound(self, drover, cases, bounds, status, said):
        ended = drover("signatures", "score", cases, *bounds)

        assert ended.status == status
        assert said in ended.err

    def test_several_folders_are_one_score(self, drover, cases):
        assert "6 cases" in drover("signatures", "score", cases, cases).out
