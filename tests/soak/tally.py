"""What the suite did, in lines for a person: one for each scenario and a sum."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Scenarios that were survived: a line of each, calls of the disk made to fail, processes killed."""

    lines: list[str] = field(default_factory=list)
    struck: int = 0
    ends: int = 0

    def add(self, lines: list[str], struck: int, ends: int) -> None:
        """Take in scenarios, of this process or of one that ran a share of the tests."""
        self.lines += lines
        self.struck += struck
        self.ends += ends

    def summary(self) -> str:
        """Sum all scenarios up."""
        return (
            f"soak: {len(self.lines)} scenarios, {self.ends} processes killed and {self.struck:,} disk faults "
            "injected and survived"
        )


ALL = Tally()


def tell(name: str, text: str, *, struck: int = 0, ends: int = 0) -> None:
    """Note a scenario that was survived: `struck` calls of the disk were made to fail, `ends` processes were killed."""
    line = f"soak: {name}: {text}"
    ALL.add([line], struck, ends)
    print(line)  # noqa: T201 - the line is the report
