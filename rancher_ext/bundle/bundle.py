"""What is in the evidence of one collection?

A bundle is a mapping from path to file, plus the manifest where we wrote one. Files are opened when somebody asks, so a
bundle of a gigabyte costs no memory. Paths use `/` and are relative.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Self

from rancher_ext.bundle.evidence import CollectorReport
from rancher_ext.bundle.origin import Origin

SCHEMA = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RedactionEntry:
    """A rule masked something at a place, so many times. Never the value."""

    rule: str
    place: str
    count: int


@dataclass(frozen=True)
class Manifest:
    """What we wrote about a collection of ours; None and empty where it was not known."""

    cluster_id: str = ""
    cluster_name: str = ""
    cluster_uid: str = ""
    rancher: str = ""
    distribution: str = ""
    cni: str = ""
    kubernetes: str = ""
    rancher_version: str = ""
    collected_at: datetime | None = None
    collectors: tuple[CollectorReport, ...] = ()
    redactions: tuple[RedactionEntry, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "rancher": self.rancher,
            "cluster": {
                "id": self.cluster_id,
                "name": self.cluster_name,
                "uid": self.cluster_uid,
                "distribution": self.distribution,
                "cni": self.cni,
                "kubernetes": self.kubernetes,
            },
            "rancherVersion": self.rancher_version,
            "collectedAt": self.collected_at.isoformat() if self.collected_at else None,
            "collectors": [report.to_json() for report in self.collectors],
            "redactions": [{"rule": e.rule, "place": e.place, "count": e.count} for e in self.redactions],
        }

    @classmethod
    def from_json(cls, value: Any) -> "Manifest | None":
        """The manifest, or None when the document is not one of ours (another tool's `manifest.json`)."""
        if not isinstance(value, dict) or value.get("schema") != SCHEMA or not isinstance(value.get("cluster"), dict):
            return None
        cluster = value["cluster"]
        try:
            when = value.get("collectedAt")
            return cls(
                cluster_id=str(cluster.get("id") or ""),
                cluster_name=str(cluster.get("name") or ""),
                cluster_uid=str(cluster.get("uid") or ""),
                rancher=str(value.get("rancher") or ""),
                distribution=str(cluster.get("distribution") or ""),
                cni=str(cluster.get("cni") or ""),
                kubernetes=str(cluster.get("kubernetes") or ""),
                rancher_version=str(value.get("rancherVersion") or ""),
                collected_at=datetime.fromisoformat(when) if when else None,
                collectors=tuple(CollectorReport.from_json(entry) for entry in value.get("collectors") or ()),
                redactions=tuple(
                    RedactionEntry(str(e["rule"]), str(e["place"]), int(e["count"]))
                    for e in value.get("redactions") or ()
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file. `opener` gives a fresh binary stream each time; `origin` is what is known of it beyond its path."""

    path: str
    size: int
    opener: Callable[[], BinaryIO] = field(repr=False, compare=False)
    origin: Origin | None = None

    def open(self) -> BinaryIO:
        return self.opener()

    def read_bytes(self, limit: int | None = None) -> bytes:
        """The content, or its first `limit` bytes."""
        with self.open() as stream:
            return stream.read() if limit is None else stream.read(limit)

    @classmethod
    def of(cls, path: str, content: str | bytes) -> "BundleFile":
        data = content.encode() if isinstance(content, str) else content
        return cls(path=path, size=len(data), opener=lambda: io.BytesIO(data))


@dataclass(frozen=True)
class Bundle(Mapping[str, BundleFile]):
    """All evidence of one collection, in path order. `notes` are what a person should know of how it was opened."""

    files: Mapping[str, BundleFile]
    manifest: Manifest | None = None
    name: str = ""
    notes: tuple[str, ...] = ()

    def __getitem__(self, path: str) -> BundleFile:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.files))

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, path: object) -> bool:
        return path in self.files

    @property
    def collectors(self) -> Sequence[CollectorReport]:
        return self.manifest.collectors if self.manifest else ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())

    def with_manifest(self, manifest: Manifest) -> "Bundle":
        """The same files under another manifest, which is also what `manifest.json` then says."""
        text = json.dumps(manifest.to_json(), indent=2) + "\n"
        return Bundle({**self.files, MANIFEST: BundleFile.of(MANIFEST, text)}, manifest, self.name, self.notes)

    @classmethod
    def of(cls, files: Mapping[str, str | bytes], manifest: Manifest | None = None, *, name: str = "") -> Self:
        """A bundle in memory."""
        held = {path: BundleFile.of(path, content) for path, content in files.items()}
        if manifest is not None and MANIFEST not in held:
            held[MANIFEST] = BundleFile.of(MANIFEST, json.dumps(manifest.to_json(), indent=2) + "\n")
        return cls(held, manifest, name)
