"""Options that several commands share."""

import argparse
import difflib
import re
from collections.abc import Callable, Sequence

from .. import catalogue
from ..errors import InvalidInput
from . import parse

# Names of parameters on the command line that are others in Python.
PARAMETERS = {"lr": "learning_rate", "batch-size": "batch_size"}

METHOD_HELP = f"{catalogue.told('method')}; or FILE.py:NAME, called with the radius if it has one"


class OneLineParser(argparse.ArgumentParser):
    """An error is one line on stderr, by the command it concerns, and exit status 2."""

    unknown: Sequence[str] = ()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # argparse takes "-3,1" for an option: what begins like a number is a value here
        self._negative_number_matcher = re.compile(r"-(\.?\d|inf|nan)")

    def parse_known_args(self, args=None, namespace=None):
        self.unknown = self._unknown(args or [])
        parsed, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unrecognized arguments: {' '.join(extra)}{self._quoted(extra)}")
        return parsed, extra

    def error(self, message: str):
        if self.unknown:
            message = f"there is no option {self.unknown[0]}{self._close(self.unknown[0])}"
        elif found := re.search(r"invalid choice: '(.+?)'", message):
            message += self._close(found[1])
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")

    def _quoted(self, extra: Sequence[str]) -> str:
        """What to do with numbers that belong to the option before them."""
        if all(re.match(r"[-+]?\.?\d", argument) for argument in extra):
            return ' (numbers of one value go together, in quotes: "1,2" or "-2,3;-1,1")'
        return ""

    def _unknown(self, args: Sequence[str]) -> list[str]:
        """Options that this parser does not have; those of a command are left to its own."""
        if self._subparsers:
            return []
        names = [argument.split("=")[0] for argument in args if re.match(r"--\w", argument)]
        return [name for name in names if name not in self._option_string_actions]

    def _close(self, name: str) -> str:
        choices = [str(c) for action in self._actions for c in action.choices or ()]
        known = [*self._option_string_actions, *choices]
        close = difflib.get_close_matches(name, known, 1)
        return f" (did you mean {close[0]}?)" if close else ""


def command(commands, run: Callable, name: str, about: str, example: str):
    """The parser of one command, which will call `run(args)`."""
    parser = commands.add_parser(
        name,
        help=catalogue.COMMANDS[name].help,
        description=about,
        epilog=f"example: samdyn {name} {example}".rstrip(),
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def add_loss(parser: argparse.ArgumentParser, dtype: str = "float64") -> None:
    """LOSS, and the options that every computation on it has; the default precision."""
    parser.add_argument(
        "loss",
        metavar="LOSS",
        help="a name from `samdyn losses`, FILE.py:NAME or MODULE:NAME; a path may also name a "
        "system (ODE, Map, SDE, …), which takes no --method, --rho and --lr",
    )
    add_precision(parser, dtype)


def add_precision(parser: argparse.ArgumentParser, dtype: str = "float64") -> None:
    """--dtype, --device and --seed."""
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), default=dtype, help=f"default {dtype}"
    )
    parser.add_argument("--device", choices=("cpu", "gpu", "tpu"), help="default: what JAX finds")
    parser.add_argument("--seed", type=parse.seed, default=0, help="default 0")
    add_cache(parser)


def add_cache(parser: argparse.ArgumentParser) -> None:
    """--no-cache."""
    parser.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="keep no compiled code and no proofs in the user's cache folder (SAMDYN_CACHE_DIR)",
    )


def add_box(parser) -> None:
    """--box."""
    parser.add_argument(
        "--box", type=parse.box, metavar="B", help='"lo,hi;lo,hi"; default: the loss\'s own'
    )


def add_where(parser: argparse.ArgumentParser) -> None:
    """--box or --at."""
    where = parser.add_mutually_exclusive_group()
    add_box(where)
    where.add_argument("--at", type=parse.point, metavar="P", help='"x,y,…"')


def add_plane(parser: argparse.ArgumentParser) -> None:
    """--plane and --at."""
    parser.add_argument(
        "--plane",
        type=parse.plane,
        metavar="I,J",
        help="through more dimensions: only coordinates I and J vary, counted from 0 (with --at)",
    )
    parser.add_argument(
        "--at", type=parse.point, metavar="P", help="the point that has a plane's other coordinates"
    )


def check_plane(args) -> None:
    """Whether --plane and --at came together, and name two coordinates of one point."""
    if (args.plane is None) == (args.at is None):
        if args.plane is not None and max(args.plane) >= len(args.at):
            raise InvalidInput(
                f"--plane {args.plane[0]},{args.plane[1]} names coordinate {max(args.plane)}, but "
                f"--at has coordinates 0 to {len(args.at) - 1}."
            )
        return
    missing = "--plane I,J needs --at P" if args.at is None else "--at P goes with --plane I,J"
    raise InvalidInput(f"{missing}: I and J vary, the other coordinates are those of P.")


def add_method(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--method, once; `required` where LOSS is no system."""
    parser.add_argument("--method", required=required, metavar="M", help=METHOD_HELP)


def named(kind: str) -> Callable[[str], str]:
    """The type of an option that takes a registered name or a path, as it is."""

    def check(text: str) -> str:
        try:
            if not catalogue.is_path(text):
                catalogue.find(kind, text)
        except InvalidInput as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
        return text

    return check


def add_methods(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """--method, several times or with several names; each makes a panel."""
    parser.add_argument(
        "--method",
        action="append",
        nargs="+",
        metavar="M",
        help=f"{METHOD_HELP}; several make panels; default {', '.join(default)}",
    )


def add_rho(parser: argparse.ArgumentParser) -> None:
    """--rho, one radius."""
    parser.add_argument(
        "--rho", type=parse.radius, metavar="R", help="perturbation radius (not for gd)"
    )


def add_step(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """--lr and --momentum."""
    parser.add_argument(
        "--lr", type=parse.positive, metavar="η", required=required, help="step size"
    )
    parser.add_argument(
        "--momentum", type=parse.fraction, default=0.0, metavar="γ", help="heavy ball, default 0"
    )


def flat(groups) -> list:
    """The items of several lists, as one."""
    return [item for group in groups for item in group]


def add_figure(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """-o."""
    parser.add_argument(
        "-o", "--output", metavar="FIG", required=required, help="figure: .svg, .pdf or .png"
    )
