"""Images to learn from: `load(name)` gives a `Dataset`, `names()` lists what there is.

`digits`, `faces`, `photos` and `shapes` need no network, ever. `mnist`, `fashion_mnist`, `cifar10` and `flowers` are
fetched once, checked by sha256, and kept where Keras keeps them. Nothing here imports TensorFlow.
"""

import difflib
import inspect
from dataclasses import dataclass

from course_cnn import _checks
from course_cnn.datasets import _downloads, _drawn, _embedded, _fetch
from course_cnn.datasets._dataset import DataError, Dataset

__all__ = ["DataError", "Dataset", "Status", "load", "names", "status"]

_LOADERS = {
    "digits": _embedded.load_digits,
    "faces": _embedded.load_faces,
    "photos": _embedded.load_photos,
    "shapes": _drawn.load_shapes,
    "mnist": _downloads.load_mnist,
    "fashion_mnist": _downloads.load_fashion_mnist,
    "cifar10": _downloads.load_cifar10,
    "flowers": _downloads.load_flowers,
}


def names():
    """List the data sets: first those that need no network, then those that are downloaded once.

    Example:
        >>> from course_cnn import datasets
        >>> datasets.names()
        ('digits', 'faces', 'photos', 'shapes', 'mnist', 'fashion_mnist', 'cifar10', 'flowers')
    """
    return tuple(_LOADERS)


def load(name, **options):
    """Load a data set: float32 images (n, h, w, c) in [0, 1] and int64 labels (n,), split into train and test.

    Without a network:

    - `digits`: 1,797 real handwritten digits, (size, size, 1). Option `size=8` pixels: 8 is as recorded, any other is
      resized (bilinear, smoothed first when shrinking). A quarter is held back for testing, in equal shares per class.
    - `faces`: 100 faces and 100 pieces of background, (size, size, 1). Option `size=25`, resized likewise. A quarter is
      held back.
    - `photos`: twelve photographs, one a class, cut square, (size, size, 3). Option `size=256`, resized likewise. For
      looking at, not for learning: there is nothing to hold back, and `x_test` is empty, (0, size, size, 3).
    - `shapes`: twelve kinds of shapes, drawn in colour on a noisy background, (size, size, 3), with `boxes` and
      `masks`. Options `n_train=2000`, `n_test=500`, `seed=0`, `size=32` (16 or more). One seed and size give the same
      bytes on every machine; `x_train` does not depend on `n_test`.

    Downloaded once (the published split; float32 images, so mnist takes 220 MB of memory, cifar10 740 MB):

    - `mnist`: 60,000 + 10,000 digits, (28, 28, 1), 11 MB to download.
    - `fashion_mnist`: 60,000 + 10,000 articles of clothing, (28, 28, 1), 31 MB.
    - `cifar10`: 50,000 + 10,000 photographs of ten classes, (32, 32, 3), 170 MB.
    - `flowers`: 3,670 photographs of five flowers, cut square, (size, size, 3), 229 MB; 720 MB of memory at the default
      `size=128`, four times that at 256. A quarter is held back.

    These are looked for in the folder or on the server (`http://…`) that the environment variable `COURSE_CNN_DATA`
    names, then in Keras's cache (`$KERAS_HOME/datasets` or `~/.keras/datasets`), then fetched from the address Keras
    uses into that cache. The folder or server holds the files under their published names: `mnist.npz`,
    `train-images-idx3-ubyte.gz` and its three companions (there, or in `fashion-mnist/`), `cifar-10-python.tar.gz`,
    `flower_photos.tgz`. Every file is checked by its sha256; a damaged one is never used. The one exception is your own
    `mnist.npz` or `cifar10.npz` in a folder (not on a server), with uint8 `x_train`, `x_test` and integer `y_train`,
    `y_test`: no sum can be known for it, so shapes, dtypes and ranges are checked, and `source` says so. On Debian and
    Ubuntu, `apt install dataset-fashion-mnist` and `COURSE_CNN_DATA=/usr/share/datasets` give `fashion_mnist`.

    Args:
        name: str, one of `names()`.
        **options: the options named above, for the sets that have them.

    Returns:
        `Dataset`; see there for its attributes. `source` holds the paper and the licence of each set.

    Raises:
        ValueError: there is no such set, or it has no such option, or the option's value will not do.
        DataError: the files cannot be had: no network and no copy, a damaged file, a full or read-only disk.

    Example:
        >>> from course_cnn import datasets
        >>> digits = datasets.load("digits", size=28)
        >>> digits.x_train.shape, digits.y_test.shape, digits.class_names[7]
        ((1347, 28, 28, 1), (450,), '7')
        >>> shapes = datasets.load("shapes", n_train=24, n_test=12, size=64)
        >>> row0, col0, row1, col1 = shapes.boxes_train[0]
        >>> bool(shapes.masks_train[0, row0:row1, col0:col1].sum() == shapes.masks_train[0].sum())
        True
    """
    if name not in names():
        near = difflib.get_close_matches(str(name).lower().replace("-", "_"), names(), n=1)
        listed = ", ".join(map(repr, names()))
        remedy = f"Use name={near[0]!r}" if near else f"Use for example name={names()[0]!r}"
        raise _checks.argument_error("load", f"`name` must be one of {listed}", remedy, name=name)
    loader = _LOADERS[name]
    takes = tuple(inspect.signature(loader).parameters)
    for option, value in options.items():
        if option not in takes:
            rule = f"{name!r} takes {' and '.join(f'`{t}`' for t in takes) or 'no options'}, not `{option}`"
            raise _checks.argument_error("load", rule, f"Leave `{option}` out", **{option: value})
    return loader(**options)


@dataclass(frozen=True)
class Status:
    """Whether a data set can be loaded without a network.

    Attributes:
        name: str, as in `names()`.
        state: "embedded" (always there), "here" (on this disk, whole) or "missing".
        where: str, the library or folder it is in; for a missing one, where it would come from, or what is wrong.
        size: int, bytes still to download.
    """

    name: str
    state: str
    where: str
    size: int


def status():
    """Tell for each data set whether it is here, without touching the network: a list of `Status`.

    Files are checked by their sha256, as `load` does, which takes a second where all are here.

    Example:
        >>> from course_cnn import datasets
        >>> datasets.status()[0]
        Status(name='digits', state='embedded', where='scikit-learn', size=0)
    """
    origin = {"digits": "scikit-learn", "faces": "scikit-image", "photos": "scikit-image", "shapes": "course_cnn"}
    return [Status(name, "embedded", origin[name], 0) for name in origin] + [
        _downloaded_status(name) for name in names() if name not in origin
    ]


def _downloaded_status(name):
    files = _downloads.FILES[name]
    try:
        folder = _fetch.own_folder()
        if _downloads.read_own(name):
            return Status(name, "here", str(folder), 0)
        found = {file: _fetch.own_path(file) or _fetch.cached_path(file)[0] for file in files}
    except DataError as error:
        return Status(name, "missing", str(error).removeprefix("load: "), sum(file.size for file in files))
    if all(found.values()):
        return Status(name, "here", str(found[files[0]].parent), 0)
    source = _fetch.own_server() or files[0].url.rpartition("/")[0]
    return Status(name, "missing", source, sum(file.size for file, path in found.items() if path is None))
