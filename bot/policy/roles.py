"""Which roles can a policy name? GitHub's, in their order."""

ROLES = ("none", "read", "triage", "write", "maintain", "admin")


def role_named(value: object) -> str:
    name = str(value).lower()
    if name not in ROLES[1:]:
        raise ValueError(f"{value!r} is not a role; choose one of {', '.join(ROLES[1:])}")
    return name


def at_least(role: str, wanted: str) -> bool:
    return ROLES.index(role) >= ROLES.index(wanted)
