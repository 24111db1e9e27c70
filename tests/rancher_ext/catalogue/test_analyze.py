"""An analysis never fails on what people give it, and serves several threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.catalogue import shipped, shipped_config_dir
from rancher_ext.catalogue.analyze import analyze, diagnose_bundle
from rancher_ext.catalogue.signatures import load_signatures
from rancher_ext.errors import ConfigError
from rancher_ext.signatures.schema import Verdict

SAMPLES = Path(__file__).parents[2] / "signatures"
LINES = [
    line
    for path in sorted(SAMPLES.rglob("*"))
    if path.is_file() and path.suffix in {".txt", ".log"}
    for line in path.read_text().splitlines()
]
PATHS = ["events.txt", "nodes.txt", "pods.txt", "conditions.txt", "helm.txt", "paste.log", "logs/kubelet/w.log", "logs/kube-system/canal-x/kube-flannel.log", "objects/a.json"]  # fmt: skip


@pytest.fixture(scope="module")
def signatures():
    return load_signatures()


@given(
    files=st.dictionaries(
        st.sampled_from(PATHS),
        st.lists(st.sampled_from(LINES) | st.text(max_size=40), max_size=12).map("\n".join) | st.binary(max_size=80),
        max_size=4,
    )
)
def test_any_mixture_of_lines_gets_an_answer(files, signatures):
    diagnosis = diagnose_bundle(Bundle.of(files), signatures)

    assert all(finding.evidence and 0 < finding.confidence <= 0.99 for finding in diagnosis.findings)
    assert diagnosis.findings or diagnosis.verdict in {Verdict.UNKNOWN, Verdict.HEALTHY}
    for finding in diagnosis.findings:
        for line in finding.evidence:
            assert line.source in files
            assert line.line >= 1


def test_one_catalogue_serves_many_threads(signatures):
    """Compiled patterns and expressions are shared; what is not shared is the state of a run."""
    path = SAMPLES / "flannel-br-netfilter-missing" / "hit-rke1-canal"
    alone = analyze(path, signatures).to_json()

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: analyze(path, signatures).to_json(), range(24)))

    assert all(document == alone for document in together)


def test_the_shipped_configuration_is_found_in_the_wheel_and_in_the_source_tree(tmp_path, monkeypatch):
    assert (shipped_config_dir() / "redaction.yaml").is_file()
    package = tmp_path / "site-packages" / "rancher_ext"
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    with pytest.raises(ConfigError, match="neither in"):
        shipped_config_dir()
    (package / "shipped_config" / "signatures").mkdir(parents=True)
    assert shipped_config_dir() == package / "shipped_config"
