"""Optimisers as pure steps: (params, grads, state) in, (params, state) out, over lists of arrays.

Each function is one step of the method it is named after. The state is a small named tuple: the number of steps taken,
and for every parameter what the method remembers of the gradients so far. Nothing is changed in place, so a step can be
taken again, with another learning rate, from the same place.
"""

import functools
from typing import NamedTuple

import numpy as np

from course_cnn import _checks


class SGDState(NamedTuple):
    """What `sgd` remembers: the number of steps taken, and nothing of the gradients."""

    step: int


class MomentumState(NamedTuple):
    """What `momentum` remembers: per parameter, the velocity (the last movement)."""

    step: int
    velocity: list


class AdagradState(NamedTuple):
    """What `adagrad` remembers: per parameter, the sum of all squared gradients so far."""

    step: int
    squares: list


class RMSpropState(NamedTuple):
    """What `rmsprop` remembers: per parameter, the running mean of the squared gradients."""

    step: int
    mean_square: list


class AdamState(NamedTuple):
    """What `adam` remembers: per parameter, the running mean `m` of the gradients and `v` of their squares."""

    step: int
    m: list
    v: list


def _step(State):
    """Check what a step is given before it is taken, so that the body of each step holds its formulas alone."""

    def wrap(step):
        name = step.__name__

        @functools.wraps(step)
        def checked(params, grads, state=None, **settings):
            _check_arrays(name, params, grads)
            settings = {key: _setting(name, key, value) for key, value in settings.items()}
            if state is not None:
                _check_state(name, State, state, params)
            return step(params, grads, state, **settings)

        return checked

    return wrap


@_step(SGDState)
def sgd(params, grads, state=None, *, learning_rate=0.01):
    """Take one step of gradient descent: w <- w - learning_rate * g.

    Stochastic, the S of SGD, is where the gradient comes from: a few images drawn at random instead of all of them.

    Args:
        params: list of float arrays, the parameters w.
        grads: list of float arrays, the gradients g of the loss by each of them, same shapes and dtypes.
        state: `SGDState` that the last step returned, or None at the first step.
        learning_rate: float > 0. A plain number: for one that changes, give each step its own.

    Returns:
        (params, state): list of new arrays, shapes and dtypes kept, and the state for the next step.

    Raises:
        ValueError: lists or shapes disagree, a gradient is not finite, the state belongs to other parameters or to
            another optimiser, or a setting is out of its range.

    Example:
        >>> params, state = sgd([np.array([1.0, 2.0])], [np.array([10.0, -10.0])], learning_rate=0.1)
        >>> params
        [array([0., 3.])]
        >>> state
        SGDState(step=1)

    Same numbers as `keras.optimizers.SGD(learning_rate)`.
    Source: Robbins & Monro, "A stochastic approximation method", 1951.
    """
    state = state or SGDState(step=0)
    params = [w - learning_rate * g for w, g in zip(params, grads, strict=True)]
    return params, SGDState(state.step + 1)


@_step(MomentumState)
def momentum(params, grads, state=None, *, learning_rate=0.01, momentum=0.9, nesterov=False):
    """Take one step with momentum: v <- momentum * v - learning_rate * g, then w <- w + v.

    The velocity v is a fading sum of the past steps. Where they agree it grows, at most 1 / (1 - momentum) times as
    long as a plain step; where they zigzag they cancel. Nesterov's form moves as if the next velocity were known:
    w <- w + momentum * v - learning_rate * g with the new v.

    Args:
        params, grads: lists of float arrays, as in `sgd`.
        state: `MomentumState` that the last step returned, or None at the first step, where v = 0.
        learning_rate: float > 0.
        momentum: float in [0, 1), the share of the velocity that is kept.
        nesterov: bool, Nesterov's form.

    Returns:
        (params, state), as in `sgd`.

    Raises:
        ValueError: as in `sgd`.

    Example:
        >>> params, state = momentum([np.array([1.0])], [np.array([2.0])], learning_rate=0.25)
        >>> params, state = momentum(params, [np.array([2.0])], state, learning_rate=0.25)
        >>> params, state                       # the second step is 1.9 times the first
        ([array([-0.45])], MomentumState(step=2, velocity=[array([-0.95])]))

    Same numbers as `keras.optimizers.SGD(learning_rate, momentum=momentum, nesterov=nesterov)`.
    Source: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Sutskever, Martens, Dahl &
    Hinton, "On the importance of initialization and momentum in deep learning", 2013, equations 1 to 4.
    """
    state = state or MomentumState(step=0, velocity=[np.zeros_like(w) for w in params])
    velocity = [momentum * v - learning_rate * g for v, g in zip(state.velocity, grads, strict=True)]
    moves = velocity
    if nesterov:
        moves = [momentum * v - learning_rate * g for v, g in zip(velocity, grads, strict=True)]
    params = [w + move for w, move in zip(params, moves, strict=True)]
    return params, MomentumState(state.step + 1, velocity)


@_step(AdagradState)
def adagrad(params, grads, state=None, *, learning_rate=0.001, initial_accumulator=0.1, epsilon=1e-7):
    """Take one step of AdaGrad: G <- G + g², then w <- w - learning_rate * g / sqrt(G + epsilon).

    Every number has a learning rate of its own, smaller the more it has moved. G only grows, so the steps only shrink.

    Args:
        params, grads: lists of float arrays, as in `sgd`.
        state: `AdagradState` that the last step returned, or None at the first step, where G = initial_accumulator.
        learning_rate: float > 0. The paper's own form wants about 0.01; Keras's default is small.
        initial_accumulator: float >= 0, where G starts. The paper has 0.
        epsilon: float > 0, keeps the division from zero; inside the root, as in Keras.

    Returns:
        (params, state), as in `sgd`.

    Raises:
        ValueError: as in `sgd`.

    Example:
        >>> params, state = adagrad([np.zeros(2)], [np.array([3.0, -300.0])], learning_rate=0.5, initial_accumulator=0)
        >>> params[0].round(4)                  # the first step has the size of the learning rate
        array([-0.5,  0.5])
        >>> state.squares
        [array([9.e+00, 9.e+04])]

    Same numbers as `keras.optimizers.Adagrad(learning_rate, initial_accumulator_value=initial_accumulator)`.
    Source: Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning", 2011, section 1.1.
    """
    state = state or AdagradState(step=0, squares=[np.full_like(w, initial_accumulator) for w in params])
    squares = [G + g * g for G, g in zip(state.squares, grads, strict=True)]
    moves = [learning_rate * g / np.sqrt(G + epsilon) for g, G in zip(grads, squares, strict=True)]
    params = [w - move for w, move in zip(params, moves, strict=True)]
    return params, AdagradState(state.step + 1, squares)


@_step(RMSpropState)
def rmsprop(params, grads, state=None, *, learning_rate=0.001, rho=0.9, epsilon=1e-7):
    """Take one step of RMSProp: v <- rho * v + (1 - rho) * g², then w <- w - learning_rate * g / sqrt(v + epsilon).

    AdaGrad with a memory that fades: v is a mean over about 1 / (1 - rho) steps, so old gradients are forgotten and the
    steps need not shrink.

    Args:
        params, grads: lists of float arrays, as in `sgd`.
        state: `RMSpropState` that the last step returned, or None at the first step, where v = 0.
        learning_rate: float > 0.
        rho: float in [0, 1), the share of v that is kept.
        epsilon: float > 0, keeps the division from zero; inside the root, as in Keras.

    Returns:
        (params, state), as in `sgd`.

    Raises:
        ValueError: as in `sgd`.

    Example:
        >>> params, state = rmsprop([np.zeros(1)], [np.array([2.0])], learning_rate=0.1)
        >>> params[0].round(4)                  # 0.1 / sqrt(1 - rho): v starts at 0 and is too small at first
        array([-0.3162])

    Same numbers as `keras.optimizers.RMSprop(learning_rate, rho)`.
    Source: Tieleman & Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.
    """
    state = state or RMSpropState(step=0, mean_square=[np.zeros_like(w) for w in params])
    mean_square = [rho * v + (1 - rho) * g * g for v, g in zip(state.mean_square, grads, strict=True)]
    moves = [learning_rate * g / np.sqrt(v + epsilon) for g, v in zip(grads, mean_square, strict=True)]
    params = [w - move for w, move in zip(params, moves, strict=True)]
    return params, RMSpropState(state.step + 1, mean_square)


@_step(AdamState)
def adam(params, grads, state=None, *, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_hat=False):
    """Take one step of Adam: momentum's mean of g over RMSProp's mean of g², both corrected for starting at 0.

        m <- beta_1 * m + (1 - beta_1) * g      m_hat = m / (1 - beta_1**t)
        v <- beta_2 * v + (1 - beta_2) * g²     v_hat = v / (1 - beta_2**t)      t = 1, 2, 3, …
        w <- w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)

    Keras saves two divisions per number: it moves both corrections into the learning rate, and adds its epsilon to
    sqrt(v). That is this formula with epsilon / sqrt(1 - beta_2**t) in place of epsilon, 32 times epsilon at the first
    step. It shows only where |g| is not far above that, about 1e-5; `epsilon_hat=True` takes Keras's steps.

    Args:
        params, grads: lists of float arrays, as in `sgd`.
        state: `AdamState` that the last step returned, or None at the first step, where m = v = 0.
        learning_rate: float > 0; about the size of a step, for every number.
        beta_1: float in [0, 1), the share of m that is kept.
        beta_2: float in [0, 1), the share of v that is kept.
        epsilon: float > 0, keeps the division from zero. The paper has 1e-8, Keras 1e-7.
        epsilon_hat: bool, False for the paper's algorithm 1, True for the form at the end of its section 2, as Keras.

    Returns:
        (params, state), as in `sgd`.

    Raises:
        ValueError: as in `sgd`.

    Example:
        >>> params, state = adam([np.zeros(2)], [np.array([3.0, -300.0])])
        >>> params[0].round(6)                  # the first step has the size of the learning rate
        array([-0.001,  0.001])
        >>> state.step
        1

    Same numbers as `keras.optimizers.Adam(learning_rate, beta_1, beta_2)` with `epsilon_hat=True`.
    Source: Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1 and section 2.
    """
    zeros = [np.zeros_like(w) for w in params]
    state = state or AdamState(step=0, m=zeros, v=zeros)
    t = state.step + 1
    m = [beta_1 * m + (1 - beta_1) * g for m, g in zip(state.m, grads, strict=True)]
    v = [beta_2 * v + (1 - beta_2) * g * g for v, g in zip(state.v, grads, strict=True)]
    if epsilon_hat:
        epsilon /= (1 - beta_2**t) ** 0.5
    params = [
        w - learning_rate * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)
        for w, m, v in zip(params, m, v, strict=True)
    ]
    return params, AdamState(t, m, v)


def _check_arrays(function, params, grads):
    """Raise unless `params` and `grads` are lists of floating arrays that agree one by one."""
    for name, arrays in (("params", params), ("grads", grads)):
        if not isinstance(arrays, (list, tuple)) or not all(
            hasattr(a, "shape") and hasattr(a, "dtype") for a in arrays
        ):
            raise _checks.argument_error(
                function, f"`{name}` must be a list of arrays", f"Pass [np.asarray({name})], also for a single one",
                **{f"type({name})": type(arrays).__name__},
            )  # fmt: skip
    if len(params) != len(grads):
        raise _checks.argument_error(
            function, "there must be one gradient for each parameter array",
            "Pass both lists in the same order, with zeros for what shall not move",
            **{"len(params)": len(params), "len(grads)": len(grads)},
        )  # fmt: skip
    for i, (w, g) in enumerate(zip(params, grads, strict=True)):
        if w.shape != g.shape:
            raise _checks.argument_error(
                function, "a gradient must have the shape of its parameters",
                f"Look at the backward pass, or the order of the lists: grads[{i}] must be {tuple(w.shape)}",
                **{f"params[{i}].shape": tuple(w.shape), f"grads[{i}].shape": tuple(g.shape)},
            )  # fmt: skip
        _checks.floating(function, **{f"params[{i}]": w, f"grads[{i}]": g})
        _checks.finite(function, **{f"grads[{i}]": g})


def _check_state(function, State, state, params):
    """Raise unless `state` came from this optimiser and belongs to parameters like these."""
    remedy = "Pass the state that the last step returned, or start afresh with state=None"
    if not isinstance(state, State):
        raise _checks.argument_error(
            function, f"`state` must be None or a {State.__name__}", remedy, **{"type(state)": type(state).__name__}
        )
    for name, arrays in state._asdict().items():
        if name == "step":
            _checks.integer(function, "state.step", arrays, minimum=0)
            continue
        want, got = ([(tuple(a.shape), a.dtype.name) for a in some] for some in (params, arrays))
        if want != got:
            raise _checks.argument_error(
                function, "`state` must belong to these parameters: same number, shapes and dtypes", remedy,
                **{f"state.{name}": got, "params": want},
            )  # fmt: skip


def _setting(function, name, value):
    """Return a setting as a plain float (a NumPy one would turn float32 into float64), or raise."""
    if name in ("nesterov", "epsilon_hat"):
        return bool(value)
    if name in ("momentum", "rho", "beta_1", "beta_2"):
        return _checks.rate(function, name, value)
    if name == "initial_accumulator" and value == 0:
        return 0.0
    return _checks.positive(function, name, value, {"epsilon": 1e-7, "initial_accumulator": 0.1}.get(name, 0.001))
