"""Cached features against the model called directly; then everything that can go wrong with files, done for real."""

import contextlib
import dataclasses
import errno
import multiprocessing
import os
import re
import resource
import shutil
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from course_cnn import augment, datasets, training
from course_cnn._tensorflow import tf
from course_cnn.transfer import FeatureExtractor, cache, cache_features

# isort: split
import keras
import savedmodels
from keras import layers

RNG = np.random.default_rng(0)
IMAGES = RNG.random((23, 8, 8, 1), "float32")


def small(n_train=16, seed=None):
    """A set of 23 images, 7 of them for testing, and no two rows alike."""
    x = IMAGES if seed is None else np.random.default_rng(seed).random(IMAGES.shape, "float32")
    y = np.arange(len(x)) % 3
    return datasets.Dataset("small", x[:n_train], y[:n_train], x[n_train:], y[n_train:], ("a", "b", "c"), "drawn")


def network(*front, features=5, seed=0, **settings):
    """A small extractor with weights that follow from the seed, whatever Keras calls its layers."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)), *front, layers.Conv2D(features, 3, **settings), layers.BatchNormalization(),
            layers.Dropout(0.5), layers.GlobalAveragePooling2D(),
        ]
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(w.dtype) for w in model.weights])
    return model


class Counting(layers.Layer):
    """Counts the images that pass; forgets to be fast when told so."""

    images, seconds = 0, 0.0

    def call(self, x):
        if x.shape[0]:  # not while Keras only works out shapes
            Counting.images += x.shape[0]
            time.sleep(Counting.seconds)
        return x


@pytest.fixture(autouse=True)
def _count():
    Counting.images, Counting.seconds = 0, 0.0


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_features(got, model, dataset):
    """The features are those of the model called on all images at once, in their order, beside their labels."""
    assert isinstance(got, datasets.Dataset)
    for split in ("train", "test"):
        want = keras.ops.convert_to_numpy(model(getattr(dataset, f"x_{split}"), training=False))
        x = getattr(got, f"x_{split}")
        assert (x.dtype, x.shape) == (np.float32, want.shape)
        np.testing.assert_allclose(x, want, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(getattr(got, f"y_{split}"), getattr(dataset, f"y_{split}"))


# What is returned, and what is computed for it


def test_features_are_those_of_the_model(tmp_path):
    model, dataset = network(), small()
    got = cache_features(model, dataset, tmp_path, batch_size=5)
    assert_features(got, model, dataset)
    assert (got.name, got.class_names, got.source) == (dataset.name, dataset.class_names, dataset.source)
    assert repr(got) == "Dataset('small': 16 train + 7 test rows of 5 features, 3 classes)"


def test_computed_once_and_read_back_bit_for_bit(tmp_path):
    model, dataset = network(Counting()), small()
    first = cache_features(model, dataset, tmp_path)
    everything, Counting.images = Counting.images, 0
    second = cache_features(model, dataset, str(tmp_path), batch_size=4)
    assert (everything, Counting.images) == (2 * 8 + 23, 2 * 8)  # only the sample, twice
    assert first.x_train.tobytes() == second.x_train.tobytes()
    assert first.x_test.tobytes() == second.x_test.tobytes()
    assert len(entries(tmp_path)) == 1


def test_labels_boxes_and_masks_are_those_of_the_data_set_given(tmp_path):
    shapes = datasets.load("shapes", n_train=12, n_test=5)
    pixels = keras.Sequential([keras.Input((32, 32, 3)), layers.AveragePooling2D(8), layers.Flatten()])
    cache_features(pixels, shapes, tmp_path)
    other = dataclasses.replace(shapes, y_train=shapes.y_train[::-1])
    got = cache_features(pixels, other, tmp_path)
    assert got.y_train is other.y_train
    assert got.boxes_train is shapes.boxes_train
    assert got.masks_test is shapes.masks_test
    assert len(entries(tmp_path)) == 1  # labels are not part of the key
    assert repr(got) == "Dataset('shapes': 12 train + 5 test rows of 48 features, 12 classes, boxes, masks)"


def test_no_test_images(tmp_path):
    for _ in range(2):
        got = cache_features(network(), small(n_train=23), tmp_path)
        assert (got.x_train.shape, got.x_test.shape) == ((23, 5), (0, 5))


def test_a_model_that_is_not_built_yet(tmp_path):
    model = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    assert_features(cache_features(model, small(), tmp_path), model, small())


def test_half_precision_gives_float32(tmp_path):
    model = network(dtype="mixed_float16")
    got = cache_features(model, small(), tmp_path)
    np.testing.assert_allclose(got.x_test, network()(small().x_test), rtol=5e-3)
    assert got.x_train.dtype == np.float32


def test_a_folder_is_made_and_serves_several(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for seed in range(3):
        model = network(seed=seed)
        assert_features(cache_features(model, small(), "~/a/b"), model, small())
    assert len(entries(tmp_path / "a" / "b")) == 3


def test_progress_is_told(tmp_path, monkeypatch):
    told = []

    @contextlib.contextmanager
    def progress(verbose):
        yield (lambda share, text: told.append((share, text))) if verbose else None

    monkeypatch.setattr(cache._progress, "progress", progress)
    cache_features(network(), small(), tmp_path, batch_size=10, verbose=True)
    assert told[0] == (10 / 23, "features of 10/23 images")
    assert told[-1] == (1.0, "features of 23/23 images")
    cache_features(network(seed=1), small(), tmp_path, verbose=False)
    assert len(told) == 3


# The key


def one_bit(model):
    """Change the last bit of one weight."""
    weights = model.get_weights()
    weights[0].reshape(-1).view(np.uint32)[3] ^= 1
    model.set_weights(weights)
    return model


def moving_mean(model):
    model.layers[-3].moving_mean.assign_add(np.ones(5))
    return model


def adapted(x):
    layer = layers.Normalization(axis=None)
    layer.adapt(x)
    return layer


CHANGES = {
    "weight": (lambda: one_bit(network()), small),
    "moving mean": (lambda: moving_mean(network()), small),
    "scale": (lambda: network(layers.Rescaling(2.0)), small),
    "other scale": (lambda: network(layers.Rescaling(2.1)), small),
    "size": (lambda: network(layers.Resizing(10, 10)), small),
    "interpolation": (lambda: network(layers.Resizing(10, 10, interpolation="nearest")), small),
    "normalization": (lambda: network(adapted(IMAGES)), small),
    "other normalization": (lambda: network(adapted(IMAGES[:5])), small),
    "activation": (lambda: network(activation="relu"), small),
    "dtype": (lambda: network(dtype="mixed_float16"), small),
    "images": (network, lambda: small(seed=1)),
    "one pixel": (network, lambda: edited(one_pixel)),
    "order": (network, lambda: edited(lambda x: x[::-1].copy())),
    "float64": (network, lambda: edited(lambda x: x.astype("float64"))),
    "split": (network, lambda: small(n_train=15)),
    "fewer": (network, lambda: dataclasses.replace(small(), x_test=small().x_test[:3], y_test=small().y_test[:3])),
}


def edited(change):
    dataset = small()
    return dataclasses.replace(dataset, x_train=change(dataset.x_train), x_test=change(dataset.x_test))


def one_pixel(x):
    x = x.copy()
    x[-1, 3, 3, 0] = np.nextafter(x[-1, 3, 3, 0], np.float32(2))
    return x


@pytest.fixture(scope="module")
def everything_cached(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached")
    cache_features(network(), small(), folder)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_features_changes_the_key(everything_cached, change):
    make_model, make_data = CHANGES[change]
    model, dataset, before = make_model(), make_data(), entries(everything_cached)
    features = cache_features(model, dataset, everything_cached)
    if dataset.x_train.dtype == np.float32 and change != "dtype":
        assert_features(features, model, dataset)
    assert len(entries(everything_cached)) == len(before) + 1


def functional(seed=0):
    """Two branches, an operation, a model inside a model: names in many places."""
    inputs = keras.Input((8, 8, 1))
    one, other = layers.Conv2D(3, 3)(inputs), layers.Conv2D(3, 3, activation="relu")(inputs)
    inside = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="dense_of_mine")])
    model = keras.Model(inputs, inside(keras.ops.mean(layers.Subtract()([one, other]), axis=(1, 2))))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model


@pytest.mark.parametrize("build", [network, functional])
def test_what_does_not_change_features_leaves_the_key(tmp_path, build):
    cache_features(build(), small(), tmp_path)
    network(), functional()
    again = build()  # with other names: conv2d_7 for conv2d
    again.compile("adam", "mse")
    again.layers[1].trainable = False
    first = again.layers[1].name
    assert re.search(r"_\d+$", first)
    cache_features(again, small(), tmp_path)
    assert len(entries(tmp_path)) == 1


def test_connections_belong_to_the_key():
    def model(swapped):
        inputs = keras.Input((8, 8, 1))
        pair = [layers.Conv2D(2, 3, kernel_initializer="ones")(inputs), layers.Conv2D(2, 3)(inputs)]
        return keras.Model(inputs, layers.Flatten()(layers.Subtract()(pair[::-1] if swapped else pair)))

    one, same, other = (cache._description(model(swapped)) for swapped in (False, False, True))
    assert one == same != other


def test_sums_tell_arrays_of_the_same_bytes_apart():
    arrays = [np.zeros(4, "float32"), np.zeros(4, "int32"), np.zeros(2, "float64"), np.zeros((2, 2), "float32")]
    assert len({cache._sum(array) for array in arrays}) == 4
    assert cache._sum(IMAGES[:, ::-1]) == cache._sum(IMAGES[:, ::-1].copy()) != cache._sum(IMAGES)


def test_a_name_of_ones_own_stays_a_name():
    described = cache._description(functional())
    assert "dense_of_mine" in described
    assert not re.search(r"\"(conv2d|sequential|functional|subtract|mean|input_layer)(_\d+)?\"", described)


def test_code_of_ones_own_layer_belongs_to_the_key(tmp_path, monkeypatch):
    cache_features(network(Counting()), small(), tmp_path)
    monkeypatch.setattr(cache.inspect, "getsource", lambda _: "def call(self, x): return x + 1e-4")
    cache_features(network(Counting()), small(), tmp_path)
    assert len(entries(tmp_path)) == 2


FACTOR = 1.0


class Scaled(layers.Layer):
    """What no key can see: a number from outside."""

    def call(self, x):
        return x * FACTOR


def test_a_change_that_no_key_can_see_is_found_in_the_features(tmp_path, monkeypatch):
    model = network(Scaled())
    before = cache_features(model, small(), tmp_path)
    monkeypatch.setattr(__import__("sys").modules[__name__], "FACTOR", 3.0)
    after = cache_features(model, small(), tmp_path)
    assert_features(after, model, small())
    assert not np.allclose(before.x_train, after.x_train)
    assert_features(cache_features(model, small(), tmp_path), model, small())
    assert len(entries(tmp_path)) == 1


# Feature extractors


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(folder of a SavedModel, the network it was made from, a folder that holds its features)."""
    folder = tmp_path_factory.mktemp("saved")
    model = savedmodels.hub_format(folder / "model")
    cache_features(FeatureExtractor(folder / "model"), small(), folder / "cached")
    return SimpleNamespace(handle=str(folder / "model"), model=model, cached=folder / "cached")


def was_read(extractor, saved, monkeypatch):
    """Whether these features were there; they are right in any case."""
    with monkeypatch.context() as patch:
        computed = []
        patch.setattr(cache, "_compute", lambda *args, compute=cache._compute: computed.append(1) or compute(*args))
        assert_features(cache_features(extractor, small(), saved.cached), extractor, small())
    return not computed


def test_features_of_an_extractor_are_those_of_its_network(saved, monkeypatch):
    extractor = FeatureExtractor(saved.handle)
    got = cache_features(extractor, small(), saved.cached)
    want = saved.model(np.repeat(small().x_test, 3, axis=3), training=False)
    np.testing.assert_allclose(got.x_test, want, rtol=1e-5, atol=1e-6)
    assert was_read(extractor, saved, monkeypatch)


@pytest.mark.parametrize(
    "change", [{"input_range": (0, 2)}, {"value_range": (-1, 1)}, {"dtype": "mixed_float16"}], ids=str
)
def test_preprocessing_of_an_extractor_belongs_to_the_key(saved, monkeypatch, change):
    changed = FeatureExtractor(saved.handle, **change)
    assert [was_read(changed, saved, monkeypatch) for _ in range(2)] == [False, True]


def test_an_extractor_is_known_by_its_content(saved, monkeypatch, tmp_path):
    shutil.copytree(saved.handle, tmp_path / "moved")
    assert was_read(FeatureExtractor(tmp_path / "moved", name="mine"), saved, monkeypatch)
    savedmodels.hub_format(tmp_path / "other", seed=1)
    assert not was_read(FeatureExtractor(tmp_path / "other"), saved, monkeypatch)


def test_a_fine_tuned_extractor_has_features_of_its_own(saved, monkeypatch):
    extractor = FeatureExtractor(saved.handle, trainable=True)
    assert was_read(extractor, saved, monkeypatch)  # it is still the one that was saved
    model = keras.Sequential([keras.Input((8, 8, 1)), extractor, layers.Dense(3)])
    training.fit(model, small(), epochs=1, validation=None)
    assert [was_read(extractor, saved, monkeypatch) for _ in range(2)] == [False, True]
    assert was_read(FeatureExtractor(saved.handle), saved, monkeypatch)  # nor are the old ones lost


def test_an_extractor_inside_a_model(saved, monkeypatch):
    def model(scale):
        body = FeatureExtractor(saved.handle, input_range=(0, 2))
        return keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(scale), body])

    assert [was_read(model(scale), saved, monkeypatch) for scale in (2.0, 2.0, 1.5)] == [False, True, False]
    changed = model(2.0)
    weights = changed.layers[-1].weights[0]
    weights.assign(weights + 0.01)
    assert not was_read(changed, saved, monkeypatch)
    with monkeypatch.context() as patch:  # the library has learned to treat images better
        patch.setattr("course_cnn.transfer.extractor.PREPROCESSING", 1000)
        assert not was_read(model(2.0), saved, monkeypatch)
    shaken = keras.Sequential([keras.Input((8, 8, 1)), layers.RandomFlip(), FeatureExtractor(saved.handle)])
    with pytest.raises(ValueError, match="augmentation cannot come before cached features"):
        cache_features(shaken, small(), saved.cached)


class Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


@pytest.mark.slow
def test_a_head_learns_the_same_from_cached_features_in_a_twentieth_of_the_time(tmp_path):
    """Per epoch, without the first, in which TensorFlow builds its graphs. Measured on 2 cores: 50 times and more.

    The time of a cached epoch is Keras's and TensorFlow's own, 1 to 2 ms per step; the head's arithmetic is next to
    nothing. So the ratio grows with the batch, and with the cost of the extractor for one image.
    """
    digits, extractor = datasets.load("digits"), FeatureExtractor("bundled")
    cached = cache_features(extractor, digits, tmp_path)
    settings = {"batch_size": 64, "learning_rate": 0.05, "validation": None, "seed": 0}
    fastest, evaluations = [], []
    for dataset, body in ((digits, [extractor]), (cached, [])):
        training.seed_everything(0)
        model = keras.Sequential([keras.Input(dataset.x_train.shape[1:]), *body, layers.Dense(10)])
        clock = Clock()
        training.fit(model, dataset, epochs=4, callbacks=[clock], **settings)
        evaluations.append(training.evaluate(model, dataset.x_test, dataset.y_test))
        fastest.append(min(clock.seconds[1:]))
    again = Clock()  # short epochs need more tries to meet one in which nothing else happens on this machine
    training.fit(model, cached, epochs=20, callbacks=[again], **settings)
    assert fastest[0] > 20 * min(fastest[1], *again.seconds[1:]), (fastest, again.seconds)
    through, from_cache = evaluations
    assert from_cache.accuracy == pytest.approx(through.accuracy, abs=0.005)
    assert from_cache.accuracy > 0.75


# Files that are not what they should be


@pytest.fixture
def entry(tmp_path):
    """(model, data, path, features): one entry in tmp_path."""
    model = network(Counting())
    features = cache_features(model, small(), tmp_path)
    (path,) = tmp_path.iterdir()
    Counting.images = 0
    return SimpleNamespace(model=model, path=path, features=features, folder=tmp_path)


def assert_recomputed(entry):
    Counting.images = 0
    got = cache_features(entry.model, small(), entry.folder)
    assert Counting.images == 2 * 8 + 23, "was read, not computed"
    assert got.x_train.tobytes() == entry.features.x_train.tobytes()
    assert got.x_test.tobytes() == entry.features.x_test.tobytes()
    assert entries(entry.folder) == [entry.path.name]
    Counting.images = 0
    cache_features(entry.model, small(), entry.folder)
    assert Counting.images == 2 * 8, "was not mended"


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, -1])
def test_truncated(entry, keep):
    data = entry.path.read_bytes()
    entry.path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    assert_recomputed(entry)


def flip(path, data, place):
    broken = bytearray(data)
    broken[place] ^= 1 << place % 8
    path.write_bytes(broken)


def test_any_flipped_bit_is_found_or_does_no_harm(entry):
    """Every third byte of the file in turn. Some belong to dates and flags that no reader looks at."""
    data, key, found = entry.path.read_bytes(), key_of(entry), 0
    places = range(0, len(data), 3)
    for place in places:
        flip(entry.path, data, place)
        got = cache._read(entry.path, key)
        found += got is None
        if got is not None:
            assert got["train"].tobytes() == entry.features.x_train.tobytes()
            assert got["test"].tobytes() == entry.features.x_test.tobytes()
    assert found > 0.6 * len(places)
    flip(entry.path, data, data.index(entry.features.x_test.tobytes()))
    assert_recomputed(entry)


def key_of(entry):
    with np.load(entry.path) as file:
        return cache.json.loads(str(file["meta"]))["key"]


@pytest.mark.parametrize("content", [b"not a file of features", b"\x00" * 4000, b"PK\x05\x06" + b"\x00" * 18])
def test_garbage(entry, content):
    entry.path.write_bytes(content)
    assert_recomputed(entry)


@pytest.mark.parametrize("other", [lambda: network(Counting(), seed=7), lambda: one_bit(network(Counting()))])
def test_an_entry_under_the_name_of_another(entry, other):
    """The second differs too little for its features to tell."""
    other = other()
    want = cache_features(other, small(), entry.folder)
    (path,) = (path for path in entry.folder.iterdir() if path != entry.path)
    shutil.copy(entry.path, path)
    Counting.images = 0
    got = cache_features(other, small(), entry.folder)
    assert Counting.images == 2 * 8 + 23
    assert got.x_train.tobytes() == want.x_train.tobytes()


def test_features_of_others_under_a_right_key(entry):
    with np.load(entry.path) as file:
        meta = file["meta"]
    train = entry.features.x_train.copy()
    train[[1, 2]] = train[[2, 1]]  # which are not among the few that are computed anew
    np.savez(entry.path, meta=meta, train=train, test=entry.features.x_test)
    assert_recomputed(entry)


def test_right_sums_but_wrong_features(entry):
    """As after a change of what the library computes."""
    features = {"train": 1.1 * entry.features.x_train, "test": 1.1 * entry.features.x_test}
    cache._write(entry.path, key_of(entry), features)
    assert_recomputed(entry)
    cache._write(entry.path, key_of(entry), {name: rows[:, :4] for name, rows in features.items()})
    assert_recomputed(entry)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a file must not run code",))


def test_a_file_runs_no_code(entry):
    with np.load(entry.path) as file:
        meta = file["meta"]
    np.savez(entry.path, meta=meta, train=np.array([Bomb()], object), test=entry.features.x_test)
    assert_recomputed(entry)


def test_leftovers_are_swept_once_they_are_old(entry):
    old, young, foreign = (entry.folder / f"{name}.part" for name in ("features-1.npz.a", "features-2.npz.b", "mine"))
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (time.time() - 4000,) * 2)
    cache_features(entry.model, small(), entry.folder)
    assert entries(entry.folder) == sorted([entry.path.name, young.name, foreign.name])


# Disks that are full, or read-only


def full(stream, **_):
    stream.write(b"x" * 100)
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_while_writing(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cache.np, "savez", full)
        with pytest.raises(datasets.DataError, match=r"no room for 0\.0 MB\. Free that much space, or pass another"):
            cache_features(network(), small(), tmp_path)
        assert entries(tmp_path) == []
    assert_features(cache_features(network(), small(), tmp_path), network(), small())  # the remedy: now there is room


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=23 * 5 * 4 - 1))
    with pytest.raises(datasets.DataError, match="no room"):
        cache_features(network(Counting()), small(), tmp_path)
    assert Counting.images == 2 * 8
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=23 * 5 * 4))
    cache_features(network(), small(), tmp_path)


def refused(*args, **kwargs):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_folder_that_may_not_be_written_to(entry, monkeypatch, tmp_path):
    monkeypatch.setattr(cache.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(cache.tempfile, "mkstemp", refused)
    with pytest.raises(datasets.DataError, match=r"may not be written to\. Make it writable, or pass another folder"):
        cache_features(network(seed=3), small(), entry.folder)
    got = cache_features(entry.model, small(), entry.folder)  # what is there can be read
    assert got.x_train.tobytes() == entry.features.x_train.tobytes()


def test_a_folder_in_the_place_of_the_file(entry):
    entry.path.unlink()
    (entry.path / "inside").mkdir(parents=True)
    with pytest.raises(datasets.DataError, match="Mend that"):
        cache_features(entry.model, small(), entry.folder)
    assert entries(entry.folder) == [entry.path.name]
    shutil.rmtree(entry.path)
    assert_recomputed(entry)


def test_a_file_in_the_place_of_a_folder_above(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(datasets.DataError, match=r"Not a directory\. Mend that, or pass another folder"):
        cache_features(network(), small(), tmp_path / "file" / "folder")
    with pytest.raises(ValueError, match="there is a file of that name"):
        cache_features(network(), small(), tmp_path / "file")


# Other processes, and signals


@pytest.fixture(scope="module")
def processes():
    """Start functions of this file in processes of their own, forked from one that has only imported the library."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["course_cnn.transfer.cache"])
    return context


def child(folder, seconds, events, where="computing", n=4):
    """Cache features slowly, in batches of n images or, at the end, stuck in the middle of writing."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
    if where == "writing":
        savez = np.savez

        def stuck(stream, **arrays):
            stream.write(b"half a file")
            stream.flush()
            events.put("started")
            time.sleep(seconds)
            stream.seek(0)
            savez(stream, **arrays)

        cache.np.savez = stuck
    else:
        compute = cache._compute

        def slow(*args):
            Counting.seconds = seconds
            events.put("started")
            return compute(*args)

        cache._compute = slow
    features = cache_features(network(Counting()), small(), folder, batch_size=n)
    events.put(features.x_train.tobytes() + features.x_test.tobytes())


def limited(folder, events):
    """Try it where no file may be longer than 500 bytes, as on a disk that fills up; then without the limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
    try:
        cache_features(network(), small(), folder)
    except datasets.DataError as error:
        events.put((str(error), entries(folder)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    cache_features(network(), small(), folder)
    events.put(entries(folder))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["computing", "writing"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL", "SIGTERM"])
def test_interrupted(tmp_path, processes, name, where):
    events = processes.Queue()
    process = processes.Process(target=child, args=(tmp_path, 30, events, where))
    process.start()
    assert events.get(timeout=60) == "started"
    time.sleep(0.1)  # into the sleep
    os.kill(process.pid, getattr(signal, name))
    process.join(10)
    assert process.exitcode not in (0, None)
    left = entries(tmp_path)
    if name == "SIGINT" or where == "computing":
        assert left == []
    else:  # nobody can clean up after a kill: the next ones do not use it, and remove it when it is old
        assert [path.endswith(".part") for path in left] == [True]
        os.utime(tmp_path / left[0], (time.time() - 4000,) * 2)
    model = network(Counting())
    assert_features(cache_features(model, small(), tmp_path), model, small())
    assert len(entries(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("where", ["computing", "writing"])
def test_two_processes_at_once(tmp_path, processes, where):
    events = processes.Queue()
    pair = [processes.Process(target=child, args=(tmp_path, 0.5, events, where)) for _ in range(2)]
    for process in pair:
        process.start()
    got = [events.get(timeout=60) for _ in range(4)]
    for process in pair:
        process.join(10)
    assert got[:2] == ["started"] * 2, "they did not overlap"
    mine = cache_features(network(Counting()), small(), tmp_path, batch_size=4)
    assert got[2] == got[3] == mine.x_train.tobytes() + mine.x_test.tobytes()
    assert Counting.images == 2 * 8
    assert len(entries(tmp_path)) == 1


@pytest.mark.slow
def test_a_real_limit_on_the_size_of_files(tmp_path, processes):
    events = processes.Queue()
    process = processes.Process(target=limited, args=(tmp_path, events))
    process.start()
    message, left = events.get(timeout=60)
    assert re.search(r"cannot keep the features in .*: there is no room for", message)
    assert left == []
    assert len(events.get(timeout=60)) == 1
    process.join(10)
    assert process.exitcode == 0


# Augmentation


def own_noise():
    class Shake(layers.Layer):
        def __init__(self):
            super().__init__()
            self.draws = keras.random.SeedGenerator(0)

        def call(self, x, training=False):
            return x + keras.random.normal(x.shape, seed=self.draws) if training else x

    return Shake()


AUGMENTING = {
    "Augmenter": lambda: augment.build(mirror=True),
    "empty Augmenter": augment.build,
    "RandomFlip": lambda: layers.RandomFlip(),
    "RandomTranslation": lambda: layers.RandomTranslation(0.1, 0.1),
    "RandomCrop": lambda: layers.RandomCrop(8, 8),
    "course's RandomCrop": lambda: augment.RandomCrop(6),
    "RandomColorShift": lambda: augment.RandomColorShift(0.1),
    "GaussianNoise": lambda: layers.GaussianNoise(0.1),
    "RandAugment": lambda: layers.RandAugment(value_range=(0, 1)),
    "MixUp": lambda: layers.MixUp(),
    "in a model": lambda: keras.Sequential([keras.Input((8, 8, 1)), layers.RandomRotation(0.1)]),
    "own": own_noise,
}


@pytest.mark.parametrize("kind", AUGMENTING)
def test_augmentation_before_caching_is_refused(tmp_path, kind):
    model = keras.Sequential([AUGMENTING[kind](), layers.Flatten()])
    with pytest.raises(ValueError, match=r"every epoch would see the same images \(layer='") as caught:
        cache_features(model, small(), tmp_path)
    assert "augment.offline(dataset, augmenter, copies=4)" in str(caught.value)
    assert entries(tmp_path) == []


def test_the_remedies_for_augmentation(tmp_path):
    augmenter, model = augment.build(mirror=True), network()
    larger = augment.offline(small(), augmenter, copies=4)
    got = cache_features(model, larger, tmp_path)
    assert got.x_train.shape == (5 * 16, 5)
    assert_features(got, model, larger)
    classifier = keras.Sequential([model, layers.Dense(3)])
    assert training.fit(classifier, small(), epochs=1, augment=augmenter).epochs == 1


def test_units_dropped_in_training_are_no_augmentation(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)), layers.SpatialDropout2D(0.5), layers.Reshape((64, 1)), layers.AlphaDropout(0.3),
            layers.LSTM(3, dropout=0.2), layers.GaussianDropout(0.1),
        ]
    )  # fmt: skip
    assert_features(cache_features(model, small(), tmp_path), model, small())


class AlwaysOn(layers.Dropout):
    def call(self, x, training=False):
        return super().call(x, training=True)


def test_dropout_left_on_is_found(tmp_path):
    model = network(AlwaysOn(0.5))
    with pytest.raises(ValueError, match=r"twice the same call gave different ones .*largest difference"):
        cache_features(model, small(), tmp_path)


@pytest.mark.parametrize("kind", ["tf.data", "online", "PyDataset"])
def test_a_pipeline_is_refused(tmp_path, kind):
    x, y = small().x_train, small().y_train
    pipeline = {
        "tf.data": lambda: tf.data.Dataset.from_tensor_slices((x, y)).batch(4),
        "online": lambda: augment.online(x, y, augment.build(mirror=True)),
        "PyDataset": keras.utils.PyDataset,
    }[kind]()
    with pytest.raises(ValueError, match=r"a pipeline draws its batches anew each epoch.*Pass the Dataset that"):
        cache_features(network(), pipeline, tmp_path)


# Bad arguments


@pytest.mark.parametrize(
    "extractor",
    ["bundled", None, lambda x: x, tf.Module()],
    ids=["handle", "none", "function", "as a hub.KerasLayer, no layer of Keras 3"],
)
def test_no_extractor(tmp_path, extractor):
    with pytest.raises(ValueError, match=r'`extractor` must be .*Make one: transfer\.FeatureExtractor\("bundled"\)'):
        cache_features(extractor, small(), tmp_path)


def test_lambda_is_refused(tmp_path):
    model = network(layers.Lambda(lambda x: 2 * x, name="twice"))
    with pytest.raises(ValueError, match=r"must not have a Lambda layer.*\(layer='twice'\)\. Use a layer such as Resc"):
        cache_features(model, small(), tmp_path)
    cache_features(network(layers.Rescaling(2.0)), small(), tmp_path)


class Secretive(keras.Model):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.made_of = factor, object()

    def call(self, x):
        return self.factor * keras.ops.mean(x, axis=(1, 2))

    def get_config(self):
        return {"made_of": self.made_of}


class Silent(Secretive):
    def get_config(self):
        raise NotImplementedError("no settings")


@pytest.mark.filterwarnings("ignore:The object being serialized includes unsupported type")
@pytest.mark.parametrize("kind", [Silent, Secretive])
def test_settings_that_cannot_be_told(tmp_path, kind):
    with pytest.raises(ValueError, match=r"must be able to tell its settings.*\(extractor=.*or give it a get_config"):
        cache_features(kind(2.0), small(), tmp_path)


def test_outputs_of_the_wrong_shape(tmp_path):
    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match=r"End it with Flatten or GlobalAveragePooling2D.*\(output=\(8, 6, 6, 2\)\)|x"):
        cache_features(keras.Model(inputs, layers.Conv2D(2, 3)(inputs)), small(), tmp_path)
    flat = layers.Flatten()(inputs)
    with pytest.raises(ValueError, match="make a model with one"):
        cache_features(keras.Model(inputs, [flat, flat]), small(), tmp_path)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_features_that_are_not_finite(tmp_path):
    dataset = small()
    dataset.x_train[7, 0, 0, 0] = np.nan
    try:
        with pytest.raises(ValueError, match=r"features of x_train. must hold finite numbers, and 5 of 80"):
            cache_features(network(), dataset, tmp_path)
    finally:
        dataset.x_train[7, 0, 0, 0] = 0.5
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    "dataset, says",
    [
        (None, "must be a Dataset .*Pass what datasets.load returns"),
        (SimpleNamespace(x_train=IMAGES), "must be a Dataset"),
        (dataclasses.replace(small(), x_train=np.zeros((3, 8, 8, 1), np.uint8)), "floating-point"),
        (dataclasses.replace(small(), x_train=IMAGES[:0]), "must have training images"),
        (dataclasses.replace(small(), x_test=IMAGES[:3, :4]), "test images .if any. of their size"),
    ],
)
def test_bad_data(tmp_path, dataset, says):
    with pytest.raises(ValueError, match=f"cache_features: .*{says}"):
        cache_features(network(), dataset, tmp_path)


@pytest.mark.parametrize("folder", [None, "", 3, small()])
def test_bad_folder(folder):
    with pytest.raises(ValueError, match=r'must name a folder .*Use for example folder="features"'):
        cache_features(network(), small(), folder)


def test_bad_batch_size(tmp_path):
    with pytest.raises(ValueError, match="`batch_size` must be an integer >= 1"):
        cache_features(network(), small(), tmp_path, batch_size=0)
