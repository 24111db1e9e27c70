"""What can go wrong in the service itself?

DroverError (rancher_ext.errors)
└── BotError
    ├── SettingsError      one or more settings are wrong; all of them are reported together
    ├── StoreError         the database cannot be reached or is of another version
    ├── RefusedError       policy, brake, lock or a person said no: an expected answer, with its reasons
    └── ...                adapters add their own (GitHub: bot.adapters.github_issues)
"""

from rancher_ext.errors import DroverError


class BotError(DroverError):
    """The root of the service's own errors. `cure` says what to do next.

    `lasting` says that trying again brings the same answer.
    """

    lasting: bool = False


class SettingsError(BotError):
    """`problems` has one line per wrong setting: source, what is wrong, a valid example."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = f"{len(problems)} settings are wrong" if len(problems) > 1 else "a setting is wrong"
        super().__init__(
            f"{count}:\n" + "\n".join(f"  {problem}" for problem in problems),
            cure="Mend the settings named above and start again.",
        )


class StoreError(BotError):
    """The database cannot be used."""


class NoSuchIncidentError(StoreError):
    """The database answers, and has no such incident."""


class RefusedError(BotError):
    """An expected refusal. The message quotes the numbers behind it."""
