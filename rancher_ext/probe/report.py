"""In what does a node send its evidence? One gzipped JSON document, bounded on both sides, under a token of this node alone.

The token is `<run>.<mac>.<node>`. The mac is made with the run's key, so that Drover knows without asking anybody that the run is
its own and the name is the node's, and a token of one node or one cluster opens nothing elsewhere.
"""

import base64
import gzip
import hashlib
import hmac
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

SCHEMA = 1
# What one node sends at most, packed and unpacked. A log of every container of the network fits many times.
PACKED = 2 << 20
UNPACKED = 16 << 20
FILES = 400
MEDIA_TYPE = "application/gzip"

RUN = re.compile(r"[0-9a-f]{16}")
NODE = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_MAC = re.compile(r"[A-Za-z0-9_-]{43}")
_PATH = re.compile(
    r"(?:logs/[A-Za-z0-9._@=-]{1,253}(?:/[A-Za-z0-9._@=-]{1,253}){1,2}\.log"
    r"|host/[A-Za-z0-9._-]{1,253}\.txt"
    r"|objects/downstream/(?:pods|nodes)/[A-Za-z0-9._-]{1,253}/[A-Za-z0-9._-]{1,253}\.json)"
)


class BadReport(ValueError):
    """What was sent is not a report. The text is ours and quotes nothing of it."""


@dataclass(frozen=True)
class Report:
    """One node's evidence, masked. `notes` say what could not be read there."""

    node: str
    files: Mapping[str, str]
    notes: tuple[str, ...] = ()
    masked: int = 0

    def packed(self) -> bytes:
        document = {
            "schema": SCHEMA,
            "node": self.node,
            "files": dict(self.files),
            "notes": list(self.notes),
            "masked": self.masked,
        }
        return gzip.compress(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"), 6, mtime=0)


def unpacked(body: bytes) -> Report:
    """The report in a body of a stranger. Raises BadReport; never holds more than UNPACKED bytes."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        text = unzip.decompress(body, UNPACKED + 1)
    except zlib.error:
        raise BadReport("the body is not gzip") from None
    if len(text) > UNPACKED:
        raise BadReport(f"the report is larger than {UNPACKED >> 20} MiB")
    if not unzip.eof or unzip.unused_data:
        raise BadReport("the body is cut short, or something follows it")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadReport("the body is not JSON") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise BadReport(f"the document is not a report of schema {SCHEMA}")
    node, files, notes = document.get("node"), document.get("files"), document.get("notes", [])
    if not isinstance(node, str) or not NODE.fullmatch(node):
        raise BadReport("the report names no node")
    if not isinstance(files, dict) or not files or len(files) > FILES:
        raise BadReport(f"the report has no files, or more than {FILES}")
    for path, content in files.items():
        if not _PATH.fullmatch(path) or ".." in path or not isinstance(content, str):
            raise BadReport("a file of the report is not one that a probe sends")
        if not _is_text(content):
            raise BadReport("a file of the report is not text")
    if not isinstance(notes, list) or len(notes) > FILES or not all(isinstance(note, str) for note in notes):
        raise BadReport("the notes of the report are not a list of texts")
    masked = document.get("masked", 0)
    return Report(
        node=node,
        files=files,
        notes=tuple(note[:300] for note in notes if _is_text(note)),
        masked=masked if isinstance(masked, int) and not isinstance(masked, bool) and 0 <= masked < 1 << 31 else 0,
    )


def _is_text(text: str) -> bool:
    """JSON can hold halves of characters, which no file and no database can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def token_of(run: str, key: bytes, node: str) -> str:
    """The token of one node in one run."""
    mac = hmac.new(key, f"{run}\n{node}".encode(), hashlib.sha256).digest()
    return f"{run}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}.{node}"


def read_token(token: str) -> tuple[str, str] | None:
    """Run and node that a token claims; None when it is none. Nothing is proved yet: compare it with `token_of`."""
    run, _, rest = token.partition(".")
    mac, _, node = rest.partition(".")
    if RUN.fullmatch(run) and _MAC.fullmatch(mac) and NODE.fullmatch(node):
        return run, node
    return None


def is_token(token: str, key: bytes) -> bool:
    """Was this token made with this key? Compared in constant time."""
    claimed = read_token(token)
    return claimed is not None and hmac.compare_digest(token.encode(), token_of(claimed[0], key, claimed[1]).encode())
