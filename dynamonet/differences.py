"""What differs between two sets of values, and how it is said. Free of torch."""

import json
from typing import Any

ABSENT = "absent"
"""In the place of a value that one side does not have."""


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """The values of nested dictionaries by their dotted keys; a list is one value, and so is an empty dictionary."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {name: leaf for part in value for name, leaf in flat(value[part], f"{key}.{part}" if key else part).items()}


def differing(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, in their order in `a` and then `b`, with both values.

    A key that one side lacks is ABSENT there; where one side has a dictionary and the other has none, the key is that
    of each value within it.
    """
    left, right = flat(a), flat(b)
    pairs = {key: (left.get(key, ABSENT), right.get(key, ABSENT)) for key in {**left, **right}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def shown(value: Any) -> str:
    """A value as a sentence holds it: hashes are shortened."""
    if isinstance(value, str):
        return value[:12] if len(value) in (16, 64) and set(value) <= set("0123456789abcdef") else value
    return json.dumps(value)


def listed(names: list[str], most: int = 3) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
