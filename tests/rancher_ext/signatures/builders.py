"""Small signatures and bundles for the tests of the engine."""

from rancher_ext.bundle.bundle import Bundle
from rancher_ext.signatures.schema import Signature

FLANNEL_LOG = "logs/kube-system/canal-8hs2m/kube-flannel.log"


def a_signature(name="sample", **fields):
    """A valid signature; fields override."""
    values = {
        "id": name,
        "title": "Something is wrong here",
        "cause": "kernel-module-missing",
        "when": {"any": [{"text": "BROKEN"}]},
        "confidence": 0.8,
        "because": "A long enough explanation of it.",
        "since": "2025-01-01",
        "references": ["https://example.com/x"],
    }
    return Signature.model_validate(values | fields)


def a_bundle(**files):
    """Files by keyword: `events=…` is events.txt, `flannel=…` is the log of kube-flannel in a canal pod."""
    known = {"flannel": FLANNEL_LOG, "kubelet": "logs/kubelet/w1.log", "paste": "paste.log", "k3s": "logs/k3s/w1.log"}
    return Bundle.of({known.get(name, f"{name}.txt"): text for name, text in files.items()})
