"""Build the pages into build/docs and check them; `--record` keeps what they print.

    python scripts/docs/build.py [--record] [--jobs 2]

Every block is executed. It fails on a warning, a block that raises, a link within the site that
leads nowhere, anything a browser would load from elsewhere, a public name without a description,
and an output that is not, but for rounding, what docs/outputs/ has.
"""

import argparse
import pathlib
import shutil
import sys
import time

import outputs
import site_checks
from sphinx.cmd.build import build_main

import samdyn

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD, SITE, RUN = ROOT / "build", ROOT / "build" / "docs", ROOT / "build" / "jupyter_execute"
KEPT = ROOT / "docs" / "outputs"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep what the pages print")
    parser.add_argument("--jobs", default="2", help="pages that run at a time")
    given, began = parser.parse_args(), time.time()
    for folder in (SITE, RUN, BUILD / "doctrees"):
        shutil.rmtree(folder, ignore_errors=True)
    how = ["-q", "-W", "--keep-going", "-j", given.jobs, "-d", str(BUILD / "doctrees")]
    failed = build_main(["-b", "html", *how, str(ROOT / "docs"), str(SITE)])
    found = outputs.read(RUN, "ipynb")
    if given.record and not failed:
        outputs.keep(found, KEPT)
    wrong = [
        *site_checks.loads_from_elsewhere(SITE),
        *site_checks.broken_links(SITE),
        *site_checks.undocumented(SITE, samdyn.__all__),
        *outputs.changes(outputs.read(KEPT, "txt"), found),
    ]
    print("\n".join(wrong) or f"{len(found)} pages ran, {SITE / 'index.html'}", end="")
    print(f" ({time.time() - began:.0f} s)")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
