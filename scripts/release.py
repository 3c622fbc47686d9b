"""Build the wheel and the source distribution, and prove both in clean environments.

    python scripts/release.py [--out dist]

Every Python from 3.11 on that is found as `python3.N` gets an environment of its own for each of
the two files, and must answer a verdict there. Nothing is uploaded.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
# files that are no Python, and that a rule about packages may lose
NEEDED = ("explorer/parts/explorer.html", "explorer/parts/acting.js", "explorer/parts/explorer.css")
SOURCE_ONLY = ("CITATION.cff", "CHANGELOG.md", "docs/index.md")
# of a minimum and two saddles of Beale's function USAM with this radius makes one saddle attract
ASKED = ("stability", "beale", "--box=-4,4;-4,4", "--method", "usam", "--rho", "0.05", "--json")
ANSWER = [("minimum", "attractor"), ("saddle", "attractor"), ("saddle", "saddle")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="dist", help="where the two files go")
    folder = pathlib.Path(parser.parse_args().out)
    files = build(folder)
    found = [python for python in PYTHONS if shutil.which(python) and runs(python)]
    if not found:
        raise SystemExit(f"none of {', '.join(PYTHONS)} is here.")
    for python in found:
        for file in files:
            prove(python, file)


def build(folder: pathlib.Path) -> list[pathlib.Path]:
    """The wheel, built from the source distribution as anyone would."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        tool = environment(sys.executable, pathlib.Path(scratch), "hatchling")
        run(tool, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder.resolve()), cwd=ROOT)
        (source,) = folder.glob("*.tar.gz")
        run(tool, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    for file, names in ((wheel, NEEDED), (source, NEEDED + SOURCE_ONLY)):
        if missing := lacks(file, names):
            raise SystemExit(f"{file.name} lacks {', '.join(missing)}.")
    print(f"built {wheel.name} and {source.name}", flush=True)
    return [wheel, source]


def lacks(file: pathlib.Path, names: tuple[str, ...]) -> list[str]:
    """Which of these names no file in a wheel or a source distribution ends with."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            held = archive.namelist()
    else:
        with tarfile.open(file) as archive:
            held = archive.getnames()
    return [name for name in names if not any(one.endswith("/" + name) for one in held)]


def prove(python: str, file: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        made = environment(python, pathlib.Path(scratch), str(file.resolve()))
        command = [str(made.with_name("samdyn")), *ASKED]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
        if ran.returncode:
            raise SystemExit(f"{file.name} with {python}: {ran.stderr.strip()}")
        points = json.loads(ran.stdout)["result"]["fixed_points"]
        critical = [point for point in points if point["kind"] == "critical"]
        verdicts = sorted((p["critical_type"], p["flow"]["verdict"]) for p in critical)
        if verdicts != ANSWER:
            raise SystemExit(f"{file.name} with {python} says {verdicts}, not {ANSWER}.")
    print(f"{python}: {file.name} installs and answers", flush=True)


def environment(python: str, folder: pathlib.Path, package: str) -> pathlib.Path:
    """The interpreter of a new environment with a package in it."""
    subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    made = folder / "venv" / "bin" / "python"
    run(made, "-m", "pip", "install", "--quiet", package)
    return made


def runs(python: str) -> bool:
    """Whether it does more than lie on the path."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def run(python: pathlib.Path, *arguments: str, cwd: pathlib.Path | None = None) -> None:
    subprocess.run([str(python), *arguments], check=True, cwd=cwd)


if __name__ == "__main__":
    main()
