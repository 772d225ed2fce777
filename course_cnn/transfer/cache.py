"""Features of a frozen extractor, computed once and kept on disk: they are the same in every epoch.

An entry is one file, named by its key: a sha256 over all that decides what is in it, that is the extractor's graph,
weights and preprocessing, and the images. It is written beside its place, and takes its name in one step when it is
whole; on reading, its key and the sums of its arrays must be right. So a reader meets a whole entry or none, whoever
was interrupted, and however many processes use the folder.
"""

import contextlib
import dataclasses
import errno
import hashlib
import inspect
import json
import os
import pathlib
import re
import shutil
import tempfile
import time

import numpy as np

from course_cnn import _checks, _progress
from course_cnn._tensorflow import tf
from course_cnn.augment import Augmenter
from course_cnn.datasets import DataError, Dataset

# isort: split
import keras

FORMAT = 1  # of the files; part of the key
SPLITS = ("train", "test")


def cache_features(extractor, dataset, folder, *, batch_size=64, verbose=None):
    """Compute the features of all images with a frozen extractor, or read them if they have been computed before.

    A head trained on them learns the same as one trained through the extractor, in a fraction of the time: one pass
    over the images is paid for, then an epoch costs 1 to 2 ms per step, nearly all of it Keras's own. With batches of
    64 that is a fiftieth of an epoch through the bundled extractor (2 cores), or less; smaller batches gain less.

    What lies in the folder is used only if it was made by this extractor, with its present weights and its
    preprocessing, from these images, and if it is undamaged; the features of a few images are computed anew each time,
    and compared. Otherwise everything is computed and the file replaced. Any file there may be deleted at any time.

    Args:
        extractor: `FeatureExtractor`, or another Keras layer or model that gives (n, features). It is called with
            training=False. What stands before the backbone in a model (resizing, scaling) belongs to the key.
        dataset: `datasets.Dataset`, images as the extractor takes them.
        folder: str or path, made if it is not there. One folder serves any number of extractors and data sets, and
            several processes at a time.
        batch_size: int >= 1, images per step; changes the memory needed, and the features in their last digits.
        verbose: True for a progress bar, False for silence, None for a bar where somebody watches.

    Returns:
        `datasets.Dataset`, the given one with float32 arrays (n, features) in place of the images, each row at the
        place of its image. Labels, boxes and masks are those of `dataset`.

    Raises:
        ValueError: `dataset` is a pipeline, or the extractor changes images at random (augmentation: see the message
            for what to do instead), has a Lambda layer, or does not give one row of finite features for each image.
        DataError: the folder cannot be written to, or the disk is full. Nothing half-written is left.

    Example:
        >>> import tempfile
        >>> from course_cnn import datasets
        >>> digits = datasets.load("digits")
        >>> extractor = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(2),
        ...                               keras.layers.Flatten()])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache_features(extractor, digits, folder)
        Dataset('digits': 1347 train + 450 test rows of 16 features, 10 classes)

    Source: Donahue et al., "DeCAF: a deep convolutional activation feature for generic visual recognition", 2014,
    section 3 (features of a fixed network as the input of simple classifiers).
    """
    batch_size = _checks.integer("cache_features", "batch_size", batch_size, minimum=1)
    _check_dataset(dataset)
    _check_extractor(extractor)
    folder = _folder(folder)
    images = {"train": dataset.x_train, "test": dataset.x_test}
    sample = _sample(extractor, images)  # before the key: a model may get its weights at its first call
    key = _key(extractor, images)
    path = folder / f"features-{key[:16]}.npz"
    _sweep(folder)
    features = _read(path, key)
    if features is None or not _agree(features, images, sample):
        _prepare(folder, 4 * sample.shape[1] * sum(map(len, images.values())))
        features = _compute(extractor, images, batch_size, verbose)
        _write(path, key, features)
    return dataclasses.replace(dataset, x_train=features["train"], x_test=features["test"])


def _compute(extractor, images, batch_size, verbose):
    """Return {"train": float32 (n, features), "test": …}."""
    total, done, features = sum(map(len, images.values())), 0, {}
    with _progress.progress(verbose) as show:
        for split, x in images.items():
            parts = []
            for first in range(0, len(x), batch_size):
                parts.append(_rows(extractor, x[first : first + batch_size]))
                done += len(parts[-1])
                if show:
                    show(done / total, f"features of {done}/{total} images")
            features[split] = np.concatenate(parts) if parts else None
    if features["test"] is None:
        features["test"] = np.empty((0, features["train"].shape[1]), "float32")
    _checks.finite("cache_features", **{f"features of x_{split}": rows for split, rows in features.items()})
    return features


def _rows(extractor, x):
    """The features of a few images, float32 (n, features)."""
    y = extractor(x, training=False)
    if len(getattr(y, "shape", ())) != 2:
        raise _checks.argument_error(
            "cache_features", "`extractor` must give one row of features per image, (n, features)",
            "End it with Flatten or GlobalAveragePooling2D; of several outputs, make a model with one",
            output=tuple(y.shape) if hasattr(y, "shape") else type(y).__name__,
        )  # fmt: skip
    return keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))


def _places(x):
    """Up to four places spread over the images."""
    return np.linspace(0, len(x) - 1, min(len(x), 4)).astype(int)


def _sample(extractor, images):
    """Return the features of a few images; raise if they come out differently a second time."""
    few = np.concatenate([x[_places(x)] for x in images.values()])
    first, second = _rows(extractor, few), _rows(extractor, few)
    if not np.allclose(first, second, rtol=1e-4, atol=1e-4 * np.abs(first).max(), equal_nan=True):
        raise _checks.argument_error(
            "cache_features", "`extractor` must give the same features for the same images, and twice the same call "
            "gave different ones", "Take out of it what is random with training=False",
            **{"largest difference": float(np.abs(first - second).max())},
        )  # fmt: skip
    return first


def _agree(features, images, sample):
    """Whether stored features are those of the sample, up to rounding: other batches, another device, half precision.

    The key should see to that. This finds what no key can see, such as a layer whose code reads a global variable.
    """
    if any(features[split].shape != (len(x), sample.shape[1]) for split, x in images.items()):
        return False
    stored = np.concatenate([features[split][_places(x)] for split, x in images.items()])
    return bool(np.abs(stored - sample).max() <= 0.01 * np.abs(sample).max())  # False for NaN


def _key(extractor, images):
    """sha256 of what decides about the features: the extractor as it is now, and the images."""
    if hasattr(extractor, "fingerprint"):
        made_by = [extractor.fingerprint(), extractor.compute_dtype]
    else:
        made_by = [_description(extractor), *(_sum(weight.numpy()) for weight in extractor.weights)]
        for layer in extractor._flatten_layers():
            if hasattr(layer, "fingerprint"):
                made_by.append(layer.fingerprint())
            elif type(layer).__module__.split(".")[0] not in ("keras", "course_cnn"):
                with contextlib.suppress(OSError, TypeError):  # typed into a plain Python prompt: no source
                    made_by.append(inspect.getsource(type(layer)))
    entries = [FORMAT, *made_by, *(_sum(x) for x in images.values())]
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _sum(array):
    """sha256 of an array: its shape, dtype and bytes."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} ".encode())
    digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _description(extractor):
    """The layers, their settings and connections as text, the same each time the same code builds them."""
    try:
        config = keras.saving.serialize_keras_object(extractor)
        automatic = {}
        _find_automatic_names(config, automatic)
        return json.dumps(_neutral(config, automatic), sort_keys=True)
    except (NotImplementedError, TypeError) as error:  # a class without get_config; one with odd contents
        raise _checks.argument_error(
            "cache_features", "`extractor` must be able to tell its settings, or nobody could see that they changed "
            f"({error})", "Build it from Keras layers (Sequential or functional), or give it a get_config",
            extractor=type(extractor).__name__,
        ) from error  # fmt: skip


def _find_automatic_names(config, found):
    """Number the names that Keras made up: conv2d_7 in one run is conv2d in the next."""
    if isinstance(config, dict):
        inside = config.get("config")
        if "class_name" in config and isinstance(inside, dict) and isinstance(inside.get("name"), str):
            bare = re.sub(r"_\d+$", "", inside["name"]).replace("_", "")
            if bare == config["class_name"].lower().replace("_", ""):
                found.setdefault(inside["name"], f"#{len(found)}")
        config = config.values()
    if not isinstance(config, str) and hasattr(config, "__iter__"):
        for part in config:
            _find_automatic_names(part, found)


def _neutral(config, automatic, named=False):
    """The config without what does not change features: made-up names, whether and how the layers are trained."""
    if isinstance(config, dict):
        return {
            key: _neutral(part, automatic, key in ("name", "keras_history", "input_layers", "output_layers"))
            for key, part in config.items()
            if key not in ("trainable", "compile_config")
        }
    if isinstance(config, (list, tuple)):
        return [_neutral(part, automatic, named) for part in config]
    return automatic.get(config, config) if named and isinstance(config, str) else config


def _read(path, key):
    """Return the features stored at `path`, or None if there are none, or not those of this key, or damaged ones."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            features = {split: file[split] for split in SPLITS}
        whole = meta["key"] == key and meta["sums"] == {split: _sum(rows) for split, rows in features.items()}
        return features if whole else None
    except Exception:  # a damaged file breaks its reader in a hundred ways; all of them mean: compute anew
        return None


def _write(path, key, features):
    """Write beside the place, then take it in one step. Whatever happens, no part of it stays behind."""
    meta = json.dumps({"format": FORMAT, "key": key, "sums": {split: _sum(rows) for split, rows in features.items()}})
    part = None
    try:
        handle, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, meta=np.array(meta), **features)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise _disk_error(error, path.parent, sum(rows.nbytes for rows in features.values())) from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part)


def _prepare(folder, size):
    """Make the folder; raise if `size` bytes cannot be written there. Now, not after the features are computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _disk_error(error, folder, size) from error


def _disk_error(error, folder, size):
    """The `DataError` for an `OSError` of this machine's own disk."""
    problem, remedy = _checks.disk_problem(error, f"there is no room for {size / 1e6:,.1f} MB")
    return DataError(
        f"cache_features: cannot keep the features in {folder}: {problem}. {remedy}, or pass another folder."
    )


def _sweep(folder):
    """Remove what killed processes left: parts that nobody has written to for an hour."""
    for part in folder.glob("features-*.npz.*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - 3600:
                part.unlink()


def _folder(folder):
    """Return `folder` as a path, or raise if it cannot be one."""
    if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
        raise _checks.argument_error(
            "cache_features", "`folder` must name a folder", 'Use for example folder="features"', folder=folder
        )
    path = pathlib.Path(folder).expanduser()
    if path.exists() and not path.is_dir():
        raise _checks.argument_error(
            "cache_features", "`folder` must be a folder, and there is a file of that name", "Choose another name",
            folder=str(folder),
        )  # fmt: skip
    return path


def _check_dataset(dataset):
    """Raise unless `dataset` is a Dataset of images that are there, all of them, unchanging."""
    if isinstance(dataset, (tf.data.Dataset, keras.utils.PyDataset)):
        raise _checks.argument_error(
            "cache_features", "`dataset` must be a Dataset; a pipeline draws its batches anew each epoch, in another "
            "order and with other augmentation, and features computed once would be those of one epoch only",
            "Pass the Dataset that the pipeline was made of; for augmented images, enlarge it first: "
            "augment.offline(dataset, augmenter, copies=4)",
            **{"type(dataset)": type(dataset).__name__},
        )  # fmt: skip
    if not isinstance(dataset, Dataset):
        raise _checks.argument_error(
            "cache_features", "`dataset` must be a Dataset", "Pass what datasets.load returns, or a "
            "dataclasses.replace of it", **{"type(dataset)": type(dataset).__name__},
        )  # fmt: skip
    _checks.floating("cache_features", x_train=dataset.x_train, x_test=dataset.x_test)
    if not len(dataset.x_train) or dataset.x_train.shape[1:] != dataset.x_test.shape[1:]:
        raise _checks.argument_error(
            "cache_features", "`dataset` must have training images, and test images (if any) of their size",
            "Pass what datasets.load returns",
            **{"x_train.shape": dataset.x_train.shape, "x_test.shape": dataset.x_test.shape},
        )  # fmt: skip


def _check_extractor(extractor):
    """Raise unless `extractor` is a Keras layer that does nothing at random, and whose settings can be told."""
    if not isinstance(extractor, keras.layers.Layer):
        raise _checks.argument_error(
            "cache_features", "`extractor` must be a FeatureExtractor, or another Keras 3 layer or model",
            'Make one: transfer.FeatureExtractor("bundled"), with a SavedModel folder or an address in its place for '
            "another model", extractor=extractor,
        )  # fmt: skip
    for layer in extractor._flatten_layers():
        if _augments(layer):
            raise _checks.argument_error(
                "cache_features", "augmentation cannot come before cached features: they are computed once, so every "
                "epoch would see the same images", "Take the layer out and cache the plain images; or make changed "
                "copies first and cache those: augment.offline(dataset, augmenter, copies=4); or do not cache: "
                "training.fit(model, dataset, augment=augmenter)",
                layer=layer.name, **{"type(layer)": type(layer).__name__},
            )  # fmt: skip
        if isinstance(layer, keras.layers.Lambda):
            raise _checks.argument_error(
                "cache_features", "`extractor` must not have a Lambda layer: what its function does can change, and "
                "nobody could see that the features are old", "Use a layer such as Rescaling or Resizing, or one of "
                "your own with a get_config", layer=layer.name,
            )  # fmt: skip


def _augments(layer):
    """Whether this layer draws random numbers for other ends than to drop units, which is done in training only."""
    names = " ".join(kind.__name__ for kind in type(layer).__mro__)
    draws = any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())
    return isinstance(layer, Augmenter) or (draws and not re.search("Drop|StochasticDepth|Attention", names))
