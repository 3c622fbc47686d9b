"""What is printed: one JSON object, or text for people; progress on stderr."""

import json
import math
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
    """Every option as used, defaults included, on which the result may depend."""
    hidden = {"command", "run", "json", "cache"}
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
