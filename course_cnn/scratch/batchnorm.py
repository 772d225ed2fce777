"""Batch normalisation: each channel brought to mean 0 and variance 1, then scaled and shifted by learned numbers."""


def batch_norm_forward(
    x, gamma, beta, moving_mean=None, moving_variance=None, *, training=True, momentum=0.99, epsilon=1e-3
):
    """Return (y, cache); x (n, c) or (n, h, w, c); cache.moving_mean and cache.moving_variance are the updated ones."""
    raise NotImplementedError


def batch_norm_backward(dy, cache):
    """Return (dx, dgamma, dbeta)."""
    raise NotImplementedError
