"""Regenerates figures/: those of the paper's public code, and our own. Prints their numbers.

python scripts/paper_figures.py [NAME ...]
"""

import argparse
import json
import os
import pathlib
import time

import alternation_figure
import beale_cloud_figure
import edge_figure
import escape_rho_figure
import figure_sheet
import is_it_a_saddle
import jax
import momentum_study
import our_figures
import plateau_figure
import public_code_figures
import saddle_demo_figures
import spread_figures
import toy_net_figure
import trap_figure
import weak_error_figure

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)

FOLDER = pathlib.Path(__file__).parent.parent / "figures"
FIGURES = {
    "beale_trajectories": public_code_figures.beale_trajectories,
    "cosine_strip": public_code_figures.cosine_strip,
    "alternation_t5000": alternation_figure.alternation_t5000,
    "saddle_surface": saddle_demo_figures.saddle_surface,
    "theorem1": our_figures.theorem1,
    "basins_vs_rho": our_figures.basins_vs_rho,
    "trap_threshold": trap_figure.trap_threshold,
    "variance_couplings": spread_figures.variance_couplings,
    "displacement_momentum": spread_figures.displacement_momentum,
    "weak_error": weak_error_figure.weak_error_figure,
    "escape_rho": escape_rho_figure.escape_rho,
    "toy_net_stuck": toy_net_figure.toy_net_stuck,
    "beale_cloud": beale_cloud_figure.beale_cloud,
    "sam_edge": edge_figure.sam_edge,
    "plateau": plateau_figure.plateau,
    "is_it_a_saddle": is_it_a_saddle.is_it_a_saddle,
    "figure_sheet": figure_sheet.figure_sheet,
    "momentum_study": momentum_study.momentum_study,  # from the runs kept as CSV
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    names = parser.parse_args().names or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"unknown figure {unknown[0]}; there are {', '.join(FIGURES)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        began = time.time()
        numbers = FIGURES[name](FOLDER)
        files = sorted(f.name for f in FOLDER.iterdir() if f.stat().st_mtime >= began)
        print(f"{', '.join(files)} ({time.time() - began:.1f} s)")
        print(json.dumps(numbers, indent=2, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
