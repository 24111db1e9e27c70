"""Label and field selectors as the API server reads them."""

import pytest

from rancher_ext.simulator.selectors import field_selector, label_selector
from rancher_ext.simulator.status import ApiStatus

POD = {
    "metadata": {"name": "p", "namespace": "n", "labels": {"app": "canal", "tier": "node"}},
    "spec": {"nodeName": "w1"},
}


@pytest.mark.parametrize(
    ("selector", "hit"),
    [
        ("app=canal", True),
        ("app==canal,tier=node", True),
        ("app!=canal", False),
        ("app in (canal, flannel)", True),
        ("app notin (canal)", False),
        ("missing notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("missing!=x", True),
    ],
)
def test_label_selectors(selector, hit):
    match = label_selector(selector)
    assert match is not None
    assert match(POD) is hit


@pytest.mark.parametrize("selector", ["a=b=c", "in (x)", "a in x", "=b"])
def test_nonsense_is_a_bad_request(selector):
    with pytest.raises(ApiStatus) as refused:
        label_selector(selector)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("selector", "hit"),
    [("spec.nodeName=w1", True), ("spec.nodeName!=w1", False), ("metadata.name=p,metadata.namespace=n", True)],
)
def test_field_selectors(selector, hit):
    match = field_selector(selector, "Pod")
    assert match is not None
    assert match(POD) is hit


def test_a_field_that_is_not_indexed_is_refused():
    with pytest.raises(ApiStatus, match=r"field label not supported: spec\.rkeConfig"):
        field_selector("spec.rkeConfig=x", "Cluster", custom=True)
