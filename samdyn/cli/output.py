"""What is printed: one JSON object, or text for people; progress on stderr."""

import json
import math
import sys
import time
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


class Progress:
    """A line on stderr that is rewritten, with the time left; silent when stderr is a file."""

    def __init__(self, what: str):
        self.what, self.began, self.last = what, time.monotonic(), 0.0
        self.shown = sys.stderr.isatty()

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if not self.shown or now - self.last < 0.2:
            return
        self.last = now
        left = (now - self.began) * (1 - fraction) / max(fraction, 1e-9)
        sys.stderr.write(f"\r\x1b[K{self.what} {fraction:6.1%}, {duration(left)} left at most")
        sys.stderr.flush()

    def close(self) -> None:
        """Remove the line."""
        if self.shown and self.last:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """Minutes and seconds for people."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
