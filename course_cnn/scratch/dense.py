"""The dense layer: every output looks at every input."""


def dense_forward(x, kernel, bias=None):
    """y = x @ kernel + bias; x (n, d_in), kernel (d_in, d_out). Returns (y, cache)."""
    raise NotImplementedError


def dense_backward(dy, cache):
    """Return (dx, dkernel, dbias)."""
    raise NotImplementedError
