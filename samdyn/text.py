"""Text for people: what every result's `__str__` shares."""

from collections.abc import Sequence


def with_warnings(warnings: Sequence[str], text: str) -> str:
    """`text` with what must be known before it is believed on the lines above it."""
    return "\n".join([*(f"warning: {warning}" for warning in warnings), text])
