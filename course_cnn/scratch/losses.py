"""How wrong the scores are, as one number: the mean over the batch.

A loss has two inputs and one output. `loss, cache = …_forward(scores, labels)`, then `…_backward(1.0, cache)` is the
gradient of the loss by the scores: 1.0 because the loss is where the backward pass starts.
"""

import numpy as np

from course_cnn import _checks


def softmax(scores):
    """Turn scores into probabilities: exp(s_j) / sum_k exp(s_k), along the last axis.

    Adding one number to all scores of a row changes nothing, so we take the largest off first: the largest exponent is
    then exp(0) = 1, and no score is too large.

    Args:
        scores: float array (..., c), finite.

    Returns:
        float array (..., c) like scores, in [0, 1]; rows sum to 1.

    Raises:
        ValueError: scores are not floating-point numbers, not finite, or there are none.

    Example:
        >>> softmax(np.array([1.0, 2.0, 3.0])).round(6)
        array([0.090031, 0.244728, 0.665241])

    Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990, section 2.
    """
    if not getattr(scores, "shape", ()) or scores.shape[-1] == 0:
        raise _checks.argument_error(
            "softmax", "`scores` must be an array (..., c) with c >= 1", "Pass for example np.array([1.0, 2.0, 3.0])",
            **{"scores.shape": getattr(scores, "shape", type(scores).__name__)},
        )  # fmt: skip
    _checks.floating("softmax", scores=scores)
    _checks.finite("softmax", scores=scores)
    return np.exp(_log_softmax(scores))


def _log_softmax(scores):
    """Logarithm of the softmax, without the detour: a probability too small for a float still has a logarithm."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_cross_entropy_forward(scores, labels):
    """Softmax, then cross-entropy: minus the logarithm of the probability given to the right class.

    Args:
        scores: float array (n, c), finite.
        labels: int array (n,) of classes in [0, c), or target probabilities, float array (n, c), rows summing to 1.

    Returns:
        (loss, cache): number of the dtype of scores, in nats, mean over n; and what the backward function needs.

    Raises:
        ValueError: shapes disagree, labels out of range or not integers, targets outside [0, 1] or not summing to 1,
            scores not finite, or an empty batch.

    Example:
        >>> loss, cache = softmax_cross_entropy_forward(np.array([[1.0, 2.0, 3.0]]), np.array([2]))
        >>> round(float(loss), 4)       # -ln 0.6652
        0.4076

    Same number as the mean of `tf.nn.sparse_softmax_cross_entropy_with_logits`.
    Source: Goodfellow et al., "Deep Learning", 2016, section 6.2.2.3.
    """
    name = "softmax_cross_entropy_forward"
    _check_scores(name, scores)
    targets = _one_hot(name, scores, labels) if getattr(labels, "ndim", 1) == 1 else labels
    _check_probabilities(name, scores, targets)
    log_p = _log_softmax(scores)
    return -(targets * log_p).sum() / scores.dtype.type(len(scores)), (np.exp(log_p), targets)


def softmax_cross_entropy_backward(dloss, cache):
    """Return what softmax said minus what was right: (softmax(s) - t) / n.

    Args:
        dloss: number, gradient by the loss; 1.0 where the backward pass starts.
        cache: what `softmax_cross_entropy_forward` returned beside the loss.

    Returns:
        dscores (n, c); its rows sum to 0.

    Example:
        >>> loss, cache = softmax_cross_entropy_forward(np.array([[1.0, 2.0, 3.0]]), np.array([2]))
        >>> softmax_cross_entropy_backward(1.0, cache).round(4)
        array([[ 0.09 , 0.2447, -0.3348]])
    """
    probabilities, targets = cache
    return _scale("softmax_cross_entropy_backward", dloss, probabilities) * (probabilities - targets)


def l2_forward(scores, targets):
    """Half the squared distance between scores and targets, summed over c, mean over n.

    The half is there for the derivative: without it the gradient would be 2 (s - t).

    Args:
        scores: float array (n, c), finite.
        targets: float array (n, c), dtype of scores. For classes, one-hot rows: `np.eye(c)[labels]`.

    Returns:
        (loss, cache): number of the dtype of scores, and what `l2_backward` needs.

    Raises:
        ValueError: shapes or dtypes disagree, numbers not finite, or an empty batch.

    Example:
        >>> loss, cache = l2_forward(np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 0.0, 1.0]]))
        >>> float(loss)                 # (1 + 4 + 4) / 2
        4.5

    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, section 3.1.
    """
    _check_scores("l2_forward", scores)
    _check_targets("l2_forward", scores, targets)
    difference = scores - targets
    return (difference**2).sum() / scores.dtype.type(2 * len(scores)), difference


def l2_backward(dloss, cache):
    """Return what the scores were minus what was right: (s - t) / n.

    Args:
        dloss: number, gradient by the loss; 1.0 where the backward pass starts.
        cache: what `l2_forward` returned beside the loss.

    Returns:
        dscores (n, c).

    Example:
        >>> loss, cache = l2_forward(np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 0.0, 1.0]]))
        >>> l2_backward(1.0, cache)
        array([[1., 2., 2.]])
    """
    return _scale("l2_backward", dloss, cache) * cache


def hinge_forward(scores, labels, *, margin=1.0):
    """Multiclass SVM loss: every wrong class pays for what it lacks to be `margin` below the right one.

    One row costs the sum over j != y of max(0, s_j - s_y + margin).

    Args:
        scores: float array (n, c), finite.
        labels: int array (n,) of classes in [0, c).
        margin: number > 0, in units of score.

    Returns:
        (loss, cache): number of the dtype of scores, mean over n; and what `hinge_backward` needs.

    Raises:
        ValueError: shapes disagree, labels out of range or not integers, scores not finite, margin not positive, or an
            empty batch.

    Example:
        >>> loss, cache = hinge_forward(np.array([[3.2, 5.1, -1.7]]), np.array([0]))
        >>> round(float(loss), 4)       # max(0, 5.1 - 3.2 + 1) + max(0, -1.7 - 3.2 + 1)
        2.9

    Keras's CategoricalHinge is another loss: it charges the worst wrong class only, and takes its score for 0 where it
    is negative: max(0, max(0, max_j s_j) - s_y + 1).
    Source: Weston & Watkins, "Support vector machines for multi-class pattern recognition", 1999, section 2.
    """
    name = "hinge_forward"
    _check_scores(name, scores)
    margin = _checks.positive(name, "margin", margin, 1.0)
    right = _one_hot(name, scores, labels)
    lacking = scores - (scores * right).sum(axis=1, keepdims=True) + margin
    lacking = np.maximum(lacking, 0) * (1 - right)
    return lacking.sum() / scores.dtype.type(len(scores)), ((lacking > 0).astype(scores.dtype), right)


def hinge_backward(dloss, cache):
    """Push down every wrong class that pays, and the right class up by as many. A class exactly at the margin pays 0.

    Args:
        dloss: number, gradient by the loss; 1.0 where the backward pass starts.
        cache: what `hinge_forward` returned beside the loss.

    Returns:
        dscores (n, c); its rows sum to 0.

    Example:
        >>> loss, cache = hinge_forward(np.array([[3.2, 5.1, -1.7]]), np.array([0]))
        >>> hinge_backward(1.0, cache)
        array([[-1., 1., 0.]])
    """
    paying, right = cache
    return _scale("hinge_backward", dloss, right) * (paying - right * paying.sum(axis=1, keepdims=True))


def _one_hot(function, scores, labels):
    """Rows of zeros with a 1 at the right class, in the dtype of the scores."""
    _checks.labels(function, "labels", labels, *scores.shape)
    return np.eye(scores.shape[1], dtype=scores.dtype)[labels]


def _scale(function, dloss, like):
    """dloss / n, in the dtype of the scores: a float64 number would make float32 gradients float64."""
    if np.ndim(dloss) != 0:
        raise _checks.argument_error(
            function, "`dloss` must be one number, as the loss is", "Use dloss=1.0", **{"dloss.shape": np.shape(dloss)}
        )
    return like.dtype.type(dloss) / like.dtype.type(len(like))


def _check_scores(function, scores):
    _checks.rank(function, "scores", scores, "(n, c)")
    _checks.floating(function, scores=scores)
    if 0 in scores.shape:
        raise _checks.argument_error(
            function, "the mean over an empty batch is not defined", "Pass scores (n, c) with n >= 1 and c >= 1",
            **{"scores.shape": scores.shape},
        )  # fmt: skip
    _checks.finite(function, scores=scores)


def _check_targets(function, scores, targets, name="targets"):
    classes = scores.shape[1]
    if getattr(targets, "shape", None) != scores.shape:
        raise _checks.argument_error(
            function, f"`{name}` must have the shape of `scores`",
            f"For classes, use one-hot rows: np.eye({classes}, dtype='{scores.dtype.name}')[{name}]",
            **{f"{name}.shape": getattr(targets, "shape", type(targets).__name__), "scores.shape": scores.shape},
        )  # fmt: skip
    _checks.floating(function, scores=scores, **{name: targets})
    _checks.finite(function, **{name: targets})


def _check_probabilities(function, scores, labels):
    _check_targets(function, scores, labels, "labels")
    sums = labels.sum(axis=1)
    if labels.min() < 0 or abs(sums - 1).max() > 1e-4:
        raise _checks.argument_error(
            function, "target probabilities must lie in [0, 1] and each row must sum to 1",
            "Divide amounts >= 0 by their sum: labels / labels.sum(axis=1, keepdims=True)",
            smallest=float(labels.min()), largest=float(labels.max()),
            row_sums=(float(sums.min()), float(sums.max())),
        )  # fmt: skip
