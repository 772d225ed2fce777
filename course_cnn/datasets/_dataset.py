"""What every data set is once loaded, and the error for when its files cannot be had."""

from dataclasses import dataclass

import numpy as np


class DataError(RuntimeError):
    """The data cannot be had on this machine now: no network, a damaged file, a full disk. The message says what to do.

    A bad argument is a `ValueError` instead, as everywhere in `course_cnn`.
    """


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Images with labels, split once and for all into a training and a test part.

    Attributes:
        name: str, what `load` was asked for.
        x_train, x_test: float32 arrays (n, h, w, c), values in [0, 1]; c is 1 (grey) or 3 (red, green, blue). Or, as
            `transfer.cache_features` makes them of images, (n, features), any values.
        y_train, y_test: int64 arrays (n,), the class of each image: an index into `class_names`.
        class_names: tuple of str.
        source: str, where the images come from, the paper to cite, and the licence.
        boxes_train, boxes_test: int64 arrays (n, 4), one box (row0, col0, row1, col1) per image, in pixels, row1 and
            col1 excluded, so that `x[row0:row1, col0:col1]` cuts the object out. None where the set has no boxes.
        masks_train, masks_test: bool arrays (n, h, w), True on the object. None where the set has no masks.

    Example:
        >>> from course_cnn import datasets
        >>> datasets.load("digits")
        Dataset('digits': 1347 train + 450 test images of 8×8×1, 10 classes)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    boxes_train: np.ndarray | None = None
    boxes_test: np.ndarray | None = None
    masks_train: np.ndarray | None = None
    masks_test: np.ndarray | None = None

    def __repr__(self):
        extras = [word for word in ("boxes", "masks") if getattr(self, f"{word}_train") is not None]
        shape = "×".join(str(extent) for extent in self.x_train.shape[1:])
        what = f"rows of {shape} features" if self.x_train.ndim == 2 else f"images of {shape}"
        parts = [
            f"{len(self.x_train)} train + {len(self.x_test)} test {what}",
            f"{len(self.class_names)} classes",
            *extras,
        ]
        return f"Dataset({self.name!r}: {', '.join(parts)})"


def split(name, x, y, class_names, source):
    """Hold a quarter of the images back for testing, the same quarter every time, each class in proportion."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(len(y)), test_size=0.25, random_state=0, stratify=y)
    y = np.asarray(y, np.int64)
    return Dataset(name, x[train], y[train], x[test], y[test], class_names, source)


def resize(x, size):
    """Resize images (n, h, w, c) to (n, size, size, c): bilinear, smoothed first where that shrinks them."""
    from skimage import transform

    if x.shape[1:3] != (size, size):
        shape = (len(x), size, size, x.shape[3])
        x = transform.resize(x, shape, order=1, mode="edge", anti_aliasing=size < max(x.shape[1:3]))
    return np.clip(x, 0, 1).astype(np.float32)


def unit(x):
    """Bring bytes, 0 to 255, to float32 in [0, 1]. One division, correctly rounded: the same bits on every machine."""
    return np.divide(x, np.float32(255), dtype=np.float32)
