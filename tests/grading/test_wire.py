"""Plain data crosses whole; everything else is refused, whoever wrote it."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from course_cnn.grading import wire

ARRAYS = hnp.arrays(
    st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "complex128"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=20)
    | st.complex_numbers()
    | ARRAYS,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def through(value, limit=1_000_000):
    return wire.read_frame(io.BytesIO(wire.pack(value, limit=limit)), limit=limit)


def assert_same(got, want):
    assert type(got) is type(want)
    if isinstance(want, list | tuple):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_same(one, other)
    elif isinstance(want, dict):
        assert list(got) == list(want)
        for key in want:
            assert_same(got[key], want[key])
    elif isinstance(want, np.ndarray):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_array_equal(got, want)
    else:
        assert repr(got) == repr(want)  # NaN is NaN, -0.0 is not 0.0


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_plain_data_comes_back_the_same(value):
    assert_same(through(value), value)


@pytest.mark.parametrize("value", [np.float32(1.5), np.int8(-3), np.bool_(True), np.arange(6)[::-2], np.ones((2, 3)).T])
def test_scalars_and_views(value):
    got = through(value)
    assert type(got) is type(value)
    assert got.dtype == value.dtype
    np.testing.assert_array_equal(got, value)


class Liar(np.ndarray):
    def __eq__(self, other):
        return True


def test_a_subclass_of_arrays_arrives_as_a_plain_array():
    assert type(through(np.arange(3).view(Liar))) is np.ndarray


@pytest.mark.parametrize(
    "value, why",
    [
        (object(), "of type object"),
        (lambda: 0, "of type function"),
        ({1: 2}, "key of type int"),
        (np.array([object()]), "dtype object"),
        (np.array(["a"]), "dtype <U1"),
        (np.array(["2020-01-01"], "datetime64[D]"), "dtype datetime64"),
        (np.zeros(2, [("a", int)]), "not numbers"),
        pytest.param(10**100_000, "more than 3,000 digits", id="huge"),
        (np.zeros(2_000_000), "larger than 1 MB"),
        ("x" * 2_000_000, "larger than 1 MB"),
    ],
)
def test_refused_with_the_reason(value, why):
    with pytest.raises(wire.WireError, match=why):
        wire.pack([value], limit=1_000_000)


@pytest.mark.parametrize("into", [lambda x: [x], lambda x: (x,), lambda x: {"a": x}], ids=["list", "tuple", "dict"])
def test_what_may_be_sent_may_be_read_however_deep(into):
    value = 1
    for _ in range(wire.DEPTH):
        value = into(value)
    assert through(value) == value
    with pytest.raises(wire.WireError, match="nested"):
        wire.pack(into(value), limit=1_000_000)


def test_deep_nesting_is_refused_on_both_sides():
    deep = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(wire.WireError, match="nested"):
        wire.pack(deep, limit=1_000_000)
    for text in (b"[" * 100 + b"]" * 100, b"[" * 100_000):
        with pytest.raises(wire.WireError):
            wire.unpack(text, len(text))


@pytest.mark.parametrize(
    "tree",
    [
        {"array": ["<f8", [2], 0]},  # more than the body has
        {"array": ["<f8", [1], -8]},
        {"array": ["<f8", [-1], 0]},
        {"array": ["<f8", [2**62, 4], 0]},
        {"array": ["|O", [1], 0]},
        {"array": ["O8", [1], 0]},
        {"array": ["<U2", [1], 0]},
        {"array": [["<f8"], [1], 0]},
        {"array": ["i4,i4", [1], 0]},
        {"array": ["nonsense", [1], 0]},
        {"array": ["<f8", "x", 0]},
        {"array": ["<f8", [1], "0"]},
        {"scalar": ["<f8", [1.5], 0]},
        {"bytes": [0, 9]},
        {"bytes": [-1, 1]},
        {"complex": [1]},
        {"dict": [[1, 2]]},
        {"dict": 5},
        {"pickle": "gASVKA=="},
        {},
        {"tuple": [], "array": []},
    ],
)
def test_a_forged_frame_is_refused(tree):
    text = json.dumps(tree).encode()
    with pytest.raises(wire.WireError):
        wire.unpack(text + bytes(8), len(text))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 80))
def test_any_bytes_are_plain_data_or_refused(data, length):
    with contextlib.suppress(wire.WireError):
        wire.unpack(data, length)


def test_lengths_are_verified_before_anything_is_read():
    class Counting(io.BytesIO):
        asked = 0

        def read(self, size=-1):
            self.asked += size
            return super().read(size)

    file = Counting(wire.LENGTHS.pack(2**32 - 1, 2**32 - 1) + bytes(100))
    with pytest.raises(wire.WireError, match="larger than"):
        wire.read_frame(file, limit=1_000_000)
    assert file.asked == wire.LENGTHS.size


@pytest.mark.parametrize("keep", [1, 7, 9, 20])
def test_a_frame_cut_off(keep):
    frame = wire.pack({"x": np.arange(5)}, limit=1000)
    with pytest.raises(wire.WireError, match="cut off"):
        wire.read_frame(io.BytesIO(frame[:keep]), limit=1000)


def test_the_end_of_the_file_is_no_frame():
    assert wire.read_frame(io.BytesIO(b""), limit=10) is None
