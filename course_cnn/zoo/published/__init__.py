"""Figures that papers and courses print about the networks of the zoo, each with its source. Tests compare with them.

Pure Python, one file per paper. Where sources differ there are two rows and the reason.
"""

from course_cnn import _checks
from course_cnn.zoo.published import alexnet, araujo, googlenet, lenet, resnet, vgg
from course_cnn.zoo.published._figure import Figure

FIGURES = (*lenet.FIGURES, *alexnet.FIGURES, *vgg.FIGURES, *googlenet.FIGURES, *resnet.FIGURES, *araujo.FIGURES)

__all__ = ["FIGURES", "Figure", "figure"]


def figure(key):
    """Look up one published figure.

    Args:
        key: str, "network/what", such as "lenet5-1998/params".

    Returns:
        `Figure(key, value, what, source)`.

    Raises:
        ValueError: there is no such key.

    Example:
        >>> figure("lenet5-1998/params").value
        61706
    """
    for found in FIGURES:
        if found.key == key:
            return found
    _checks.choice("figure", "key", key, tuple(found.key for found in FIGURES))
