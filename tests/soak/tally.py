"""What the suite did, in lines for a person: one for each scenario and a sum."""

LINES: list[str] = []
_SUM = {"struck": 0, "ends": 0}


def tell(name: str, text: str, *, struck: int = 0, ends: int = 0) -> None:
    """Note a scenario that was survived: `struck` calls of the disk were made to fail, `ends` processes were killed."""
    line = f"soak: {name}: {text}"
    LINES.append(line)
    _SUM["struck"] += struck
    _SUM["ends"] += ends
    print(line)  # noqa: T201 - the line is the report


def summary() -> str:
    """Sum all scenarios up."""
    return (
        f"soak: {len(LINES)} scenarios, {_SUM['ends']} processes killed and {_SUM['struck']:,} disk faults injected "
        "and survived"
    )
