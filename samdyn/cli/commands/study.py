"""`samdyn study`: a grid of training runs, method × rho × momentum × batch size × seeds."""

import argparse
import os
from collections.abc import Callable
from sys import stderr
from typing import Any

from ... import catalogue
from ...errors import InvalidInput
from .. import options, parse
from ..output import emit
from ..setup import figure_target, start_jax


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "study",
        "Train a network at every point of a grid, and compare what momentum does for SAM with "
        "what it does for SGD. Lists are written a,b,c.",
        "digits --method gd,sam --rho 0.05,0.1 --momentum 0,0.9 --batch-size 16,256 --lr 0.05 "
        "--epochs 10 --seeds 3 -o study.svg",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="digits, digits-long-tailed, teacher-student, cifar10:FOLDER or cifar100:FOLDER",
    )
    parser.add_argument(
        "--method",
        type=_names,
        default=("gd", "sam"),
        metavar="M,…",
        help=f"{options.METHOD_HELP}; default gd,sam",
    )
    _add_list(parser, "--rho", parse.radius, (0.02, 0.05, 0.1, 0.2), "R,…")
    _add_list(parser, "--momentum", parse.fraction, (0.0, 0.5, 0.9, 0.95), "γ,…")
    _add_list(parser, "--batch-size", parse.count, (16, 64, 256, 1024), "B,…")
    parser.add_argument("--lr", type=parse.positive, default=0.02, metavar="η", help="default 0.02")
    parser.add_argument(
        "--lr-rule",
        choices=("fixed", "effective"),
        default="fixed",
        help="fixed: every momentum runs with --lr; effective: with --lr·(1−γ); default fixed",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--epochs", type=parse.count, metavar="N", help="default 50")
    budget.add_argument("--steps", type=parse.count, metavar="N")
    parser.add_argument("--seeds", type=parse.count, default=3, metavar="K", help="default 3")
    parser.add_argument(
        "--model",
        type=options.named("model"),
        default="mlp",
        metavar="NAME",
        help=f"{catalogue.told('model')}; or FILE.py:NAME, a function of a random key that returns "
        "a network; default mlp",
    )
    parser.add_argument(
        "--norm", choices=("none", "group"), default="none", help="group: group norm; default none"
    )
    parser.add_argument(
        "--lanes",
        type=parse.count,
        metavar="L",
        help="runs that train side by side at most; default: what was fastest on a CPU",
    )
    parser.add_argument("--device", choices=("cpu", "gpu", "tpu"), help="default: what JAX finds")
    options.add_cache(parser)
    parser.add_argument("--out", metavar="DIR", help="store finished cells as they come")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument("--csv", metavar="FILE", help="write the rows as CSV")
    options.add_figure(parser)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _add_list(parser, name: str, each: Callable, default: tuple, metavar: str) -> None:
    def values(text: str) -> tuple:
        try:
            return tuple(each(part) for part in text.split(","))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; a list is written {told}") from error

    told = ",".join(f"{value:g}" for value in default)
    parser.add_argument(name, type=values, default=default, metavar=metavar, help=f"default {told}")


def run(args) -> int:
    """Run the command; the exit status."""
    if args.resume and not args.out:
        raise InvalidInput("--resume goes on with a results folder: give --out DIR.")
    figure_target(args)
    if args.csv:
        _check_csv(args.csv)
    args.dtype = "float32"
    start_jax(args)
    result = _study(args)
    if args.output and result.rows:
        from ...plot.save import save

        save(result.plot(), args.output)
    if args.csv:
        result.write_csv(args.csv)
    emit(args, result.to_dict(), str(result))
    if result.interrupted and args.out:
        print(f"samdyn study: the same command with --resume goes on in {args.out}.", file=stderr)
    return 1 if result.interrupted else 0


def _check_csv(name: str) -> None:
    """Fail early if the rows could not be written in the end."""
    if not os.path.isdir(os.path.dirname(name) or "."):
        raise InvalidInput(f"there is no folder for --csv {name}.")
    if os.path.isdir(name):
        raise InvalidInput(f"--csv {name} is a folder: give the name of a file.")


def _by_path(text: str) -> Any:
    """A name as it is, else what the path names."""
    if not catalogue.is_path(text):
        return text
    from ...losses.registry import load_object

    return load_object(text)


def _study(args: argparse.Namespace) -> Any:
    from ...networks.data.data import dataset
    from ...networks.studying.study import study

    if args.epochs is None and args.steps is None:
        args.epochs = 50
    return study(
        [_by_path(text) for text in args.method],
        dataset(args.data),
        rho=args.rho,
        momentum=args.momentum,
        batch_size=args.batch_size,
        learning_rate=args.lr,
        lr_rule=args.lr_rule,
        epochs=args.epochs,
        steps=args.steps,
        seeds=args.seeds,
        model=_by_path(args.model),
        norm=None if args.norm == "none" else args.norm,
        lanes=args.lanes,
        out=args.out,
        resume=args.resume,
        progress=True,
    )
