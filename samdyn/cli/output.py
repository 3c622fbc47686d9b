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


class StatusLine:
    """A line on stderr that is rewritten five times a second; silent when stderr is a file."""

    def __init__(self):
        self.shown, self.last = sys.stderr.isatty(), 0.0

    def show(self, text: Callable[[], str]) -> None:
        """Show text(), unless it is too soon."""
        now = time.monotonic()
        if not self.shown or now - self.last < 0.2:
            return
        self.last = now
        sys.stderr.write(f"\r\x1b[K{text()}")
        sys.stderr.flush()

    def close(self) -> None:
        """Remove the line."""
        if self.shown and self.last:
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
