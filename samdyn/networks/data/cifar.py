"""CIFAR-10 and CIFAR-100 from their "python version" files in a local folder.

The files are pickles, and a pickle can run any program. The reader below admits the names that
an array of bytes needs, as Python 2 wrote it or any later version rewrites it, and nothing else.
"""

import os
import pathlib
import pickle
from typing import Any

import numpy as np

from ...errors import InvalidInput
from .dataset import Dataset, normalised

SIZE = 3 * 32 * 32


def cifar10(folder: str | os.PathLike) -> Dataset:
    """CIFAR-10, images (n, 32, 32, 3), from `folder` or its subfolder cifar-10-batches-py.

    Needs data_batch_1 to data_batch_5 and test_batch. `InvalidInput` names a file that is missing
    or is not as expected. Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    folder = _inside(folder, "cifar-10-batches-py")
    parts = [_read(folder / f"data_batch_{k}", b"labels", 10) for k in range(1, 6)]
    train = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    return normalised(train, _read(folder / "test_batch", b"labels", 10), 10, "cifar10")


def cifar100(folder: str | os.PathLike) -> Dataset:
    """CIFAR-100 with its 100 fine labels, from `folder` or its subfolder cifar-100-python.

    Needs the files train and test. `InvalidInput` names a file that is missing or is not as
    expected.
    """
    folder = _inside(folder, "cifar-100-python")
    parts = [_read(folder / name, b"fine_labels", 100) for name in ("train", "test")]
    return normalised(parts[0], parts[1], 100, "cifar100")


def _inside(folder: str | os.PathLike, name: str) -> pathlib.Path:
    folder = pathlib.Path(folder).expanduser()
    return folder / name if (folder / name).is_dir() else folder


def _read(file: pathlib.Path, labels: bytes, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) of bytes, and labels (n,)."""
    try:
        with open(file, "rb") as stream:
            found = _Reader(stream, encoding="bytes").load()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged pickle fails in any way
        raise InvalidInput(f"{file} is not a CIFAR file of the python version.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} is not a CIFAR file of the python version.")
    return _images(found.get(b"data"), file), _labels(found, labels, classes, file)


def _images(rows: Any, file: pathlib.Path) -> np.ndarray:
    alike = isinstance(rows, np.ndarray) and rows.dtype == np.uint8 and rows.ndim == 2
    if not alike or rows.shape[1] != SIZE or len(rows) == 0:
        raise InvalidInput(f"{file} has no b'data' of shape (n, {SIZE}) and type uint8.")
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _labels(found: dict, name: bytes, classes: int, file: pathlib.Path) -> np.ndarray:
    values: Any = found.get(name)
    count = len(found[b"data"])
    alike = isinstance(values, list) and all(type(value) is int for value in values)
    if not alike or len(values) != count or not all(0 <= value < classes for value in values):
        raise InvalidInput(
            f"{file} has no {name!r} with {count} whole numbers from 0 to {classes - 1}."
        )
    return np.array(values)


def _text_as_bytes(text: str, encoding: str = "latin1") -> bytes:
    """How newer Pythons put bytes into an old pickle."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected encoding {encoding}")
    return text.encode("latin1")


def _empty_array(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """What NumPy calls _reconstruct: an array that is about to get its contents."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("unexpected kind of array")
    del shape, code  # always (0,) and b"b"
    return np.empty(0, np.int8)


def _array_of_buffer(buffer: Any, dtype: Any, shape: tuple, order: str) -> np.ndarray:
    """What NumPy calls _frombuffer: an array of the bytes that protocol 5 holds."""
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, np.dtype):
        raise pickle.UnpicklingError("unexpected contents of an array")
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if order == "F" else "C")


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.numeric", "_frombuffer"): _array_of_buffer,
    ("numpy._core.numeric", "_frombuffer"): _array_of_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _text_as_bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR file")
        return _ADMITTED[module, name]
