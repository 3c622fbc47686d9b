"""Run the golden commands again and write down what they answer now.

    python tests/golden/record.py [NAME …]

Each file NAME.json holds one command: `arguments`, how its numbers are compared (`rtol`, `atol`,
and `fields` for those that differ, see `differences.py`), and what it answered: the exit `status`,
`config` and `result`, or the line on `stderr`. A new one begins as a file with `arguments` alone.
A file with `one_of` keeps the exit status only, and the values that some fields may have.

A golden result is a promise: a change that alters one says why in CHANGELOG.md.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
from typing import Any

HERE = pathlib.Path(__file__).parent
# other on each machine or at each run: never stored
UNSTEADY = {
    *("seconds", "compile_seconds", "path_steps_per_second", "useful_share", "memory_bytes"),
    *("device", "back_end"),
}
FILES = "{golden}"  # in arguments: this folder
FIGURES = "{temporary}"  # in arguments: a folder that vanishes


def names() -> list[str]:
    """The golden commands."""
    return sorted(path.stem for path in HERE.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """One golden file."""
    return json.loads((HERE / f"{name}.json").read_text())


def replay(arguments: list[str]) -> dict[str, Any]:
    """What a command answers: `status`, and the JSON object as `answer` or the text of `stderr`."""
    from samdyn.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        places = {FILES: str(HERE), FIGURES: folder}
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main([_placed(a, places) for a in arguments] + ["--json"])
            except SystemExit as stop:
                status = int(stop.code or 0)
        told, said = out.getvalue(), err.getvalue()
        for short, place in places.items():
            told, said = told.replace(place, short), said.replace(place, short)
    if not told:
        return {"status": status, "stderr": said}
    return {"status": status, "answer": json.loads(told, parse_constant=_refuse)}


def _placed(argument: str, places: dict[str, str]) -> str:
    for short, place in places.items():
        argument = argument.replace(short, place)
    return argument


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def steady(value: Any) -> Any:
    """The value without the fields that differ from run to run."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in UNSTEADY}
    return [steady(item) for item in value] if isinstance(value, list) else value


def record(name: str) -> None:
    """Write one golden file anew; what says how it is compared stays."""
    stored = load(name)
    for key in ("status", "config", "result", "stderr"):
        stored.pop(key, None)
    found = replay(stored["arguments"])
    stored["status"] = found["status"]
    if "stderr" in found:
        stored["stderr"] = found["stderr"]
    elif "one_of" not in stored:
        answer = steady(found["answer"])
        stored |= {"config": answer["config"], "result": answer["result"]}
    text = json.dumps(stored, indent=1, ensure_ascii=False, allow_nan=False)
    (HERE / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    import os

    import jax

    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # before any command starts JAX
    for each in sys.argv[1:] or names():
        record(each)
        print(each)
