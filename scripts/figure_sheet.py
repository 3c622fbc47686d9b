"""Contact sheets: every kind of figure at the widths of a column and of a page, in serif, in grey,
and as colour-blind readers see it.

python scripts/figure_sheet.py
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import samdyn

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
COLUMN, PAGE = 3.3, 6.8  # inches
DPI, COLOURS = 100, 255  # of a sheet
ROOM, MARGIN = 1480, 12  # pixels: the most that a sheet is wide, and between two figures
WELL, BEALE = samdyn.get_loss("double-well-2d"), samdyn.get_loss("beale")
SADDLE, NEAR = samdyn.get_loss("saddle"), ((-1.5, 3.7), (-0.5, 2.7))
RADII = (0.1, 0.3, 0.5, 0.7, 0.9)
# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
PROTANOPIA = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)
GREY = np.tile([0.2126, 0.7152, 0.0722], (3, 1))  # the luminance
SEEN = {"grey": GREY, "deuteranopia": DEUTERANOPIA, "protanopia": PROTANOPIA}


def as_seen(colours: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """sRGB colours (…, 3) from 0 to 1 as they look through a matrix on linear RGB."""
    low = colours <= 0.04045
    linear = np.where(low, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def step(method: samdyn.AbstractMethod, rate: float = 0.05) -> samdyn.StepMap:
    return samdyn.StepMap(WELL, method, rate)


def escapes(rho: float) -> samdyn.EscapeTimes:
    noise = samdyn.Isotropic(1.0, batch_size=4)
    usam = samdyn.Diffusion(SADDLE, samdyn.USAM(rho), learning_rate=0.01, noise=noise)
    return samdyn.escape_times(usam, [0.0, 0.0], samdyn.Slab([0.0, 0.0], 1, 1.0), paths=400)


def kinds() -> dict[str, Callable[[], Any]]:
    """Name -> a function that draws it; what is drawn is computed here, once."""
    sam, gd = samdyn.SAM(0.3), samdyn.GD()
    swept = samdyn.sweep(step(samdyn.USAM(0.1), 0.5), "rho", np.linspace(0, 1.5, 61), box=WELL.box)
    basins = [samdyn.basins(step(samdyn.SAM(r)), WELL.box, grid=60, steps=4000) for r in RADII]
    plain = samdyn.basins(samdyn.Flow(WELL, gd), WELL.box, grid=60)
    runs = {rho: escapes(rho) for rho in (0.05, 0.2, 0.4)}
    usam = samdyn.StepMap(BEALE, samdyn.USAM(0.05), 0.01)
    axes = {"rho": np.linspace(0, 0.1, 80), "learning_rate": np.linspace(1e-3, 0.08, 80)}
    diagram = samdyn.diagram(usam, axes, at=(0.0, 1.0))
    orbits = samdyn.attractor(step(gd), "learning_rate", np.linspace(0.5, 1.9, 300), (0.6, 0.3))
    noisy = samdyn.StochasticStepMap(SADDLE, samdyn.USAM(0.2), 0.01, samdyn.Isotropic(1.0))
    spread = samdyn.spread(noisy, [0.0, 0.0], time=0.5, paths=2000)
    points = samdyn.stability(samdyn.StepMap(BEALE, sam, 0.001), box=NEAR)
    manifolds = samdyn.manifolds(samdyn.Flow(BEALE, gd), (0.0, 1.0), box=NEAR)
    path = samdyn.trajectory(step(sam), (1.5, 1.0), steps=200)
    flows = [samdyn.Flow(BEALE, gd), samdyn.Flow(BEALE, samdyn.SAM(0.5))]

    def survivals() -> Any:
        ax = None
        for rho, run in runs.items():
            ax = run.plot(ax, label=f"ρ = {rho:g}")
        return ax

    return {
        "portrait": lambda: samdyn.portrait(flows, NEAR, starts=[(1.0, 2.0)]),
        "portrait of steps": lambda: samdyn.portrait(
            step(samdyn.USAM(0.3)), WELL.box, starts=[(1.5, 1.0), (-0.5, -1.2)]
        ),
        "stability": points.plot,
        "manifolds": manifolds.plot,
        "basins": lambda: samdyn.plot_basins(
            [plain, basins[1]], ["GD", "SAM, ρ = 0.3"], [samdyn.Flow(WELL, gd), None]
        ),
        "shares": lambda: samdyn.plot_shares(basins, RADII),
        "sweep": swept.plot,
        "bifurcations": lambda: samdyn.bifurcation_diagram(swept),
        "diagram": lambda: diagram.plot(radius=True),
        "attractor": lambda: samdyn.plot_attractor(orbits),
        "survival": survivals,
        "spread": spread.plot,
        "trajectory": path.plot,
    }


def pixels(drawn: Any, dpi: int = DPI) -> np.ndarray:
    """The figure as an image (height, width, 3) from 0 to 255."""
    figure = drawn.get_figure(root=True)
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def sheet(images: list[np.ndarray]) -> np.ndarray:
    """All images, which are of one width, on one white page: each in the column with most room."""
    wide = max(image.shape[1] for image in images) + MARGIN
    columns: list[list[np.ndarray]] = [[] for _ in range((ROOM + MARGIN) // wide)]
    for image in sorted(images, key=len, reverse=True):
        min(columns, key=lambda column: sum(map(len, column))).append(image)
    high = max(sum(len(image) + MARGIN for image in column) for column in columns)
    page = np.full((high, wide * len(columns), 3), 255, np.uint8)
    for number, column in enumerate(columns):
        top = 0
        for image in column:
            page[top : top + len(image), wide * number :][:, : image.shape[1]] = image
            top += len(image) + MARGIN
    return page


def write(page: np.ndarray, path: pathlib.Path) -> int:
    """Write a page in few colours; its size in bytes."""
    rare = Image.Quantize.MAXCOVERAGE  # or a mark's colour would be lost
    few = Image.fromarray(page).quantize(COLOURS, rare, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path.stat().st_size


def figure_sheet(folder: pathlib.Path) -> dict[str, int]:
    """The sheets, and how large each is."""
    draw, sizes = kinds(), {}

    def drawn(settings: Any, dpi: int = DPI) -> np.ndarray:
        with matplotlib.rc_context(**settings):
            return sheet([pixels(one(), dpi) for one in draw.values()])

    column = drawn({"rc": {"figure.figsize": (COLUMN, COLUMN)}})
    pages = {
        "column": column,
        "page": drawn({"rc": {"figure.figsize": (PAGE, COLUMN)}}, 70),
        "serif": drawn({"fname": pathlib.Path(__file__).parent / "serif.mplstyle"}),
    }
    for name, matrix in SEEN.items():
        pages[name] = np.round(255 * as_seen(column / 255, matrix)).astype(np.uint8)
    for name, page in pages.items():
        sizes[name] = write(page, folder / f"sheet_{name}.png")
    return sizes


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(json.dumps(figure_sheet(FOLDER), indent=2))
