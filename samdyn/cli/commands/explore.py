"""`samdyn explore`: a loss in the browser, or as one file that works offline."""

import sys
import time
import webbrowser

from .. import options, parse
from ..output import emit
from ..setup import box_of, start_jax, systems_of

DEFAULT = ("gd", "sam", "usam")


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
    options.add_methods(parser, DEFAULT)
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
    # the radius is the slider's: one that is not given has its place in the box
    systems = systems_of(args, DEFAULT, 1.0 if args.rho is None else args.rho)
    loss = loss_of(systems[0])
    box = plane_of(box_of(args, loss))
    if args.rho is None:
        args.rho = usual_radius(box)
    scene = scene_of(systems, box, args.loss, args.rho, None if loss is None else args.loss)
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


def _tell(line: str) -> None:
    print(f"samdyn explore: {line}", file=sys.stderr, flush=True)


def _until_interrupted(explorer, browser: bool) -> None:
    sys.stdout.flush()  # whoever reads the address may wait for it
    try:
        if browser:
            webbrowser.open(explorer.address)
        while True:
            time.sleep(0.1)
    except KeyboardInterrupt:
        explorer.close()
