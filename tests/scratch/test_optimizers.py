"""Scratch optimisers against their Keras namesakes, step by step, and against the formulas by hand."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch
from course_cnn._tensorflow import tf
from course_cnn.scratch import optimizers

# isort: split
import keras

# Keras keeps settings in float32 whatever the parameters are in: 0.999 becomes 0.99900001287, and the bias correction
# 1 - 0.999 is off by 1 in 77,000. Settings that float32 holds exactly compare the formulas and nothing else.
EXACT = {
    "sgd": (scratch.sgd, {}, keras.optimizers.SGD, {}),
    "momentum": (scratch.momentum, {"momentum": 0.875}, keras.optimizers.SGD, {"momentum": 0.875}),
    "nesterov": (
        scratch.momentum, {"momentum": 0.75, "nesterov": True},
        keras.optimizers.SGD, {"momentum": 0.75, "nesterov": True},
    ),
    "adagrad": (
        scratch.adagrad, {"initial_accumulator": 0.125, "epsilon": 2**-23},
        keras.optimizers.Adagrad, {"initial_accumulator_value": 0.125, "epsilon": 2**-23},
    ),
    "adagrad from 0": (
        scratch.adagrad, {"initial_accumulator": 0, "epsilon": 2**-7},
        keras.optimizers.Adagrad, {"initial_accumulator_value": 0.0, "epsilon": 2**-7},
    ),
    "rmsprop": (
        scratch.rmsprop, {"rho": 0.875, "epsilon": 2**-23}, keras.optimizers.RMSprop, {"rho": 0.875, "epsilon": 2**-23}
    ),
    "adam": (
        scratch.adam, {"epsilon_hat": True, "beta_1": 0.875, "beta_2": 1 - 2**-10, "epsilon": 2**-23},
        keras.optimizers.Adam, {"beta_1": 0.875, "beta_2": 1 - 2**-10, "epsilon": 2**-23},
    ),
    "adam, large epsilon": (
        scratch.adam, {"epsilon_hat": True, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 2**-7},
        keras.optimizers.Adam, {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 2**-7},
    ),
}  # fmt: skip
DEFAULTS = {
    "sgd": (scratch.sgd, {}, keras.optimizers.SGD, {}),
    "momentum": (scratch.momentum, {}, keras.optimizers.SGD, {"momentum": 0.9}),
    "nesterov": (scratch.momentum, {"nesterov": True}, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (scratch.adagrad, {}, keras.optimizers.Adagrad, {}),
    "rmsprop": (scratch.rmsprop, {}, keras.optimizers.RMSprop, {}),
    "adam": (scratch.adam, {"epsilon_hat": True}, keras.optimizers.Adam, {}),
}
STEPS = [scratch.sgd, scratch.momentum, scratch.adagrad, scratch.rmsprop, scratch.adam]


def bowl(seed, dtype):
    """A random quadratic loss over two arrays: first parameters, and the function that gives its gradients.

    The parameters start small: a hundred steps add up a hundred roundings, each as large as the parameter has digits.
    """
    rng = np.random.default_rng(seed)
    start = [(rng.normal(size=shape) / 10).astype(dtype) for shape in [(3, 2), (4,)]]
    root = rng.normal(size=(10, 10)) / 3
    curvature, centre = (root @ root.T + 0.1 * np.eye(10)).astype(dtype), rng.normal(size=10).astype(dtype)

    def slopes(params):
        flat = curvature @ (np.concatenate([np.ravel(w) for w in params]) - centre)
        return [flat[:6].reshape(3, 2), flat[6:]]

    return start, slopes


def race(pair, seed, dtype, steps=100):
    """Take both optimisers down the same bowl and return both whole paths.

    Both go by the gradients along our path: near the bottom a gradient is a small difference of large numbers, and
    Adam, which divides by its size, would make whole steps out of its rounding.
    """
    step, options, build, settings = pair
    params, slopes = bowl(seed, dtype)
    variables, theirs = [tf.Variable(w) for w in params], build(**settings)
    state, paths = None, ([], [])
    for _ in range(steps):
        grads = slopes(params)
        theirs.apply(grads, variables)
        params, state = step(params, grads, state, **options)
        paths[0].append(np.concatenate([np.ravel(w) for w in params]))
        paths[1].append(np.concatenate([np.ravel(v.numpy()) for v in variables]))
    assert state.step == steps
    assert np.asarray(paths).dtype == dtype
    return np.asarray(paths)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-6)])
def test_a_hundred_steps_of_keras(name, dtype, tolerance):
    step, options, build, settings = EXACT[name]
    for seed, rate in enumerate([2**-5, 2**-6, 2**-10]):
        pair = step, {**options, "learning_rate": rate}, build, {**settings, "learning_rate": rate}
        ours, theirs = race(pair, seed, dtype)
        assert np.abs(ours - ours[0]).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_hundred_steps_of_keras_at_its_defaults(name, dtype):
    for seed in range(3):
        ours, theirs = race(DEFAULTS[name], seed, dtype)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def default(step, name):
    return inspect.signature(step).parameters[name].default


def test_defaults_are_those_of_keras():
    for step, theirs, names in [
        (scratch.sgd, keras.optimizers.SGD(), {"learning_rate"}),
        (scratch.adagrad, keras.optimizers.Adagrad(), {"learning_rate", "epsilon"}),
        (scratch.rmsprop, keras.optimizers.RMSprop(), {"learning_rate", "rho", "epsilon"}),
        (scratch.adam, keras.optimizers.Adam(), {"learning_rate", "beta_1", "beta_2", "epsilon"}),
    ]:
        want = theirs.get_config()
        for name in names:
            assert default(step, name) == pytest.approx(want[name], rel=1e-6), (step.__name__, name)
    initial = keras.optimizers.Adagrad().get_config()["initial_accumulator_value"]
    assert default(scratch.adagrad, "initial_accumulator") == initial


# Epsilon, where the paper and Keras part


def first_step(g, **options):
    params, _ = scratch.adam([np.zeros(1)], [np.array([g])], learning_rate=1e-4, **options)
    return params[0][0]


def test_epsilon_of_the_paper_and_of_keras():
    """At the first step m_hat = g and sqrt(v_hat) = |g|; Keras's epsilon is 1 / sqrt(1 - 0.999) = 31.6 times larger."""
    for g in (1.0, 1e-3, 1e-6):
        assert first_step(g) == pytest.approx(-1e-4 * g / (g + 1e-7), rel=1e-10)
        assert first_step(g, epsilon_hat=True) == pytest.approx(-1e-4 * g / (g + 1e-7 / 0.001**0.5), rel=1e-10)
    assert f"{first_step(1e-3):.5e}" == "-9.99900e-05"
    assert f"{first_step(1e-3, epsilon_hat=True):.5e}" == "-9.96848e-05"


def test_epsilon_of_keras_is_the_papers_with_a_shrinking_epsilon():
    rng, ours, theirs = np.random.default_rng(0), ([np.zeros(5)], None), ([np.zeros(5)], None)
    for t in range(1, 51):
        grads = [1e-6 * rng.normal(size=5)]
        ours = scratch.adam(ours[0], grads, ours[1], epsilon=1e-7 / (1 - 0.999**t) ** 0.5)
        theirs = scratch.adam(theirs[0], grads, theirs[1], epsilon_hat=True)
        np.testing.assert_allclose(ours[0][0], theirs[0][0], rtol=1e-12)
    plain = ([np.zeros(5)], None)
    rng = np.random.default_rng(0)
    for _ in range(50):
        plain = scratch.adam(plain[0], [1e-6 * rng.normal(size=5)], plain[1])
    assert np.abs(plain[0][0] / theirs[0][0] - 1).max() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    g=st.floats(1e-3, 1e6), sign=st.sampled_from([-1, 1]), rate=st.floats(1e-5, 1), beta_1=st.floats(0, 0.99),
    beta_2=st.floats(0, 0.9999),
)  # fmt: skip
def test_adams_first_step_has_the_size_of_the_learning_rate(g, sign, rate, beta_1, beta_2):
    (w,), state = scratch.adam(
        [np.zeros(1)], [np.array([sign * g])], learning_rate=rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-12
    )
    assert w[0] == pytest.approx(-sign * rate, rel=1e-6)
    assert state == (1, [(1 - beta_1) * sign * g], [(1 - beta_2) * g * g])


# What holds for every optimiser


@settings(max_examples=25, deadline=None)
@given(
    step=st.sampled_from(STEPS), shapes=st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=3),
    dtype=st.sampled_from(["float16", "float32", "float64"]), numpy=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_inputs_stay_dtypes_stay_and_steps_repeat(step, shapes, dtype, numpy, seed):
    rng = np.random.default_rng(seed)
    params, grads = ([np.asarray(rng.normal(size=shape), dtype) for shape in shapes] for _ in range(2))
    before = [a.copy() for a in params + grads]
    rate = np.float64(0.1) if numpy else 0.1
    params1, state1 = step(params, grads, learning_rate=rate)
    remembered = repr(state1)
    params2, state2 = step(params1, grads, state1, learning_rate=rate)
    again = step(params, grads, learning_rate=rate)
    for a, b in zip(before, params + grads, strict=True):
        np.testing.assert_array_equal(a, b)
    assert repr(state1) == remembered == repr(again[1])
    assert (state1.step, state2.step) == (1, 2)
    for i, (w, new, same) in enumerate(zip(params, params2, again[0], strict=True)):
        assert (new.shape, new.dtype) == (w.shape, w.dtype)
        np.testing.assert_array_equal(params1[i], same)
    for memory in state2[1:]:
        assert [a.dtype for a in memory] == [w.dtype for w in params]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_goes_downhill_and_a_gradient_of_zero_stays(step):
    (w,), _ = step([np.array([1.0, 1.0, 1.0])], [np.array([2.0, 0.0, -2.0])])
    assert w[0] < w[1] == 1 < w[2]


def assert_refused(match, step, *args, **options):
    with pytest.raises(ValueError, match=rf"^{step.__name__}: {match}"):
        step(*args, **options)


@pytest.mark.parametrize("step", STEPS)
def test_wrong_arrays_are_refused(step):
    w, g = np.ones((2, 3)), np.ones((2, 3))
    assert_refused("`params` must be a list of arrays .*ndarray", step, w, [g])
    assert_refused("`grads` must be a list of arrays", step, [w], g)
    assert_refused(r"`grads` must be a list of arrays .*Pass \[np.asarray\(grads\)\]", step, [w], [1.0])
    assert_refused(r"there must be one gradient for each .*len\(params\)=2, len\(grads\)=1", step, [w, w], [g])
    assert_refused(r"a gradient must have the shape .*params\[1\].shape=\(2, 3\), grads\[1\].shape=\(3, 2\)",
           step, [w, w], [g, g.T])  # fmt: skip
    assert_refused("all arrays must share one dtype", step, [w], [g.astype("float32")])
    assert_refused(r"`params\[0\]` must hold floating-point", step, [w.astype(int)], [g])
    for bad in (np.nan, np.inf, -np.inf):
        g[1, 1] = bad
        assert_refused(r"`grads\[1\]` must hold finite numbers, and 1 of 6", step, [w, w], [np.ones((2, 3)), g])
    step([np.asarray(1.0)], [np.asarray([1.0])[0]])  # the remedy for single numbers


@pytest.mark.parametrize("step", STEPS)
def test_states_of_others_are_refused(step):
    w, g = [np.ones(3)], [np.ones(3)]
    state = step(w, g)[1]
    others = [other for other in STEPS if other is not step]
    for other in others:
        assert_refused("`state` must be None or a .*State .*start afresh with state=None", step, w, g, other(w, g)[1])
    assert_refused("`state` must be None or a", step, w, g, 3)
    assert_refused("`state.step` must be an integer >= 0", step, w, g, state._replace(step=-1))
    if len(state) > 1:
        assert_refused(r"`state` must belong to these parameters.*\(4,\)", step, [np.ones(4)], [np.ones(4)], state)
        assert_refused("`state` must belong to these parameters", step, w * 2, g * 2, state)
        assert_refused("`state` must belong to these parameters.*float32", step, *[[np.ones(3, "float32")]] * 2, state)
    step(w * 2, g * 2, None)  # the remedy


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("bad", [0, -0.1, np.nan, np.inf, True, "fast", None, [0.1], keras.optimizers.Adam()])
def test_learning_rate_must_be_a_positive_number(step, bad):
    assert_refused(r"`learning_rate` must be a number > 0 \(learning_rate=.*learning_rate=0.001", step,
           [np.ones(1)], [np.ones(1)], learning_rate=bad)  # fmt: skip


@pytest.mark.parametrize(
    "step, name, bad, match",
    [
        (scratch.momentum, "momentum", 1, "from 0 to below 1"),
        (scratch.momentum, "momentum", -0.1, "from 0 to below 1"),
        (scratch.rmsprop, "rho", 1.0, "from 0 to below 1"),
        (scratch.adam, "beta_1", 1.0, "from 0 to below 1"),
        (scratch.adam, "beta_2", 1.1, "from 0 to below 1"),
        (scratch.adam, "epsilon", 0, "must be a number > 0 .*epsilon=1e-07"),
        (scratch.rmsprop, "epsilon", -1e-7, "must be a number > 0"),
        (scratch.adagrad, "epsilon", np.nan, "must be a number > 0"),
        (scratch.adagrad, "initial_accumulator", -0.1, "must be a number >"),
    ],
)
def test_settings_out_of_range_are_refused(step, name, bad, match):
    assert_refused(f"`{name}` .*{match}", step, [np.ones(1)], [np.ones(1)], **{name: bad})


def test_unknown_settings_are_python_errors():
    with pytest.raises(TypeError, match=r"sgd.*momentum"):
        scratch.sgd([np.ones(1)], [np.ones(1)], momentum=0.9)


def test_states_are_plain_and_readable():
    _, state = scratch.adam([np.zeros(2)], [np.array([1.0, 2.0])], beta_1=0.5, beta_2=0.5)
    assert repr(state) == "AdamState(step=1, m=[array([0.5, 1. ])], v=[array([0.5, 2. ])])"
    assert isinstance(state, optimizers.AdamState)
