"""Dropout: switch units off at random while training."""


def dropout_forward(x, rate, *, training=True, inverted=True, rng=None):
    """Return (y, cache); rng a numpy Generator or seed."""
    raise NotImplementedError


def dropout_backward(dy, cache):
    """Return dx."""
    raise NotImplementedError
