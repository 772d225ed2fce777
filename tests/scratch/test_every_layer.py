"""Two checks that every layer has to pass, whatever it does: central differences, and the adjoint for linear layers."""

import numpy as np
import pytest

from course_cnn import scratch

IMAGES, STEPS = (2, 5, 6, 2), (2, 7, 2)
# name: (forward, backward, shape of x, shapes of further arrays it is differentiated by, settings)
LAYERS = {
    "conv1d": (scratch.conv1d_forward, scratch.conv1d_backward, STEPS, [(3, 2, 3), (3,)], dict(stride=2, padding=1)),
    "conv1d causal": (scratch.conv1d_forward, scratch.conv1d_backward, STEPS, [(3, 2, 3), (3,)],
                      dict(padding="causal", dilation=2)),
    "conv2d": (scratch.conv2d_forward, scratch.conv2d_backward, IMAGES, [(2, 3, 2, 2), (2,)], dict(padding="same")),
    "max_pool2d": (scratch.max_pool2d_forward, scratch.max_pool2d_backward, IMAGES, [], dict(stride=1)),
    "avg_pool2d": (scratch.avg_pool2d_forward, scratch.avg_pool2d_backward, IMAGES, [], dict(padding="same")),
    "bias_add": (scratch.bias_add_forward, scratch.bias_add_backward, IMAGES, [(2,)], {}),
    "relu": (scratch.relu_forward, scratch.relu_backward, IMAGES, [], {}),
    "sigmoid": (scratch.sigmoid_forward, scratch.sigmoid_backward, IMAGES, [], {}),
    "tanh": (scratch.tanh_forward, scratch.tanh_backward, IMAGES, [], {}),
    "dense": (scratch.dense_forward, scratch.dense_backward, (3, 4), [(4, 2), (2,)], {}),
    "softmax_cross_entropy": (scratch.softmax_cross_entropy_forward, scratch.softmax_cross_entropy_backward, (3, 4), [],
                              dict(labels=np.array([3, 0, 0]))),
    "softmax_cross_entropy soft": (scratch.softmax_cross_entropy_forward, scratch.softmax_cross_entropy_backward,
                                   (2, 3), [], dict(labels=np.array([[0.2, 0.3, 0.5], [0.0, 0.9, 0.1]]))),
    "l2": (scratch.l2_forward, scratch.l2_backward, (3, 4), [], dict(targets=np.eye(4)[:3])),
    "hinge": (scratch.hinge_forward, scratch.hinge_backward, (3, 4), [], dict(labels=np.array([3, 0, 0]))),
}  # fmt: skip
CURVED = ("sigmoid", "tanh", "softmax_cross_entropy", "softmax_cross_entropy soft", "l2", "hinge")


def draw(name):
    """Arrays, output and gradients of one layer for a random incoming gradient."""
    forward, backward, shape, others, settings = LAYERS[name]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape), *(rng.normal(size=other) for other in others)]
    y, cache = forward(*arrays, **settings)
    dy = rng.normal(size=y.shape)
    gradients = backward(dy, cache)
    return arrays, dy, gradients if isinstance(gradients, tuple) else (gradients,)


@pytest.mark.parametrize("name", LAYERS)
def test_central_differences(name):
    arrays, dy, gradients = draw(name)
    forward, *_, settings = LAYERS[name]
    for array, gradient in zip(arrays, gradients, strict=True):
        assert gradient.shape == array.shape
        numeric = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            old = array[index]
            array[index] = old + 1e-5
            above = np.vdot(forward(*arrays, **settings)[0], dy)
            array[index] = old - 1e-5
            below = np.vdot(forward(*arrays, **settings)[0], dy)
            array[index] = old
            numeric[index] = (above - below) / 2e-5
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in CURVED])
def test_adjoint(name):
    """<f(u), dy> = <u, dx> for the linear part f in x: with the other arrays' share, f(0), taken off.

    Max pooling and ReLU are linear as long as nobody overtakes, so there the identity holds at x itself.
    """
    arrays, dy, gradients = draw(name)
    forward, *_, settings = LAYERS[name]
    y, _ = forward(*arrays, **settings)
    nothing, _ = forward(np.zeros_like(arrays[0]), *arrays[1:], **settings)
    assert np.vdot(y - nothing, dy) == pytest.approx(np.vdot(arrays[0], gradients[0]), rel=1e-10)
