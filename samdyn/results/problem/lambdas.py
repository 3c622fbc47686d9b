"""The text of a lambda, cut out of the statement in which it stands."""

import ast
from types import CodeType

LONGEST = 2000  # characters of a statement that is looked through


def lambda_text(statement: str, code: CodeType) -> str | None:
    """The lambda of `statement` that compiles to `code`; None where none of them is known to.

    Nothing is executed: its text is compiled, and what comes out is compared.
    """
    at = statement.find("lambda")
    while at >= 0 and len(statement) <= LONGEST:
        text = _expression(statement[at:])
        if text is not None and _compiles_to(text, code):
            return text
        at = statement.find("lambda", at + 1)
    return None


def _expression(text: str) -> str | None:
    """The longest beginning of `text` that is one lambda."""
    for end in range(len(text), 0, -1):
        try:
            if isinstance(ast.parse(text[:end], mode="eval").body, ast.Lambda):
                return text[:end].strip()
        except (SyntaxError, ValueError):
            continue
    return None


def _compiles_to(text: str, code: CodeType) -> bool:
    """Whether names and constants are the same; bytecode differs with what is a closure."""
    made = next(c for c in compile(text, "", "eval").co_consts if isinstance(c, CodeType))
    names = [sorted(set(c.co_names + c.co_freevars)) for c in (made, code)]
    inner = [[x for x in c.co_consts if not isinstance(x, CodeType)] for c in (made, code)]
    return names[0] == names[1] and inner[0] == inner[1] and made.co_varnames == code.co_varnames
