"""The value of an a=fmtp line: parameters between semicolons."""


def parameter(text: str, name: str) -> str | None:
    """Give the value of a parameter, "" for one without; None when it is not there. Names ignore case."""
    for part in text.split(";"):
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip()
    return None
