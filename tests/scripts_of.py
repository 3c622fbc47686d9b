"""Scripts of this repository as modules, for the tests of what they compute."""

import importlib.util
import pathlib
import sys
from types import ModuleType

SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


def script(name: str, **settings: object) -> ModuleType:
    """The script as a module of its own, with other constants."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for setting, value in settings.items():
        assert hasattr(module, setting)
        setattr(module, setting, value)
    return module
