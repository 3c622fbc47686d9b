"""figures/explorer.png: the explorer on Beale's function, as Chromium shows it.

Needs Chromium and `pip install samdyn[test]` (playwright). Basins, manifolds and trajectories are
the page's own; verdicts and what is proven come from the library.
"""

import pathlib
import shutil
import time

from playwright.sync_api import sync_playwright

import samdyn

TARGET = pathlib.Path(__file__).parent.parent / "figures" / "explorer.png"
BOX = [(-2.5, 4.0), (-2.0, 4.5)]
STARTS = [(1.0, 2.0), (-1.5, -1.0), (0.5, 3.5)]


def main() -> None:
    beale = samdyn.get_loss("beale")
    methods = (samdyn.GD(), samdyn.SAM(0.3), samdyn.USAM(0.05))
    flows = [samdyn.Flow(beale, method) for method in methods]
    explorer = samdyn.explore(flows, BOX, rho=0.3, browser=False)
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.goto(explorer.address)
        for start in STARTS:
            page.evaluate(f"launch({list(start)})")
        page.check("input[data-layer=basins]")
        while page.evaluate("work.length"):
            time.sleep(0.1)
        page.evaluate("say('')")
        page.screenshot(path=TARGET, clip={"x": 0, "y": 0, "width": 1180, "height": 760})
        browser.close()
    explorer.close()


if __name__ == "__main__":
    main()
