"""Where no machine code can be made, there is none to test."""

from samdyn.programs.machine.compiled import why_not

collect_ignore_glob = ["test_*.py"] if why_not() else []
