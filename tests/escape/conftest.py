"""What the tests of escape times share."""

import pytest

from samdyn.programs.machine.compiled import HIDDEN


@pytest.fixture(scope="module", params=["llvm", "xla"])
def either_back_end(request):
    """A test that uses it is run by both back ends, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "xla":
            patch.setenv(HIDDEN, "1")
        yield request.param
