"""Which methods are trapped where: verdicts of the step beside 200 runs each, as table and figure.

    python scripts/methods_table.py [--redraw] [FOLDER]

For every method, critical point and radius `samdyn.stability` judges the step, and 200 runs of the
very step start near the point, in directions spread evenly: at a twentieth of how far w^p is from w
there. About an attractor some stay, all where no border of its basin is that near.

Writes methods.csv and methods.svg; with --redraw it runs nothing and takes methods.csv.
"""

import argparse
import csv
import pathlib
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import samdyn
from samdyn.plot.legends import figure_legend
from samdyn.plot.style import ALARM, BLACK, BLUE, new_figure, styled

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
RUNS, STEPS, RATE = 200, 100_000, 0.01
NEAR = 0.05  # of ρ: how far from the point runs start
STAYS, GROWN = 3.0, 1.1  # of ρ: farther away a run has left, as if it goes on to grow by so much
AVERAGED = 1000  # steps over which distances are averaged, half way and at the end
ANGLES = np.linspace(0, 2 * np.pi, 16, endpoint=False)
RADII = (0.05, 0.5)
LOSSES = ("saddle", "double-well-2d", "beale", "mexican-hat")
DISC: dict[str, Any] = {"marker": "o", "ls": "none", "ms": 7, "mec": BLACK, "mew": 0.6}


def methods(rho: float) -> dict[str, Any]:
    """Every method, by the name that the table has."""
    return {
        "GD": samdyn.GD(),
        "USAM": samdyn.USAM(rho),
        "SAM": samdyn.SAM(rho),
        "ASAM": samdyn.ASAM(rho),
        "WSAM": samdyn.WSAM(rho),
        "SSAM": samdyn.SSAM(rho),
        "GSAM": samdyn.GSAM(rho),
        "unified SAM": samdyn.UnifiedSAM(rho),
        "F-SAM": samdyn.FriendlySAM(rho),
        "F-SAM, paper": samdyn.FriendlySAM(rho, subtracted="after"),
        "F-SAM, fed with q": samdyn.FriendlySAM(rho, fed="rest"),
        "VaSSO": samdyn.VaSSO(rho),
        "MSAM": samdyn.MSAM(rho),
        "LookSAM": samdyn.LookSAM(rho),
    }


class Case(NamedTuple):
    """A critical point `w` (2,) of a loss by name, and its type."""

    loss: str
    w: np.ndarray
    kind: str

    @property
    def label(self) -> str:
        """Such as "saddle of beale"."""
        return f"{self.kind} of {self.loss}"


def cases() -> list[Case]:
    """One critical point of each type of each loss."""
    found: dict[tuple[str, str], Case] = {}
    for name in LOSSES:
        loss = samdyn.get_loss(name)
        for point in samdyn.fixed_points(samdyn.Flow(loss, samdyn.GD()), loss.box).points:
            if point.critical_type in ("minimum", "saddle", "maximum"):
                found.setdefault(
                    (name, point.critical_type), Case(name, point.w, point.critical_type)
                )
    return list(found.values())


def share_held(step: samdyn.StepMap, w: np.ndarray, others: np.ndarray, rho: float) -> float:
    """The share of 200 runs that stay about w (2,): at the end nearer to it than to any other
    critical point, on average no farther off than half way, and within 3ρ, where the method jumps;
    where it does not, no farther off than they started."""
    angles = 2 * np.pi * (np.arange(RUNS) + 0.5) / RUNS
    reach = NEAR * (_jump(step, w) or rho)
    starts = w + reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ends, half, last = (np.asarray(x) for x in _run(step, jnp.asarray(starts), jnp.asarray(w)))
    gaps = np.linalg.norm(ends - w, axis=1)
    nearest = np.min(np.linalg.norm(ends[:, None] - others, axis=-1), axis=1, initial=np.inf)
    near = STAYS * rho if step.method.discontinuous else reach
    return float(np.mean((gaps <= near) & (gaps <= nearest) & (last <= GROWN * half)))


def _jump(step: samdyn.StepMap, w: np.ndarray) -> float:
    """How far w^p is from w just beside a point, at most; 0 where it tends to 0."""
    beside = w + 1e-9 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    gradient = jax.grad(step.loss)
    ahead = jax.vmap(lambda v: step.method.perturb(gradient, v) - v)(jnp.asarray(beside))
    jump = float(np.max(np.linalg.norm(np.asarray(ahead), axis=1)))
    return jump if jump > 1e-6 else 0.0


@eqx.filter_jit
def _run(step: Any, starts: jax.Array, w: jax.Array) -> Any:
    def averaged(state):
        def go(carry, _):
            state, total = carry
            state = jax.vmap(step)(state)
            return (state, total + jnp.linalg.norm(state.w - w[None], axis=1)), None

        begin = (state, jnp.zeros(len(starts)))
        (state, total), _ = jax.lax.scan(go, begin, None, AVERAGED)
        return state, total

    def run(state):
        go = lambda _, state: jax.vmap(step)(state)  # noqa: E731
        return averaged(jax.lax.fori_loop(0, STEPS, go, state))

    state, half = run(jax.vmap(step.init)(starts))
    state, last = run(state)
    return state.w, half, last


def rows() -> list[dict[str, Any]]:
    """One row a method, point and radius."""
    found = []
    for case in cases():
        loss = samdyn.get_loss(case.loss)
        points = samdyn.fixed_points(samdyn.Flow(loss, samdyn.GD()), loss.box).points
        known = [p.w[None] if p.continuum is None else p.continuum for p in points]
        others = np.concatenate(known)
        others = others[np.linalg.norm(others - case.w, axis=1) > 1e-6]
        for rho in RADII:
            for name, method in methods(rho).items():
                step = samdyn.StepMap(loss, method, RATE)
                with jax.enable_x64(True):
                    share = share_held(step, case.w, others, rho)
                (point,) = samdyn.stability(step, at=case.w).points
                found.append(
                    {
                        "point": case.label,
                        "rho": rho,
                        "method": name,
                        "verdict": point.step.verdict,
                        "orbit": point.step.orbit or "",
                        "share held": share,
                        "agrees": point.step.verdict == "degenerate"
                        or (point.step.verdict == "attractor") == (share > 0),
                    }
                )
                print(*found[-1].values(), sep="\t", flush=True)
    return found


def main() -> None:
    """Write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--redraw", action="store_true", help="from the CSV, without running")
    args = parser.parse_args()
    table = args.folder / "methods.csv"
    found = read(table) if args.redraw else rows()
    if not args.redraw:
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]))
            writer.writeheader()
            writer.writerows(found)
    samdyn.save(draw(found), args.folder / "methods.svg")


def read(table: pathlib.Path) -> list[dict[str, Any]]:
    """What `rows` returned, from the CSV."""
    with table.open(newline="") as file:
        return [
            row
            | {"rho": float(row["rho"]), "share held": float(row["share held"])}
            | {"agrees": row["agrees"] == "True"}
            for row in csv.DictReader(file)
        ]


@styled
def draw(found: list[dict[str, Any]]) -> Figure:
    """Methods by points: the shade is the share of the runs that are held."""
    names = list(dict.fromkeys(row["method"] for row in found))
    places = list(dict.fromkeys(row["point"] for row in found))
    figure, axes = new_figure(len(RADII), 1, width=3.0, height=3.6)
    for ax, rho in zip(axes[0], RADII, strict=True):
        for row in (r for r in found if r["rho"] == rho):
            at = places.index(row["point"]), names.index(row["method"])
            ax.plot(*at, **DISC, mfc=(BLUE, row["share held"]))
            if not row["agrees"]:
                ax.plot(*at, "x", color=ALARM, ms=9, label="the verdict is another")
        ax.set_xticks(range(len(places)), places, rotation=60, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(names)), names)
        ax.set(xlim=(-0.6, len(places) - 0.4), ylim=(len(names) - 0.4, -0.6))
        ax.set_title(f"ρ = {rho:g}")
    for share, words in ((1, f"all {RUNS} runs stay (paler: fewer)"), (0, "none stays")):
        axes[0, 0].plot([], [], **DISC, mfc=(BLUE, share), label=words)
    figure_legend(figure, list(axes[0]))
    return figure


if __name__ == "__main__":
    main()
