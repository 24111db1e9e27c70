"""Which version is older, and does a version lie in a range?

Kubernetes versions of Rancher's distributions compare as `X.Y.Z`, then by the distribution's revision
(`v1.32.2-rancher1-1`, `v1.32.2+rke2r1`, `v1.32.2+k3s1`). Pre-releases (`v2.11.0-alpha7`, `v1.32.0-rc2+rke2r1`) sort below
their release.

In a range an upper bound also shuts out the pre-releases of the version it names: `<2.11` does not hold `2.11.0-alpha7`.
That is what people mean by it, and playbooks rely on it: 2.11.0-alpha7 lacks a field that 2.10.4 has.
"""

import re
from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(
    r"^v?(?P<major>\d{1,4})\.(?P<minor>\d{1,4})(?:\.(?P<patch>\d{1,4}))?"
    r"(?:-(?P<stage>alpha|beta|rc)\.?(?P<number>\d{0,4}))?"
    r"(?:(?:-rancher(?P<rancher>\d{1,4})(?:-(?P<build>\d{1,4}))?)|(?:\+rke2r(?P<rke2>\d{1,4}))|(?:\+k3s(?P<k3s>\d{1,4})))?"
    r"(?P<rest>.*)$"
)
_BOUND = re.compile(r"^(?P<op>>=|<=|>|<|==|=)?(?P<version>\S+)$")
_STAGES = {"alpha": 0, "beta": 1, "rc": 2}
_FINAL = (3, 0)


@total_ordering
@dataclass(frozen=True)
class Version:
    """A parsed version. `patch` is None where the text names only a minor line (`1.32`)."""

    text: str
    major: int
    minor: int
    patch: int | None
    prerelease: tuple[int, int] = _FINAL
    revision: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Version | None":
        """The version, or None when the text is not one (`v2.11-head`, a commit, nothing)."""
        match = _VERSION.match(text.strip()) if text else None
        if text is None or match is None or match["rest"].startswith(("-head", "-dev")):
            return None
        revision = match["rancher"] or match["rke2"] or match["k3s"]
        build = (int(match["build"]),) if match["build"] else ()
        return cls(
            text=text.strip(),
            major=int(match["major"]),
            minor=int(match["minor"]),
            patch=int(match["patch"]) if match["patch"] is not None else None,
            prerelease=(_STAGES[match["stage"]], int(match["number"] or 0)) if match["stage"] else _FINAL,
            revision=(int(revision), *build) if revision else (),
        )

    @property
    def release(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch or 0)

    @property
    def line(self) -> str:
        """The minor line, as people name it: `1.32`."""
        return f"{self.major}.{self.minor}"

    @property
    def _key(self) -> tuple[tuple[int, int, int], tuple[int, int], tuple[int, ...]]:
        return (self.release, self.prerelease, self.revision)

    def __lt__(self, other: "Version") -> bool:
        return self._key < other._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class VersionRange:
    """Bounds that must all hold: `>=2.10.4 <2.11`. A version without operator means "this line" (`1.32`, `1.32.x`)."""

    text: str
    bounds: tuple[tuple[str, Version], ...]

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """Raises ValueError with an example when the text is not a range."""
        bounds: list[tuple[str, Version]] = []
        # "> = 1.2" and ">= 1.2" are the same wish.
        for word in re.sub(r"(?<![<>=])([<>=]{1,2})\s+", r"\1", text.replace(",", " ")).split():
            match = _BOUND.match(word)
            version = Version.parse(re.sub(r"\.x$", "", match["version"])) if match else None
            if match is None or version is None:
                raise ValueError(f"{word!r} is not a version bound; write for example '>=1.32.0 <1.33' or '1.32'")
            bounds.append((match["op"] or "=", version))
        if not bounds:
            raise ValueError("an empty version range; write for example '>=1.32.0 <1.33' or '1.32'")
        return cls(text=text, bounds=tuple(bounds))

    def contains(self, version: Version) -> bool:
        return all(_holds(operator, bound, version) for operator, bound in self.bounds)

    def __str__(self) -> str:
        return self.text


def _holds(operator: str, bound: Version, version: Version) -> bool:
    if operator in {"=", "=="}:
        return _same(bound, version)
    # A bound without revision speaks of X.Y.Z alone, whatever the distribution's revision is.
    revision = version.revision if bound.revision else ()
    mine = (version.release, version.prerelease, revision)
    theirs = (bound.release, bound.prerelease, bound.revision)
    if operator == ">=":
        return mine >= theirs
    if operator == ">":
        return mine > theirs and not (
            bound.patch is None and (version.major, version.minor) == (bound.major, bound.minor)
        )
    if operator == "<=":
        return mine <= theirs or (bound.patch is None and (version.major, version.minor) == (bound.major, bound.minor))
    if bound.prerelease == _FINAL and version.release == bound.release and version.prerelease != _FINAL:
        return False
    return mine < theirs


def _same(bound: Version, version: Version) -> bool:
    if (bound.major, bound.minor) != (version.major, version.minor):
        return False
    if bound.patch is None:
        return True
    if (bound.release, bound.prerelease) != (version.release, version.prerelease):
        return False
    return not bound.revision or bound.revision == version.revision
