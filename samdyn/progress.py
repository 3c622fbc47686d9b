"""What a long verb tells on its way, and the line on stderr that shows it."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .errors import InvalidInput

FIRST_LINE, LINES = 10.0, 30.0  # seconds before and between lines where there is no terminal

Tell = Callable[..., None]


class Progress(NamedTuple):
    """Where a verb is: the `fraction` done in [0, 1], `seconds` since it began, what is known so
    far as `text`, and as the verb's own numbers, `detail`."""

    verb: str
    fraction: float
    seconds: float
    text: str = ""
    detail: Any = None
    left: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """At this pace; None while nothing is done."""
        if self.left is not None:
            return self.left
        if not self.fraction > 0:
            return None
        return self.seconds * (1 - self.fraction) / self.fraction

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {duration(self.seconds_left)} left"
        known = "" if not self.text else f", {self.text}"
        return f"{self.verb} {self.fraction:.1%}{known}{left}"


@contextlib.contextmanager
def telling(progress: Any, verb: str) -> Iterator[Tell | None]:
    """`tell(fraction, text, detail)` for a verb whose argument `progress` is None (then None), True
    (a line on stderr) or a function of a `Progress`. `InvalidInput` for anything else."""
    if progress is None or progress is False:
        yield None
        return
    if progress is not True and not callable(progress):
        raise InvalidInput(f"progress is None, True or a function, not {progress!r:.60}.")
    line, heard = (StatusLine(), None) if progress is True else (None, progress)
    began = time.monotonic()

    def tell(
        fraction: float, text: str = "", detail: Any = None, left: float | None = None
    ) -> None:
        now = Progress(verb, float(fraction), time.monotonic() - began, text, detail, left)
        if heard is not None:
            heard(now)
        if line is not None:
            line.show(lambda: str(now))

    try:
        yield tell
    finally:
        if line is not None:
            line.close()


class StatusLine:
    """A line on stderr that is rewritten five times a second.

    Where stderr is no terminal a line is added now and then: the first after 10 s, the others
    30 s apart.
    """

    def __init__(self):
        self.terminal, self.shown = sys.stderr.isatty(), False
        self.next = time.monotonic() + (0.0 if self.terminal else FIRST_LINE)

    def show(self, text: Callable[[], str]) -> None:
        """Show text(), unless it is too soon."""
        now = time.monotonic()
        if now < self.next:
            return
        self.shown, self.next = True, now + (0.2 if self.terminal else LINES)
        sys.stderr.write(f"\r\x1b[K{text()}" if self.terminal else f"{text()}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Remove the line of a terminal."""
        if self.terminal and self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """Minutes and seconds for people."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
