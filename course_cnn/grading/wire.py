"""How values cross between the grader and a worker: plain data in frames, no pickle, no code.

A frame is two lengths, a JSON text and the bytes of the arrays in it. Whoever reads a frame trusts nothing in it: types
are built from a closed list, sizes are checked before memory is taken, and whatever does not fit is a `WireError`.
"""

import json
import math
import struct

import numpy as np

LENGTHS = struct.Struct(">II")
DEPTH = 32  # lists in lists in lists: no answer of ours needs more
KINDS = "biufc"  # NumPy's built-in number kinds; no objects, no text, no dates


class WireError(Exception):
    """A value or frame that may not cross; the text completes "what came back …"."""


def pack(value, *, limit, special=None):
    """Turn plain data into one frame.

    Args:
        value: None, bool, int, float, complex, str, bytes, NumPy scalars and arrays of built-in dtypes, and lists,
            tuples and dicts (str keys) of these.
        limit: int, bytes a frame may have.
        special: callable value -> plain data or None, a way to write other types (tensors, models).

    Returns:
        bytes.

    Raises:
        WireError: a value of another type, nesting too deep, or a frame beyond the limit.

    Example:
        >>> frame = pack({"x": np.eye(2), "n": (1, None)}, limit=1000)
        >>> unpack(frame[LENGTHS.size :], LENGTHS.unpack(frame[: LENGTHS.size])[0])
        {'x': array([[1., 0.],
               [0., 1.]]), 'n': (1, None)}
    """
    body, size = [], 0

    def add(data):
        nonlocal size
        size += len(data)
        if size > limit:
            raise WireError(f"is larger than {limit / 1e6:g} MB")
        body.append(data)
        return size - len(data)

    def tree(value, depth):
        if depth > DEPTH:
            raise WireError(f"is nested more than {DEPTH} deep")
        kind = type(value)
        if value is None or kind in (bool, float, str):
            return value
        if kind is int:
            if value.bit_length() > 10_000:
                raise WireError("is a whole number of more than 3,000 digits")
            return value
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind is bytes:
            return {"bytes": [add(value), len(value)]}
        if kind is list:
            return [tree(item, depth + 1) for item in value]
        if kind is tuple:
            return {"tuple": [tree(item, depth + 1) for item in value]}
        if kind is dict:
            for key in value:
                if type(key) is not str:
                    raise WireError(f"is a dict with a key of type {type(key).__name__}; keys must be text")
            return {"dict": [[key, tree(item, depth + 1)] for key, item in value.items()]}
        if isinstance(value, np.ndarray | np.generic):
            scalar = isinstance(value, np.generic)
            array = np.asarray(value)
            if array.dtype.kind not in KINDS or array.dtype.itemsize > 16:
                raise WireError(f"is an array of dtype {array.dtype}, which is not numbers")
            if array.nbytes > limit:
                raise WireError(f"is larger than {limit / 1e6:g} MB")
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            where = [array.dtype.str, list(array.shape), add(array.tobytes())]
            return {"scalar" if scalar else "array": where}
        if special is not None and (plain := special(value)) is not None:
            return tree(plain, depth + 1)
        raise WireError(f"is of type {kind.__name__}, which cannot be compared; return numbers, text, lists or arrays")

    text = json.dumps(tree(value, 0), ensure_ascii=True).encode()
    if len(text) + size > limit:
        raise WireError(f"is larger than {limit / 1e6:g} MB")
    return b"".join([LENGTHS.pack(len(text), size), text, *body])


def unpack(data, text_length):
    """Turn a frame without its lengths back into plain data; see `pack`.

    Raises:
        WireError: anything that `pack` would not have written.
    """
    try:
        return _value(json.loads(data[:text_length]), _Body(memoryview(data)[text_length:]), 0)
    except WireError:
        raise
    except Exception as error:  # JSON of any shape, sizes of any sign: one refusal for all of it
        raise WireError(f"is not plain data ({type(error).__name__})") from None


def _value(tree, body, depth):
    if depth > DEPTH:
        raise WireError(f"is nested more than {DEPTH} deep")
    if isinstance(tree, list):
        return [_value(item, body, depth + 1) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tuple":
        return tuple(_value(item, body, depth + 1) for item in content)
    if kind == "dict":
        return {_text(key): _value(item, body, depth + 1) for key, item in content}
    if kind == "complex":
        real, imaginary = content
        return complex(real, imaginary)
    if kind == "bytes":
        start, length = content
        return bytes(body.take(start, length))
    if kind in ("array", "scalar"):
        name, shape, start = content
        dtype = np.dtype(_text(name))
        if dtype.kind not in KINDS or dtype.hasobject or len(shape) > DEPTH or any(n < 0 for n in shape):
            raise WireError("is not an array of numbers")
        array = np.frombuffer(body.take(start, math.prod(shape) * dtype.itemsize), dtype).reshape(shape).copy()
        return array if kind == "array" else array[()]
    raise WireError("is not plain data")


def _text(value):
    if not isinstance(value, str):
        raise WireError("is not plain data")
    return value


class _Body:
    """The bytes of a frame's arrays, handed out in order and once: a small frame cannot become a large value."""

    def __init__(self, data):
        self._data, self._used = data, 0

    def take(self, start, length):
        if start != self._used or not 0 <= length <= len(self._data) - start:
            raise WireError("is not plain data")
        self._used += length
        return self._data[start : self._used]


def read_frame(file, *, limit):
    """Read one frame from a file of bytes; None at its end.

    Raises:
        WireError: the frame is cut off, beyond the limit, or not plain data.
    """
    head = file.read(LENGTHS.size)
    if not head:
        return None
    if len(head) < LENGTHS.size:
        raise WireError("is cut off")
    text, body = LENGTHS.unpack(head)
    if text + body > limit:
        raise WireError(f"is larger than {limit / 1e6:g} MB")
    data = file.read(text + body)
    if len(data) < text + body:
        raise WireError("is cut off")
    return unpack(data, text)
