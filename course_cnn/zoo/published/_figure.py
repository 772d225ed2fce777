"""The form of a published figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One published figure: `key` is "network/what", `value` a number or a tuple of numbers, `what` says of what."""

    key: str
    value: int | float | tuple
    what: str
    source: str
