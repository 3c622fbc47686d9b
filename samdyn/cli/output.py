"""What is printed: one JSON object, or text for people; progress on stderr."""

import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any


def emit(args: Any, result: dict[str, Any], text: str) -> None:
    """Print the result as `args.json` asks."""
    if not args.json:
        print(text)
        return
    from .. import __version__

    print(
        json.dumps(
            {
                "samdyn": __version__,
                "command": args.command,
                "config": plain(_config(args)),
                "result": plain(result),
            },
            allow_nan=False,
            ensure_ascii=False,
        )
    )


def _config(args: Any) -> dict[str, Any]:
    """Every option as used, defaults included."""
    hidden = {"command", "run", "json"}
    return {name: value for name, value in vars(args).items() if name not in hidden}


def plain(value: Any) -> Any:
    """JSON types only; nan and infinity become null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


FIRST_LINE, LINES = 10.0, 30.0  # seconds before and between lines where there is no terminal


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


class Progress(StatusLine):
    """What is done, with the time left."""

    def __init__(self, what: str):
        super().__init__()
        self.what, self.began = what, time.monotonic()

    def __call__(self, fraction: float) -> None:
        def text():
            left = (time.monotonic() - self.began) * (1 - fraction) / max(fraction, 1e-9)
            return f"{self.what} {fraction:6.1%}, {duration(left)} left at most"

        self.show(text)


def duration(seconds: float) -> str:
    """Minutes and seconds for people."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
