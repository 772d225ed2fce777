"""How wrong the scores are, as one number: the mean over the batch."""


def softmax(scores):
    """Return probabilities (n, c), rows summing to 1; safe for large scores."""
    raise NotImplementedError


def softmax_cross_entropy_forward(scores, labels):
    """Return (loss, cache); labels int (n,) or target probabilities (n, c)."""
    raise NotImplementedError


def softmax_cross_entropy_backward(dloss, cache):
    """Return dscores (n, c)."""
    raise NotImplementedError


def l2_forward(scores, targets):
    """Half the squared error, summed over c, mean over n. Returns (loss, cache)."""
    raise NotImplementedError


def l2_backward(dloss, cache):
    """Return dscores (n, c)."""
    raise NotImplementedError


def hinge_forward(scores, labels, *, margin=1.0):
    """Multiclass hinge (SVM) loss, mean over n. Returns (loss, cache)."""
    raise NotImplementedError


def hinge_backward(dloss, cache):
    """Return dscores (n, c)."""
    raise NotImplementedError
