"""How is evidence collected, masked and handed on? The collectors with the shipped redaction rules."""

import secrets
from collections.abc import Callable
from datetime import datetime

from bot.workflows.parts import RancherServer
from rancher_ext.bundle.bundle import Bundle
from rancher_ext.bundle.redact import Redactor
from rancher_ext.catalogue.redaction import load_redaction
from rancher_ext.evidence.collect import collect, gather
from rancher_ext.evidence.witness import Witness
from rancher_ext.fleet.snapshot import ClusterSnapshot


def collect_evidence(
    server: RancherServer,
    snapshot: ClusterSnapshot,
    now: datetime,
    progress: Callable[[int, int, str], None] | None = None,
    witness: Witness | None = None,
) -> Bundle:
    """The evidence of one cluster with all collectors. Nothing unmasked leaves this function.

    `witness` keeps the record of what is done on nodes; without one no shell is opened there.

    The masks have a key of their own: pseudonyms are stable within one bundle and tell nothing across two.
    """
    redactor = Redactor(load_redaction(), secrets.token_bytes(32))
    return collect(
        server.transport,
        snapshot,
        collectors=gather(),
        now=now,
        redactor=redactor,
        progress=progress,
        witness=witness,
    )
