"""`samdyn explore`: a loss in the browser, or as one file that works offline."""

import sys
import time
import webbrowser

from .. import options, parse
from ..output import emit
from ..setup import box_of, given_system, loss_by_name, method_of, start_jax, system_with


def add_to(commands) -> None:
    """Add this command's parser."""
    parser = options.command(
        commands,
        run,
        "explore",
        "Explore the plane in the browser: click for trajectories, move ρ, η and momentum, type "
        "another loss. Served on 127.0.0.1 until Ctrl-C, or written as one file.",
        "beale --method gd --method sam --rho 0.5",
    )
    options.add_loss(parser)
    options.add_box(parser)
    parser.add_argument(
        "--method",
        action="append",
        nargs="+",
        metavar="M",
        help=f"{options.METHOD_HELP}; several make panels; default gd, sam and usam",
    )
    options.add_rho(parser)
    options.add_step(parser)
    parser.add_argument(
        "-o", "--output", metavar="PAGE", help="write a page, .html, and serve nothing"
    )
    parser.add_argument("--port", type=parse.port, default=0, help="default: any that is free")
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="print the address, open nothing"
    )


def run(args) -> int:
    """Run the command; the exit status."""
    start_jax(args)
    from ...dynamics.systems.system import loss_of
    from ...explorer.explore import Explorer, check_target
    from ...explorer.scene import plane_of, scene_of, usual_radius

    if args.output:
        check_target(args.output)
    systems = _systems(args)
    box = args.box or getattr(loss_of(systems[0]), "box", None)
    if args.rho is None:
        args.rho = usual_radius(plane_of(box))
    command = args.loss if loss_of(systems[0]) is not None else None
    scene = scene_of(systems, box, args.loss, args.rho, command)
    explorer = Explorer(scene)
    if args.output:
        explorer.save(args.output, _tell if sys.stderr.isatty() else None)
        emit(args, {"page": args.output, "address": None}, f"wrote {args.output}")
        return 0
    address = explorer.serve(args.port)
    told = f"exploring {args.loss} at {address}\nCtrl-C ends it"
    emit(args, {"page": None, "address": address}, told)
    _until_interrupted(explorer, args.browser)
    return 0


def _systems(args) -> list:
    """That which LOSS names, or one of each method on it."""
    system = given_system(args)
    if system is not None:
        return [system]
    loss = loss_by_name(args)
    box_of(args, loss)
    args.method = options.flat(name.split(",") for name in options.flat(args.method or [DEFAULT]))
    # the radius is the slider's; without --rho the scene knows a place for it
    radius = 1.0 if args.rho is None else args.rho
    return [system_with(args, loss, method_of(name, radius)) for name in args.method]


def _tell(line: str) -> None:
    print(f"samdyn explore: {line}", file=sys.stderr, flush=True)


DEFAULT = ["gd", "sam", "usam"]


def _until_interrupted(explorer, browser: bool) -> None:
    sys.stdout.flush()  # whoever reads the address may wait for it
    try:
        if browser:
            webbrowser.open(explorer.address)
        while True:
            time.sleep(0.1)
    except KeyboardInterrupt:
        explorer.close()
