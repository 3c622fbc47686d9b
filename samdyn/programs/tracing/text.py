"""A program as text, the same in every process, and back; of constants every bit."""

import json
from typing import Any

import numpy as np

from ..program import Argument, Input, Operation, Program


def written(program: Program) -> str:
    """The text of a program."""
    return json.dumps(
        [
            [[name, dtype.str] for name, dtype in program.inputs],
            [
                [name, [_word(argument) for argument in arguments], dtype.str, options]
                for name, arguments, dtype, options in program.operations
            ],
            [_word(argument) for argument in program.outputs],
            program.shapes,
        ]
    )


def read(text: str) -> Program:
    """The program whose text this is."""
    inputs, operations, outputs, shapes = json.loads(text)
    return Program(
        tuple(Input(name, np.dtype(dtype)) for name, dtype in inputs),
        tuple(
            Operation(
                name,
                tuple(map(_argument, arguments)),
                np.dtype(dtype),
                tuple((key, value) for key, value in options),
            )
            for name, arguments, dtype, options in operations
        ),
        tuple(map(_argument, outputs)),
        tuple(map(tuple, shapes)),
    )


def _word(argument: Argument) -> Any:
    if isinstance(argument, int):
        return argument
    return [argument.dtype.str, argument.tobytes().hex()]


def _argument(word: Any) -> Argument:
    if isinstance(word, int):
        return word
    dtype, digits = word
    return np.frombuffer(bytes.fromhex(digits), dtype)[0]
