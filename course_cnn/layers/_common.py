"""What several layers share: the shape of a batch of images, checked."""

from course_cnn import _checks


def image_shape(function, shape):
    """Return the shape (n, h, w, c) of a batch of images as a tuple, or raise."""
    shape = tuple(shape)
    if len(shape) != 4:
        raise _checks.argument_error(
            function, "the input must have 4 axes (n, h, w, c)",
            "Reshape it: x[None] makes one image a batch of one, x[..., None] adds the channel axis of grey images",
            **{"input.shape": shape},
        )  # fmt: skip
    return shape
