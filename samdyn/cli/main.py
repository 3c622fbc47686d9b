"""`samdyn COMMAND …`: builds the parser without JAX, runs one command, reports errors in a line.

Exit status: 0 done, 1 failed or not conclusive, 2 wrong usage.
"""

import contextlib
import gc
import os
import sys

from .. import catalogue
from ..errors import ComputationFailed, InvalidInput
from ..interrupts import happened, heeded
from .options import OneLineParser

# New objects before garbage is looked for: while JAX is imported and programs are traced there is
# hardly any, and each look goes through all that there is.
COLLECTED = 50_000


def build_parser(only: str | None = None) -> OneLineParser:
    """The parser of every command; those that are not the `only` one asked for by name alone."""
    from .. import __version__

    parser = OneLineParser(
        prog="samdyn",
        description="Does sharpness-aware minimization turn saddle points into attractors?",
        epilog="`samdyn COMMAND --help` shows an example of each.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"samdyn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for entry in catalogue.COMMANDS.values():
        if only in (None, entry.name):
            entry.load().add_to(commands)
        else:
            commands.add_parser(entry.name, help=entry.help)
    return parser


def console() -> None:
    """What the command `samdyn` runs: `main`, and then the process ends."""
    gc.set_threshold(COLLECTED)
    try:
        with heeded():
            status = main()
    except KeyboardInterrupt:  # once more, while the first was being told
        status = 130
    if happened():
        # A computation that was left may still run in XLA's threads; to tear the interpreter
        # down under it can end in a segmentation fault. What is kept is on the disk already.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the reader of a pipe was interrupted as well
                stream.flush()
        os._exit(status)
    sys.exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    command = next((word for word in arguments if word in catalogue.COMMANDS), "")
    args = build_parser(command).parse_args(arguments)
    try:
        return args.run(args) or 0
    except InvalidInput as error:
        return _fail(args.command, error, 2)
    except ComputationFailed as error:
        return _fail(args.command, error, 1)
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return _fail(args.command, "interrupted", 130)
    finally:
        if (kept := sys.modules.get("samdyn.kept")) is not None:  # for whoever calls this again
            kept.turn_off()


def _fail(command: str, error: object, status: int) -> int:
    text = " ".join(str(error).split())
    print(f"samdyn {command}: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    console()
