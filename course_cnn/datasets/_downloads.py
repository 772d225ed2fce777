"""The sets everybody compares with: MNIST, Fashion-MNIST, CIFAR-10, flowers. Fetched once, then read from disk."""

import gzip
import io
import pathlib
import pickle
import re
import tarfile
import zipfile
import zlib

import numpy as np

from course_cnn import _checks
from course_cnn.datasets import _fetch
from course_cnn.datasets._dataset import DataError, Dataset, split, unit

KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def _fashion(name, size, sha256, contents):
    return _fetch.File(f"fashion-mnist/{name}", (f"fashion-mnist/{name}",), KERAS + name, size, sha256, contents)


# Sums and sizes: Keras 3 source (mnist, cifar10); TensorFlow Datasets, url_checksums/fashion_mnist.txt and
# tf_flowers.txt (the others). The sums of the unpacked Fashion-MNIST files are those of Debian's package
# dataset-fashion-mnist: put back under its published gzip header, t10k-labels has the published sum again.
FILES = {
    "mnist": (
        _fetch.File(
            "mnist.npz", ("mnist.npz",), KERAS + "mnist.npz", 11_490_434,
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ),
    ),
    "fashion_mnist": (
        _fashion(
            "train-images-idx3-ubyte.gz", 26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        _fashion(
            "train-labels-idx1-ubyte.gz", 29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        _fashion(
            "t10k-images-idx3-ubyte.gz", 4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        _fashion(
            "t10k-labels-idx1-ubyte.gz", 5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "cifar10": (
        _fetch.File(
            "cifar-10-python.tar.gz",
            ("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz", "cifar-10-python.tar.gz"),
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", 170_498_071,
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
    "flowers": (
        _fetch.File(
            "flower_photos.tgz",
            ("flower_photos_archive", "flower_photos.tgz_archive", "flower_photos.tgz", "flower_photos.tar.gz"),
            "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz", 228_813_984,
            "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
        ),
    ),
}  # fmt: skip

OWN_SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}  # of the sets that may come as one's own `{name}.npz`

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "flowers": ("daisy", "dandelion", "roses", "sunflowers", "tulips"),
}  # fmt: skip

SOURCES = {
    "mnist": (
        "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, 'Gradient-Based Learning Applied to Document Recognition', "
        "Proceedings of the IEEE, 1998. Copyright Yann LeCun and Corinna Cortes. Licence: CC BY-SA 3.0."
    ),
    "fashion_mnist": (
        "H. Xiao, K. Rasul and R. Vollgraf, 'Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning "
        "Algorithms', arXiv:1708.07747, 2017. Copyright Zalando SE. Licence: MIT."
    ),
    "cifar10": (
        "A. Krizhevsky, 'Learning Multiple Layers of Features from Tiny Images', University of Toronto, 2009. "
        "Licence: no terms stated; its page asks to cite this report."
    ),
    "flowers": (
        "The TensorFlow team, 'Flowers', 2019: photographs from Flickr. Licence: CC BY 2.0; the archive's LICENSE.txt "
        "credits each photographer."
    ),
}


def load_mnist():
    """Load MNIST, (n, 28, 28, 1). See `datasets.load`."""
    own = read_own("mnist")
    if own:
        return _dataset("mnist", *own)
    return _dataset("mnist", *_read_npz(_fetch.fetch("mnist", FILES["mnist"][0])))


def load_fashion_mnist():
    """Load Fashion-MNIST, (n, 28, 28, 1). See `datasets.load`."""
    parts = [_read_idx(_fetch.fetch("fashion_mnist", file)) for file in FILES["fashion_mnist"]]
    return _dataset("fashion_mnist", *parts)


def load_cifar10():
    """Load CIFAR-10, (n, 32, 32, 3). See `datasets.load`."""
    own = read_own("cifar10")
    if own:
        return _dataset("cifar10", *own)
    with tarfile.open(_fetch.fetch("cifar10", FILES["cifar10"][0])) as tar:
        train = [_read_batch(tar, f"data_batch_{k}") for k in range(1, 6)]
        x_test, y_test = _read_batch(tar, "test_batch")
    x_train, y_train = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return _dataset("cifar10", x_train, y_train, x_test, y_test)


def load_flowers(*, size=128):
    """Load photographs of five flowers, cut square, (n, size, size, 3), a quarter held back. See `datasets.load`."""
    size = _checks.integer("load", "size", size, minimum=1)
    photos = []
    with tarfile.open(_fetch.fetch("flowers", FILES["flowers"][0])) as tar:
        for member in tar:  # one pass, in memory: nothing is unpacked to disk
            match = re.fullmatch(r"flower_photos/(\w+)/[^/]+\.jpg", member.name)
            if match and member.isfile() and match[1] in CLASS_NAMES["flowers"]:
                photos.append((member.name, match[1], _decode(tar.extractfile(member).read(), size)))
    photos.sort(key=lambda photo: photo[0])  # the split must not depend on the order of the archive
    y = [CLASS_NAMES["flowers"].index(label) for _, label, _ in photos]
    x = unit(np.stack([image for _, _, image in photos]))
    return split("flowers", x, y, CLASS_NAMES["flowers"], SOURCES["flowers"])


def _dataset(name, x_train, y_train, x_test, y_test, source=None):
    """Bytes and labels as published, to float images with a channel axis and int64 labels."""
    x_train, x_test = (x if x.ndim == 4 else x[..., None] for x in (x_train, x_test))
    y_train, y_test = (y.astype(np.int64).reshape(-1) for y in (y_train, y_test))
    source = source or SOURCES[name]
    return Dataset(name, unit(x_train), y_train, unit(x_test), y_test, CLASS_NAMES[name], source)


def _read_npz(path):
    with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return tuple(arrays[key] for key in ("x_train", "y_train", "x_test", "y_test"))


def read_own(name):
    """Read and check `{name}.npz` in the folder of `COURSE_CNN_DATA`: (x_train, y_train, x_test, y_test, source).

    Such arrays have been packed by somebody else, so no sum is known for them: shapes, dtypes and ranges are checked
    instead, and `source` says so. None where there is no such file, or where the folder holds the published one.
    """
    folder = _fetch.own_folder()
    if not folder or name not in OWN_SHAPES:
        return None
    path, file = folder / f"{name}.npz", FILES[name][0]
    if not path.is_file() or _fetch.intact(path, file) or (path.name != file.name and _fetch.own_path(file)):
        return None
    try:
        arrays = _read_npz(path)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"load: {path} cannot be read, it may be half-written or damaged ({error}). Write it again with "
            f"np.savez({path.name!r}, x_train=…, y_train=…, x_test=…, y_test=…), or move it away."
        ) from error
    for part, x, y in (("train", *arrays[:2]), ("test", *arrays[2:])):
        problem = _misfit(part, x, y, OWN_SHAPES[name])
        if problem:
            found = f"x_{part}: {x.dtype} {x.shape}, y_{part}: {y.dtype} {y.shape}"
            raise DataError(
                f"load: {path} does not hold {name!r}: {problem} ({found}). Write it again, or move it away."
            )
    note = f" From {path}, which is not a published file: only its shapes, dtypes and ranges were checked."
    return *arrays, SOURCES[name] + note


def _misfit(part, x, y, shape):
    """What is wrong with a part of somebody's own arrays of ten classes, or None."""
    if x.dtype != np.uint8 or x.shape != (len(y) if y.ndim else 0, *shape) or not x.size:
        return f"x_{part} must be uint8 (n, {', '.join(map(str, shape))}) with one image for each label"
    if y.dtype.kind not in "iu" or y.size != len(y):
        return f"y_{part} must be integers (n,)"
    if y.min() < 0 or y.max() > 9:
        return f"y_{part} must lie in 0…9, not {y.min()}…{y.max()}"
    return None


def _read_idx(path):
    """Read an IDX file: magic 00 00 08 axes, one big-endian int per axis, then the bytes. LeCun's own format."""
    raw = gzip.decompress(pathlib.Path(path).read_bytes())
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


class _ArraysOnly(pickle.Unpickler):
    """Reads the pickles of CIFAR-10, which hold arrays and plain values, and refuses to call anything else."""

    def find_class(self, module, name):
        reconstruct = np.empty(0).__reduce__()[0]
        known = {"_reconstruct": reconstruct, "ndarray": np.ndarray, "dtype": np.dtype, "encode": _encode}
        if name not in known or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"{module}.{name} has no place in CIFAR-10")
        return known[name]


def _encode(text, encoding):
    """How Python 3 writes bytes in an old pickle."""
    return text.encode(encoding)


def _read_batch(tar, name):
    """One batch of CIFAR-10: images (n, 32, 32, 3), stored channel by channel, and labels (n,)."""
    batch = _ArraysOnly(tar.extractfile(f"cifar-10-batches-py/{name}"), encoding="bytes").load()
    return batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(batch[b"labels"])


def _decode(jpeg, size):
    """Decode a photograph, cut the middle square and resize it, bilinear and smoothed: uint8 (size, size, 3)."""
    from PIL import Image, ImageOps  # scikit-image's own reader; fifteen times as fast as resizing floats

    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR))
