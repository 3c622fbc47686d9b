"""From text to numbers: points, boxes, lists, ranges. Each says what it would have accepted."""

import argparse
import itertools
import math


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def radius(text: str) -> float:
    """A finite number ≥ 0."""
    return _bounded(text, lambda x: x >= 0, "a finite number ≥ 0")


def positive(text: str) -> float:
    """A finite number > 0."""
    return _bounded(text, lambda x: x > 0, "a finite number > 0")


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    return _bounded(text, lambda x: 0 <= x < 1, "a number in [0, 1)")


def _bounded(text: str, accepts, accepted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and accepts(value)):
        raise argparse.ArgumentTypeError(f"{text!r} given, {accepted} is accepted")
    return value


def count(text: str) -> int:
    """A whole number ≥ 1, also written as 2e4."""
    value = _bounded(text, lambda x: x >= 1 and x == int(x), "a whole number ≥ 1")
    return int(value)


def seed(text: str) -> int:
    """A whole number ≥ 0."""
    return int(_bounded(text, lambda x: x >= 0 and x == int(x), "a whole number ≥ 0"))


def port(text: str) -> int:
    """A whole number from 0 to 65535."""
    accepted = "a whole number from 0 to 65535"
    return int(_bounded(text, lambda x: 0 <= x < 65536 and x == int(x), accepted))


def point(text: str) -> tuple[float, ...]:
    """ "x,y,…", also in brackets."""
    try:
        values = tuple(float(part) for part in _bare(text).split(","))
    except ValueError:
        values = ()
    if not values or not all(math.isfinite(x) for x in values):
        raise argparse.ArgumentTypeError(f'{text!r} given, a point such as "1,2" is accepted')
    return values


def _bare(text: str) -> str:
    """The text without one pair of brackets around it."""
    text = text.strip()
    return text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text


def points(text: str) -> tuple[tuple[float, ...], ...]:
    """ "x,y,…" or several of them, "x,y,…;x,y,…"."""
    return tuple(point(part) for part in text.split(";"))


def plane(text: str) -> tuple[int, int]:
    """ "I,J": two different coordinates, counted from 0."""
    try:
        i, j = (int(part) for part in _bare(text).split(","))
    except ValueError:
        i = j = 0
    if i == j or min(i, j) < 0:
        raise argparse.ArgumentTypeError(
            f'{text!r} given, two different coordinates such as "0,3", counted from 0, are accepted'
        )
    return i, j


def box(text: str) -> tuple[tuple[float, float], ...]:
    """ "lo,hi;lo,hi;…" with lo < hi on every side."""
    try:
        sides = tuple(tuple(float(part) for part in side.split(",")) for side in text.split(";"))
    except ValueError:
        sides = ()
    if not sides or any(len(side) != 2 for side in sides):
        raise argparse.ArgumentTypeError(
            f'{text!r} given, a box "lo,hi;lo,hi;…" with one pair a coordinate is accepted'
        )
    for axis, (low, high) in enumerate(sides, 1):
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise argparse.ArgumentTypeError(
                f"side {axis} runs from {low:g} to {high:g}, low < high is accepted"
            )
    return sides  # pyright: ignore[reportReturnType]


def steps(text: str) -> tuple[int, ...]:
    """ "1,10,100": ascending whole numbers ≥ 0."""
    try:
        values = tuple(int(float(part)) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or values[0] < 0 or any(b <= a for a, b in itertools.pairwise(values)):
        raise argparse.ArgumentTypeError(
            f'{text!r} given, ascending steps such as "1,10,100" are accepted'
        )
    return values


def span(text: str) -> tuple[float, float, int]:
    """ "start:stop:count" with 0 ≤ start < stop and count ≥ 2."""
    try:
        start, stop, number_of = text.split(":")
        values = float(start), float(stop), int(number_of)
    except ValueError:
        values = (math.nan, math.nan, 0)
    low, high, n = values
    if not (math.isfinite(low) and math.isfinite(high) and 0 <= low < high and n >= 2):
        raise argparse.ArgumentTypeError(
            f'{text!r} given, a range "start:stop:count" with 0 ≤ start < stop and count ≥ 2 '
            "is accepted"
        )
    return values


def named_range(text: str) -> tuple[str, float, float]:
    """ "NAME=low:high" with low < high."""
    name, _, ends = text.partition("=")
    try:
        low, high = (float(end) for end in ends.split(":"))
    except ValueError:
        low, high = math.nan, math.nan
    if not (name and math.isfinite(low) and math.isfinite(high) and low < high):
        raise argparse.ArgumentTypeError(
            f'{text!r} given, a range "NAME=low:high" with low < high, such as "lr=0.1:2", is '
            "accepted"
        )
    return name, low, high


def span_or_radius(text: str) -> tuple[float, float, int] | float:
    """ "start:stop:count", or one radius."""
    return span(text) if ":" in text else radius(text)


def named_span(text: str) -> tuple[str, float, float, int]:
    """ "NAME=start:stop:count" with start < stop and count ≥ 2."""
    name, _, ends = text.partition("=")
    try:
        start, stop, number_of = ends.split(":")
        low, high, n = float(start), float(stop), int(number_of)
    except ValueError:
        low, high, n = math.nan, math.nan, 0
    if not (name and math.isfinite(low) and math.isfinite(high) and low < high and n >= 2):
        raise argparse.ArgumentTypeError(
            f'{text!r} given, a range "NAME=start:stop:count" with start < stop and count ≥ 2 is '
            "accepted"
        )
    return name, low, high, n


def neighbourhood(text: str) -> tuple[float, tuple[float, ...]]:
    """ "r:x,y,…": the ball of radius r > 0 about a point."""
    first, colon, rest = text.partition(":")
    try:
        size, centre = float(first), point(rest) if colon else ()
    except (ValueError, argparse.ArgumentTypeError):
        size, centre = math.nan, ()
    if not (math.isfinite(size) and size > 0 and centre):
        raise argparse.ArgumentTypeError(f'{text!r} given, "radius:x,y,…" is accepted')
    return size, centre
