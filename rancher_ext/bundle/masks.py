"""What in a text is a secret, and how is it masked without changing anything else?

Three passes over lines: private keys and Secret manifests, which span lines; what looks like a secret by itself (rules); what
a key calls one (`password: …`). Every pattern runs on RE2, so the time is linear in the text.
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from rancher_ext.bundle.bundle import RedactionEntry

MASKED = b"<masked:"
NOT_SECRET = frozenset({b"true", b"false", b"null", b"none", b"nil", b"~", b"{}", b"[]", b"|", b">", b"redacted"})
_PEM_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(rb"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_SCALAR = re.compile(rb"^[|>][+-]?\d?[+-]?\s*(?:#.*)?$")
_DOCUMENT = re.compile(rb"^---(?:\s|$)")
_SECRET_KIND = re.compile(rb"^(?P<indent> {0,40}(?:- )?)[\"']?kind[\"']?:\s*[\"']?Secret[\"']?\s*$")
_SECRET_DATA = re.compile(rb"^(?P<indent> {0,40})[\"']?(?:data|stringData)[\"']?:\s*$")
_SECRET_VALUE = re.compile(rb"^(?P<head>\s*[\"']?[A-Za-z0-9._-]{1,253}[\"']?:\s*)(?P<value>\S.*)$")
_INDENT = re.compile(rb" *")
PASSWORDS = ("password", "passwd", "passphrase", "pwd")


@dataclass(frozen=True)
class Rule:
    """Something that is a secret by its looks. The group `secret` is masked, or the whole match when there is none."""

    name: str
    kind: str
    pattern: str


@dataclass(frozen=True)
class RedactionRules:
    """`keys` are endings of key names (`password` covers `dbPassword` and `DB_PASSWORD`), `kept` are exceptions."""

    rules: tuple[Rule, ...]
    keys: tuple[str, ...]
    kept: tuple[str, ...] = ()


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return re2.compile(pattern.encode(), options)


def problem_with_rule(pattern: str) -> str | None:
    """Why a rule's pattern cannot be used; None when it can."""
    try:
        program = _compiled(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else error
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    if program.search(b"") is not None:
        return "it matches the empty string"
    return None


# As flags these take the path of a file. Every start of client-go without one says `Neither --kubeconfig nor --master was specified`.
_PATH_FLAGS = ("kubeconfig",)


class TextMask:
    """Masks text and remembers what it did. `key` is secret and used for one bundle only."""

    def __init__(self, rules: RedactionRules, key: bytes) -> None:
        self._key = key
        self._rules = [(rule, _compiled(rule.pattern)) for rule in rules.rules]
        self._any_rule = _compiled(
            "|".join(f"(?:{_unnamed(rule.pattern)})" for rule in rules.rules) or "[^\\x00-\\xff]"
        )
        self.endings = tuple(plain_key(key) for key in rules.keys)
        self.kept = frozenset(plain_key(key) for key in rules.kept)
        words = "|".join(_loose(key) for key in rules.keys) or "[^\\x00-\\xff]"
        name = rf"[A-Za-z0-9_.-]{{0,60}}?(?:{words})"
        self._words = _compiled(f"(?i){words}")
        # In running text a key stands at the beginning of something; `…/serviceaccounts/canal/token": dial tcp` is a path.
        self._keyed = _compiled(
            rf"(?i)(?:^|[\s{{,;&?(\"'\\\[])(?P<key>-{{0,2}}{name})"
            r"(?:\\*[\"'])?(?:\s{0,3}=\s{0,3}|:[ \t]*|=)"
            r"(?:\"(?P<double>(?:[^\"\\\n]|\\[^\n])+)\"|\\+\"(?P<escaped>[^\"\\\n]+)|'(?P<single>[^'\n]+)'"
            r"|(?P<bare>[^\s\"'&<\\,][^\s\"'&<]*))"
        )
        self._flag = _compiled(rf"(?i)--(?P<key>{name})[ \t]+[\"']?(?P<bare>[^\s\"'&<-][^\s\"'&<]*)")
        self._line = _compiled(rf"(?i)^[ \t]*(?:- )?[\"']?(?P<key>{name})[\"']?:[ \t]+(?P<bare>[^\s\"'<].*)$")
        self.counts: Counter[tuple[str, str]] = Counter()

    @property
    def report(self) -> tuple[RedactionEntry, ...]:
        """Rule, place and count of everything masked so far."""
        return tuple(RedactionEntry(rule, place, count) for (rule, place), count in sorted(self.counts.items()))

    def pseudonym(self, kind: str, value: bytes) -> bytes:
        digest = hmac.new(self._key, value, hashlib.sha256).hexdigest()[:4]
        return f"<masked:{kind}:{digest}>".encode()

    # Text

    def text(self, text: str, place: str = "") -> str:
        """Text of any length, for example one line that goes into an issue."""
        return self.content(text.encode("utf-8", "surrogatepass"), place).decode("utf-8", "surrogatepass")

    def content(self, data: bytes, place: str = "") -> bytes:
        """Text as bytes. The number of lines does not change."""
        lines = data.split(b"\n")
        lines = self._without_private_keys(lines, place)
        if b"Secret" in data:
            lines = self._without_secret_manifests(lines, place)
        lines = self._without_block_scalars(lines, place)
        return b"\n".join(self._masked_line(line, place) for line in lines)

    def _masked_line(self, line: bytes, place: str) -> bytes:
        line = self.by_rules(line, place)
        if self._words.search(line) is None:
            return line
        if self._line.search(line) is not None:
            line = self._by_key(self._line, line, place)
        if b"--" in line:
            line = self._by_key(self._flag, line, place)
        if b"=" in line or b":" in line:
            line = self._by_key(self._keyed, line, place)
        return line

    def by_rules(self, data: bytes, place: str) -> bytes:
        if self._any_rule.search(data) is None:
            return data
        for rule, program in self._rules:

            def masked(match: Any, rule: Rule = rule) -> bytes:
                group = match.re.groupindex.get(b"secret", 0)
                value = match[group]
                if not value or value.startswith(MASKED):
                    return bytes(match[0])
                self.counts[rule.name, place] += 1
                return self._replaced(match, group, rule.kind, value)

            data = _substituted(program, masked, data)
        return data

    def _by_key(self, program: Any, data: bytes, place: str) -> bytes:
        def masked(match: Any) -> bytes:
            numbers = {name: match.re.groupindex.get(name, 0) for name in (b"double", b"escaped", b"single", b"bare")}
            group = next((number for number in numbers.values() if number and match[number] is not None), None)
            if group is None or plain_key(match[b"key"].decode("latin-1")) in self.kept:
                return bytes(match[0])
            value = match[group]
            if group == numbers[b"bare"]:
                # A closing bracket or comma belongs to what stands around the value.
                value = value.rstrip(b",;})]") or value
            if MASKED in value or value.lower() in NOT_SECRET or _BLOCK_SCALAR.match(value):
                return bytes(match[0])
            if program is self._keyed and _is_prose(match, value):
                return bytes(match[0])
            if program is self._flag and plain_key(match[b"key"].decode("latin-1")).endswith(_PATH_FLAGS):
                return bytes(match[0])
            self.counts["key", place] += 1
            return self._replaced(match, group, "value", value)

        return _substituted(program, masked, data)

    def _replaced(self, match: Any, group: int, kind: str, value: bytes) -> bytes:
        whole, start = bytes(match[0]), match.start(group) - match.start()
        return whole[:start] + self.pseudonym(kind, value) + whole[start + len(value) :]

    def _without_private_keys(self, lines: list[bytes], place: str) -> list[bytes]:
        if not any(b"PRIVATE KEY" in line for line in lines):
            return lines
        inside = False
        masked: list[bytes] = []
        for read in lines:
            line = read
            begin, end = _PEM_BEGIN.search(line), _PEM_END.search(line)
            if not inside and begin is not None:
                # The same line may hold all of it, with \n written out, as in a Google account file.
                stop = end.start() if end is not None and end.start() > begin.end() else len(line)
                body = line[begin.end() : stop]
                if body.strip(b"\\nr\"', \t"):
                    self.counts["private-key", place] += 1
                    line = line[: begin.end()] + self.pseudonym("private-key", body) + line[stop:]
                inside = end is None
            elif inside and end is not None:
                before = line[: end.start()]
                if before.strip(b" \t\"'\\n"):
                    line = self.pseudonym("private-key", before) + line[end.start() :]
                inside = False
            elif inside and line.strip():
                indent = _INDENT.match(line)
                self.counts["private-key", place] += 1
                line = (indent[0] if indent else b"") + self.pseudonym("private-key", line.strip())
            masked.append(line)
        return masked

    def _without_secret_manifests(self, lines: list[bytes], place: str) -> list[bytes]:
        """Values under `data:` and `stringData:` of YAML documents of kind Secret."""
        masked = list(lines)
        for start, stop in _documents(lines):
            if not any(_SECRET_KIND.match(line) for line in lines[start:stop]):
                continue
            depth: int | None = None
            for number in range(start, stop):
                line = masked[number]
                if not line.strip():
                    continue
                indent = len(line) - len(line.lstrip(b" "))
                if depth is not None and indent <= depth:
                    depth = None
                if (opened := _SECRET_DATA.match(line)) is not None:
                    depth = len(opened["indent"])
                elif depth is not None:
                    masked[number] = self._secret_line(line, place)
        return masked

    def _secret_line(self, line: bytes, place: str) -> bytes:
        match = _SECRET_VALUE.match(line)
        head = match["head"] if match is not None else line[: len(line) - len(line.lstrip(b" "))]
        value = match["value"] if match is not None else line.strip()
        if _BLOCK_SCALAR.match(value) or value.startswith(MASKED) or (match is None and value.endswith(b":")):
            return line
        self.counts["secret-object", place] += 1
        return head + self.pseudonym("secret", value)

    def _without_block_scalars(self, lines: list[bytes], place: str) -> list[bytes]:
        """`password: |` and the deeper lines below it."""
        masked: list[bytes] = []
        depth: int | None = None
        for read in lines:
            line = read
            indent = len(line) - len(line.lstrip(b" "))
            if depth is not None and line.strip():
                if indent > depth:
                    if MASKED not in line:
                        self.counts["key", place] += 1
                        line = line[:indent] + self.pseudonym("value", line.strip())
                else:
                    depth = None
            if depth is None and line.rstrip().endswith((b"|", b">", b"-", b"+")):
                found = self._line.search(line)
                if found is not None and _BLOCK_SCALAR.match(found[b"bare"].strip()):
                    depth = indent
            masked.append(line)
        return masked


def _is_prose(match: Any, value: bytes) -> bool:
    """Is this a sentence rather than a key and its value: `failed to fetch token: serviceaccounts "canal" is forbidden`?

    Evidence lives on such sentences. A value that is long and mixed is masked all the same, and after a password always.
    """
    whole, key = bytes(match[0]), bytes(match[b"key"])
    rest = whole[whole.find(key) + len(key) :]
    if not whole[:1].isspace() or not rest.startswith(b": ") or plain_key(key.decode("latin-1")).endswith(PASSWORDS):
        return False
    mixed = any(48 <= byte <= 57 for byte in value) and any(byte > 64 for byte in value)
    return not (mixed and len(value) >= 12)


def plain_key(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _loose(key: str) -> str:
    """`secret-key` as a pattern that also finds secretKey, SECRET_KEY and secret.key."""
    return r"[_.-]?".join(re.escape(word) for word in re.split(r"[_.-]", key))


def _unnamed(pattern: str) -> str:
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


def _substituted(program: Any, function: Callable[[Any], bytes], data: bytes) -> bytes:
    pieces: list[bytes] = []
    end = 0
    for match in program.finditer(data):
        pieces += [data[end : match.start()], function(match)]
        end = match.end()
    return data if not pieces else b"".join([*pieces, data[end:]])


def _documents(lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    start = 0
    for number, line in enumerate(lines):
        if _DOCUMENT.match(line):
            yield start, number
            start = number + 1
    yield start, len(lines)
