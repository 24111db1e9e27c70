"""How does evidence leave without its secrets?

A value that must not be seen becomes a pseudonym such as `<masked:token:1f3a>`. It is derived with a key that belongs to one
bundle: the same secret has the same pseudonym in every file, so one still sees that two nodes use different tokens, and
nobody can test a guess against it. Lines stay lines and JSON stays JSON, so that signatures work on what is left.

Three things are masked: what looks like a secret wherever it stands (rules), what a key calls a secret (keys), and what
Kubernetes says is one (the values of Secret objects, the files in Rancher's machine plans).
"""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rancher_ext.bundle.bundle import Bundle, BundleFile, Manifest, RedactionEntry
from rancher_ext.bundle.masks import NOT_SECRET, PASSWORDS, RedactionRules, Rule, TextMask, plain_key, problem_with_rule
from rancher_ext.bundle.text import chunks

__all__ = [
    "RedactionEntry",
    "RedactionRules",
    "Redactor",
    "Rule",
    "counts_by_rule",
    "problem_with_rule",
    "redact_bundle",
]

_DEPTH = 100
# What a machine plan tells without its secrets; rke.cattle.io/machine-plan, Rancher 2.6 to 2.11.
_PLAN_KEPT = frozenset(
    {
        "applied-checksum", "failed-checksum", "failure-count", "success-count", "max-failures", "last-apply-time",
        "probe-statuses", "failure-threshold", "applied-periodic-output-checksum",
    }
)  # fmt: skip
_PLAN_DOCUMENTS = frozenset({"plan", "appliedPlan"})
_PLAN_TYPE = "rke.cattle.io/machine-plan"


class Redactor(TextMask):
    """Masks the evidence of one bundle: text, objects and files. Every place that was masked is in `report`."""

    def object(self, value: Any, place: str = "") -> Any:
        """A JSON value: same keys, same lists, same types; secret strings replaced."""
        return self._masked(value, place, 0)

    def _masked(self, value: Any, place: str, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value, place) if value else value
        if depth > _DEPTH:
            # Nobody reads that deep, and nothing there can be judged.
            return None if value is None else "<masked:too-deep:0000>"
        if isinstance(value, list):
            return [self._masked(item, place, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("kind") == "Secret":
            value = self._masked_secret(value, place)
        named = value.get("name")
        if isinstance(named, str) and isinstance(value.get("value"), str) and self._is_secret_key(named):
            value = {**value, "value": self._hidden(value["value"], "value", "key", place)}
        return {
            self._masked_key(key, place): self._masked_entry(key, item, place, depth) for key, item in value.items()
        }

    def _masked_key(self, key: str, place: str) -> str:
        return self.by_rules(key.encode("utf-8", "surrogatepass"), place).decode("utf-8", "surrogatepass")

    def _masked_entry(self, key: str, value: Any, place: str, depth: int) -> Any:
        if self._is_secret_key(key):
            if isinstance(value, str):
                return self._hidden(value, "value", "key", place)
            if isinstance(value, list) and all(isinstance(item, str) for item in value):
                return [self._hidden(item, "value", "key", place) for item in value]
            if isinstance(value, (int, float)) and not isinstance(value, bool) and plain_key(key).endswith(PASSWORDS):
                # A numeric password; the type changes for once, since no number can say that it is masked.
                return self._hidden(str(value), "value", "key", place)
        if isinstance(value, str) and value[:1] in {"{", "["}:
            nested = self._nested_json(value, place, depth)
            if nested is not None:
                return nested
        return self._masked(value, place, depth + 1)

    def _nested_json(self, text: str, place: str, depth: int) -> str | None:
        """JSON inside a string, as in the annotation of `kubectl apply`; None when it is none."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return None
        masked = self._masked(document, place, depth + 1)
        return text if masked == document else json.dumps(masked, separators=(",", ":"), ensure_ascii=False)

    def _is_secret_key(self, key: str) -> bool:
        plain = plain_key(key)
        return plain not in self.kept and plain.endswith(self.endings)

    def _hidden(self, value: str, kind: str, rule: str, place: str) -> str:
        if not value or value.startswith("<masked:"):
            return value
        if value.lower().encode("utf-8", "surrogatepass") in NOT_SECRET:
            return value
        self.counts[rule, place] += 1
        return self.pseudonym(kind, value.encode("utf-8", "surrogatepass")).decode()

    def _masked_secret(self, secret: dict[str, Any], place: str) -> dict[str, Any]:
        plan = secret.get("type") == _PLAN_TYPE
        masked = dict(secret)
        for section in ("data", "stringData"):
            values = secret.get(section)
            if not isinstance(values, dict):
                continue
            encoded = section == "data"
            masked[section] = {
                key: self._plan_value(key, value, place, encoded=encoded)
                if plan
                else self._hidden(
                    value if isinstance(value, str) else json.dumps(value), "secret", "secret-object", place
                )
                for key, value in values.items()
            }
        return masked

    def _plan_value(self, key: str, value: Any, place: str, *, encoded: bool) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        if key in _PLAN_KEPT:
            return text
        plain = _decoded(text) if encoded else text
        if key in _PLAN_DOCUMENTS and plain is not None:
            try:
                document = json.loads(plain)
            except (ValueError, RecursionError):
                document = None
            if isinstance(document, dict):
                kept = json.dumps(self._masked_plan(document, place), separators=(",", ":"))
                return base64.b64encode(kept.encode()).decode() if encoded else kept
        return self._hidden(text, "plan", "machine-plan", place)

    def _masked_plan(self, plan: dict[str, Any], place: str) -> dict[str, Any]:
        """Paths, names and probes of a plan; no file content and no value of an environment variable."""

        def file(entry: Any) -> Any:
            if not isinstance(entry, dict):
                return None
            content = self._hidden(str(entry.get("content") or ""), "file", "machine-plan", place)
            return {
                **{key: entry[key] for key in ("path", "permissions", "dynamic", "minor") if key in entry},
                "content": content,
            }

        def instruction(entry: Any) -> Any:
            if not isinstance(entry, dict):
                return None
            environment = [str(item).partition("=") for item in entry.get("env") or ()]
            kept = {
                key: entry[key] for key in ("name", "image", "command", "saveOutput", "periodSeconds") if key in entry
            }
            return self._masked(kept, place, 1) | {
                "env": [
                    f"{name}={self._hidden(value, 'env', 'machine-plan', place)}" for name, _, value in environment
                ],
                # Arguments are scripts and flags: rules and keys, as for any text.
                "args": [self.text(str(argument), place) for argument in entry.get("args") or ()],
            }

        masked: dict[str, Any] = {"probes": self._masked(plan.get("probes"), place, 1)}
        masked["files"] = [file(entry) for entry in _listed(plan.get("files"))]
        for key in ("instructions", "periodicInstructions"):
            if key in plan:
                masked[key] = [instruction(entry) for entry in _listed(plan[key])]
        return masked

    # Files

    def file(self, path: str, content: bytes) -> bytes:
        """A file's content by its name: JSON as objects, anything else as text (UTF-16 becomes UTF-8)."""
        if path.endswith(".json"):
            try:
                document = json.loads(content)
            except (ValueError, RecursionError):
                pass
            else:
                return (
                    json.dumps(self.object(document, path), indent=2, ensure_ascii=False).encode("utf-8", "replace")
                    + b"\n"
                )
        if b"\0" in content[:4096] or content.startswith((b"\xff\xfe", b"\xfe\xff")):
            content = b"".join(chunk.seen for chunk in chunks(BundleFile.of(path, content)))
        return self.content(content, path)


def redact_bundle(bundle: Bundle, redactor: Redactor, *, skip: Callable[[str], bool] = lambda _path: False) -> Bundle:
    """All files masked; the manifest gets the report. Files are masked one at a time, and held masked."""
    files = {
        path: bundle[path] if skip(path) else BundleFile.of(path, redactor.file(path, bundle[path].read_bytes()))
        for path in bundle
        if path != "manifest.json"
    }
    manifest = replace(bundle.manifest or Manifest(), redactions=redactor.report)
    return Bundle(files, None, bundle.name).with_manifest(manifest)


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def counts_by_rule(entries: Sequence[RedactionEntry]) -> Mapping[str, int]:
    """How often each rule masked something, over all places."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.rule] += entry.count
    return counts
