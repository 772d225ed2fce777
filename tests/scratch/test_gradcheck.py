"""Gradient checking: right gradients pass, wrong ones fail and say where, and float32 is refused for a reason."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn.scratch import check_gradient, numerical_gradient


def wave(x):
    return float((np.sin(x) * x).sum())


@settings(max_examples=40, deadline=None)
@given(shape=st.lists(st.integers(1, 4), max_size=3), seed=st.integers(0, 99))
def test_matches_tensorflow(shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        y = tf.reduce_sum(tf.sin(variable) * variable)
    want = tape.gradient(y, variable).numpy()
    got = numerical_gradient(wave, np.array(x))
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)
    assert check_gradient(wave, np.array(x), want)


def test_x_is_not_changed_and_f_may_change_what_it_gets():
    x = np.array([1.0, 2.0])
    x.flags.writeable = False  # not even for a moment

    def greedy(values):
        values *= values
        return values.sum()

    np.testing.assert_allclose(numerical_gradient(greedy, x), [2, 4], rtol=1e-9)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("factor, passed", [(1 + 1e-7, True), (1 + 3e-6, False), (-1, False)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_a_wrong_entry_fails_and_is_named(factor, passed, scale):
    x = np.random.default_rng(0).normal(size=(2, 3))
    gradient = scale * (np.cos(x) * x + np.sin(x))
    gradient[1, 2] *= factor
    check = check_gradient(lambda x: scale * wave(x), x, gradient)
    assert check.passed is passed
    assert bool(check) is passed
    if not passed:
        assert check.at == (1, 2)
        assert check.gradient == gradient[1, 2]
        assert check.error == pytest.approx(abs(factor - 1) / max(1, abs(factor)), rel=0.05)
        assert "FAILED" in repr(check)
        assert "at (1, 2)" in repr(check)
    else:
        assert "passed" in repr(check)


def test_gradients_of_zero_pass_in_spite_of_rounding():
    """With the mean taken off the true gradient is 0; both numbers are rounding, and 1e-17 against 1e-11 is right."""
    x = np.random.default_rng(0).normal(size=5)
    assert check_gradient(lambda x: (7 + x - x.mean()).sum(), x, np.full(5, 1e-17))
    assert check_gradient(lambda x: 3.0, x, np.zeros(5)).error == 0


def test_a_kink_fails_in_its_own_entry_and_nowhere_else():
    x = np.array([-1.0, 0.0, 2.0])
    check = check_gradient(lambda x: np.maximum(x, 0).sum(), x, (x > 0) * 1.0)
    assert (check.passed, check.at, check.numerical) == (False, (1,), pytest.approx(0.5))
    moved = x + 0.01  # the docstring's remedy
    assert check_gradient(lambda x: np.maximum(x, 0).sum(), moved, (moved > 0) * 1.0)


def test_why_float64():
    """The measurement the docstring states: a difference in float32 is off by a per cent of f or so."""
    x = np.array([1.0, 2.0])
    coarse = (np.float32(wave(x + 1e-5)) - np.float32(wave(x - 1e-5))) / 2e-5
    true = (np.cos(x) * x + np.sin(x)).sum()
    assert abs(coarse - true) > 1e-4
    assert abs((wave(x + 1e-5) - wave(x - 1e-5)) / 2e-5 - true) < 1e-9


@pytest.mark.parametrize("x", [np.ones(2, "float32"), np.ones(2, int), [1.0, 2.0], 1.0])
def test_other_dtypes_are_refused(x):
    with pytest.raises(ValueError, match=r"float32 leaves too few digits.*x\.astype\('float64'\)"):
        numerical_gradient(wave, x)
    numerical_gradient(wave, np.asarray(x).astype("float64"))  # the remedy


@pytest.mark.parametrize("x", [np.array([1.0, np.nan]), np.array([np.inf]), np.zeros((0, 2))])
def test_x_must_be_finite(x):
    with pytest.raises(ValueError, match="finite ones only"):
        numerical_gradient(wave, x)


@pytest.mark.parametrize("result", [np.ones(2), np.nan, np.inf, "a", None])
def test_f_must_return_a_number(result):
    with pytest.raises(ValueError, match="`f` must return one finite number"):
        numerical_gradient(lambda x: result, np.ones(2))


def test_f_may_return_an_array_of_one_number():
    np.testing.assert_allclose(numerical_gradient(lambda x: (3 * x.sum()).reshape(1, 1)[0], np.ones(2)), 3, rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gradients_that_are_not_finite(bad):
    with pytest.raises(ValueError, match=r"2 of its 4 numbers are not \(at=\(0, 1\), gradient="):
        check_gradient(wave, np.ones((2, 2)), np.array([[0, bad], [bad, 0]]))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"Return a gradient of shape \(2, 1\)"):
        check_gradient(wave, np.ones((2, 1)), np.ones(2))


@pytest.mark.parametrize("setting", [{"step": 0}, {"step": -1e-5}, {"step": "small"}, {"tolerance": 0}])
def test_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"`{name}` must be a number > 0"):
        check_gradient(wave, np.ones(2), np.ones(2), **setting)
