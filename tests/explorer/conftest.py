"""One page, one server and one browser for all tests of the explorer."""

import shutil

import pytest

import samdyn
from samdyn.explorer import scene as scene_module
from samdyn.explorer.explore import Explorer
from samdyn.explorer.page import page
from samdyn.explorer.scene import scene_of

BOX = [(-2.0, 2.0), (-1.0, 1.5)]
RHO = 0.25
WELL = samdyn.get_loss("double-well-2d")


def scene():
    """Gradient descent, SAM and USAM on a double well."""
    flows = [
        samdyn.Flow(WELL, method) for method in (samdyn.GD(), samdyn.SAM(RHO), samdyn.USAM(RHO))
    ]
    return scene_of(flows, BOX, "double-well-2d", RHO, "double-well-2d")


@pytest.fixture(scope="session")
def text():
    """A page in a file, with a slider of few values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene_module, "RADII", 9)
        return page(scene())


@pytest.fixture(scope="session")
def served():
    """An explorer that serves."""
    found = Explorer(scene())
    found.serve()
    yield found
    found.close()


@pytest.fixture(scope="session")
def chromium():
    """A browser; tests that need one are skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium here: `make browser` installs Debian's")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
