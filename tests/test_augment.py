"""Augmentation: what each setting does, measured on pictures made for it; pipelines, larger data sets, saved models."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import augment, datasets
from course_cnn._tensorflow import tf

# isort: split
import keras

EVERYTHING = dict(mirror=True, crop=(14, 12), shift=0.1, rotation=20, scale=0.2, noise=0.1, color_shift=0.1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def photos(rng):
    return rng.random((40, 16, 14, 3), "float32")


def dots(n, row, column, size=41, radius=3):
    """Grey images with one smooth white dot each, and its centre, found again as the centre of mass."""
    rows, columns = np.ogrid[:size, :size]
    dot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
    return np.repeat(dot[None, :, :, None], n, axis=0).astype("float32")


def centres(images):
    images = np.asarray(images, "float64")[..., 0]
    mass = images.sum((1, 2))
    side = np.arange(images.shape[1])
    return (images.sum(2) * side).sum(1) / mass, (images.sum(1) * side).sum(1) / mass


def assert_spread_evenly(values, largest):
    """Do the values fill [-largest, largest]? With 400 even draws both outer tenths are empty one time in 10^18."""
    assert np.abs(values).max() <= largest * 1.02
    assert values.min() < -0.9 * largest
    assert values.max() > 0.9 * largest
    assert np.mean(np.abs(values) < largest / 2) == pytest.approx(0.5, abs=0.15)  # 0.15 is six standard deviations


# The colour shift


def test_the_lecture_s_pixel():
    pixel = np.array([250.0, 10.0, 240.0])
    np.testing.assert_array_equal(augment.shift_color(pixel, (20, -20, 20), value_range=(0, 255)), [255, 0, 255])
    np.testing.assert_array_equal(pixel, [250, 10, 240])


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 4), max_size=3), c=st.integers(1, 4), seed=st.integers(0, 99))
def test_shift_color_is_add_and_clip(shape, c, seed):
    rng = np.random.default_rng(seed)
    images, offsets = rng.random((*shape, c)), rng.uniform(-1, 1, c)
    want = np.stack([np.minimum(np.maximum(images[..., i] + offsets[i], 0), 1) for i in range(c)], axis=-1)
    np.testing.assert_array_equal(augment.shift_color(images, offsets), want)
    np.testing.assert_array_equal(augment.shift_color(images, list(offsets)), want)
    as_tensor = augment.shift_color(tf.constant(images), tf.constant(offsets))
    assert isinstance(as_tensor, tf.Tensor)
    np.testing.assert_allclose(as_tensor, want, rtol=1e-14)


def test_shift_color_keeps_the_dtype():
    assert augment.shift_color(np.ones((2, 3), "float32"), [0.1, 0.2, 0.3]).dtype == "float32"


def test_shift_color_refuses():
    with pytest.raises(ValueError, match=r"shift_color: `images` must hold floating-point .*astype\('float32'\)"):
        augment.shift_color(np.array([250, 10, 240], "uint8"), [20, -20, 20])
    images = np.zeros((2, 2, 3))
    for offsets in (0.1, [0.1, 0.1], np.zeros((1, 1))):
        with pytest.raises(ValueError, match=r"one number for each channel .*offsets=\[0.1, 0.1, 0.1\]"):
            augment.shift_color(images, offsets)
    augment.shift_color(images, [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match=r"`value_range` must be \(lowest, highest\)"):
        augment.shift_color(images, [0.1, 0.1, 0.1], value_range=(1, 0))


def test_each_image_and_channel_has_its_offset():
    grey = np.full((400, 2, 3, 3), 0.5, "float32")
    offsets = augment.build(color_shift=0.3)(grey, training=True).numpy() - 0.5
    np.testing.assert_array_equal(offsets, np.broadcast_to(offsets[:, :1, :1], offsets.shape))  # the same all over
    assert_spread_evenly(offsets[:, 0, 0].ravel(), 0.3)
    assert np.abs(np.corrcoef(offsets[:, 0, 0].T)[~np.eye(3, dtype=bool)]).max() < 0.25  # five standard deviations


# The geometry and the noise


def test_mirror_turns_half_of_the_images(rng):
    x = rng.random((400, 3, 4, 1), "float32")
    y = augment.build(mirror=True)(x, training=True).numpy()
    turned = (y == x[:, :, ::-1]).all((1, 2, 3))
    kept = (y == x).all((1, 2, 3))
    np.testing.assert_array_equal(turned, ~kept)
    assert turned.mean() == pytest.approx(0.5, abs=0.125)  # five standard deviations


def test_shift_is_a_fraction_of_the_side():
    y = augment.build(shift=0.2)(dots(400, 20, 20), training=True)
    for centre in centres(y):
        assert_spread_evenly(centre - 20, 0.2 * 41)


def test_rotation_is_in_degrees():
    row, column = centres(augment.build(rotation=30)(dots(400, 20, 34), training=True))
    np.testing.assert_allclose(np.hypot(row - 20, column - 20), 14, atol=0.2)  # about the centre
    assert_spread_evenly(np.degrees(np.arctan2(row - 20, column - 20)), 30)


def test_scale_is_the_share_of_the_side_that_is_shown():
    row, column = centres(augment.build(scale=0.4)(dots(400, 20, 27, radius=1.5), training=True))
    np.testing.assert_allclose(row, 20, atol=0.2)  # about the centre, and the same along both axes
    assert_spread_evenly(7 / (column - 20) - 1, 0.4)


def test_what_stands_where_nothing_was():
    white = np.ones((20, 9, 9, 1), "float32")
    assert augment.build(shift=0.5)(white, training=True).numpy().min() == 0
    for fill in ("nearest", "reflect", "wrap"):
        np.testing.assert_allclose(augment.build(shift=0.5, fill=fill)(white, training=True), 1, rtol=1e-6)


def test_noise_has_its_standard_deviation():
    grey = np.full((50, 30, 30, 1), 0.5, "float32")
    noise = augment.build(noise=0.1)(grey, training=True).numpy() - 0.5
    assert noise.std() == pytest.approx(0.1, rel=0.02)  # six standard deviations
    assert noise.mean() == pytest.approx(0, abs=0.003)
    black = augment.build(noise=0.1)(np.zeros_like(grey), training=True).numpy()
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.02)  # half of the noise is cut off


def test_crop_is_an_own_window_of_each_image(rng):
    x = rng.random((300, 7, 6, 2), "float32")
    y = augment.RandomCrop((5, 4), resize=False)(x, training=True).numpy()
    places = np.zeros((3, 3), int)
    for image, window in zip(x, y, strict=True):
        found = [p for p in np.ndindex(3, 3) if (image[p[0] : p[0] + 5, p[1] : p[1] + 4] == window).all()]
        assert len(found) == 1
        places[found[0]] += 1
    assert places.min() > 10  # 33 are expected, with a standard deviation of 5.4
    assert places.max() < 60


def test_crop_is_enlarged_or_central():
    x = np.arange(36, dtype="float32").reshape(1, 6, 6, 1) / 36
    np.testing.assert_array_equal(augment.RandomCrop(4, resize=False)(x, training=False), x[:, 1:5, 1:5])
    np.testing.assert_array_equal(augment.RandomCrop(4)(x, training=False), x)
    np.testing.assert_allclose(augment.RandomCrop(6)(x, training=True), x, rtol=1e-6)
    y = augment.build(crop=4)(x, training=True)
    assert y.shape == x.shape
    windows = [tf.image.resize(x[:, i : i + 4, j : j + 4], (6, 6)) for i in range(3) for j in range(3)]
    assert any(np.allclose(y, window, rtol=1e-5) for window in windows)


# The layer as a whole


def test_nothing_is_done_at_inference(photos):
    """Not in a plain call either, nor in that of a model around it, unlike Keras's own layers."""
    augmenter = augment.build(**EVERYTHING)
    for call in (augmenter, keras.Sequential([keras.Input(photos.shape[1:]), augmenter])):
        np.testing.assert_array_equal(call(photos), photos)
        np.testing.assert_array_equal(call(photos, training=False), photos)
        assert (call(photos, training=True).numpy() != photos).all((1, 2, 3)).all()
    plain = keras.layers.RandomRotation(0.2, seed=0)
    assert (plain(photos).numpy() != photos).any()
    np.testing.assert_array_equal(augment.build()(photos, training=True), photos)


def test_values_shape_and_input_are_kept(photos):
    before = photos.copy()
    y = augment.build(**EVERYTHING)(photos, training=True).numpy()
    np.testing.assert_array_equal(photos, before)
    assert y.dtype == "float32"
    assert y.shape == photos.shape
    assert y.min() >= 0
    assert y.max() <= 1
    assert augment.build(**EVERYTHING)(photos.astype("float64"), training=True).dtype == "float32"
    assert augment.build(mirror=True, shift=0.1)(photos[:2, :9, :8], training=True).shape == (2, 9, 8, 3)


def test_repeatable_by_seed(photos):
    one, same, other = (augment.build(**EVERYTHING, seed=seed) for seed in (1, 1, 2))
    first = one(photos, training=True).numpy()
    np.testing.assert_array_equal(first, same(photos, training=True))
    assert (first != other(photos, training=True).numpy()).any()
    assert (first != one(photos, training=True).numpy()).any()  # the next draw
    together, alone = augment.build(mirror=True, noise=0.1), augment.build(noise=0.1)
    symmetric = np.full((2, 4, 4, 1), 0.5, "float32")  # one setting does not change the draws of another
    np.testing.assert_array_equal(together(symmetric, training=True), alone(symmetric, training=True))


@pytest.mark.parametrize("name", ["mirror", "crop", "shift", "rotation", "scale", "noise", "color_shift"])
def test_every_call_draws_anew(name, photos):
    augmenter = augment.build(**{name: EVERYTHING[name]})
    assert (augmenter(photos, training=True).numpy() != augmenter(photos, training=True).numpy()).any()
    seeds = [int(state[0]) for state in augment.build(**EVERYTHING).non_trainable_variables]
    assert len(set(seeds)) == 7  # a seed of its own for each setting


@pytest.mark.parametrize("online", [False, True])
def test_the_settings_draw_independently(online):
    """One seed shared by all layers would tie the shift to the colour."""
    x = np.repeat(dots(400, 20, 20) * 0.5 + 0.2, 3, axis=-1)
    augmenter = augment.build(shift=0.2, color_shift=0.1, fill="nearest")
    if online:
        y, _ = epoch(augment.online(x, np.arange(400), augmenter, batch_size=400))
    else:
        y = augmenter(x, training=True).numpy()
    places = centres(y[..., :1] - y[..., :1].min((1, 2), keepdims=True))
    offsets = y[:, 0, 0]
    for place in places:
        for offset in (*offsets.T, offsets.ravel()[:400]):  # the last one: the draws in the order in which they fell
            assert abs(np.corrcoef(place, offset)[0, 1]) < 0.25  # five standard deviations


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize("settings", [EVERYTHING, dict(mirror=True)])
def test_saved_inside_a_model(settings, photos, tmp_path):
    model = keras.Sequential(
        [keras.Input(photos.shape[1:]), augment.build(**settings), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(photos), model(photos))
    np.testing.assert_array_equal(loaded(photos, training=True), model(photos, training=True))
    again = augment.Augmenter.from_config(model.layers[0].get_config())
    assert [type(one) for one in again.layers] == [type(one) for one in model.layers[0].layers]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_a_net_for_the_smaller_window_is_saved_and_trained(photos, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((16, 14, 3)), augment.RandomCrop((12, 10), resize=False), augment.RandomColorShift(0.1),
            keras.layers.Flatten(), keras.layers.Dense(3),
        ]
    )  # fmt: skip
    assert model.layers[2].output.shape == (None, 12 * 10 * 3)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(photos, np.arange(40) % 3)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(photos), model(photos))


@pytest.mark.parametrize("name", ["shift", "scale", "noise", "color_shift"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, True, "0.1", float("nan"), None])
def test_fractions_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"build: `{name}` must be a number from 0 to below 1 .*{name}=0.5"):
        augment.build(**{name: value})
    augment.build(**{name: 0.5})


@pytest.mark.parametrize(
    "setting, remedy",
    [
        (dict(rotation=181), dict(rotation=15)), (dict(rotation=-1), dict(rotation=15)),
        (dict(rotation=True), dict(rotation=15)), (dict(rotation=float("nan")), dict(rotation=15)),
        (dict(mirror="left"), dict(mirror=False)), (dict(fill="white"), dict(fill="constant")),
        (dict(seed=-1), dict(seed=0)), (dict(seed=None), dict(seed=0)),
        (dict(crop=0), dict(crop=1)), (dict(crop=2.5), dict(crop=1)), (dict(crop=(1, 2, 3)), dict(crop=1)),
    ],
)  # fmt: skip
def test_settings_out_of_range(setting, remedy):
    (said,) = (f"{name}={value!r}" for name, value in remedy.items())
    with pytest.raises(ValueError, match=f"build: `{next(iter(setting))}` must be .*{said}"):
        augment.build(**setting)
    augment.build(**remedy)


def test_images_that_are_none(photos):
    augmenter = augment.build(mirror=True)
    with pytest.raises(ValueError, match=r"Augmenter: `images` must have 4 axes \(n, h, w, c\) .*images\[None\]"):
        augmenter(photos[0])
    with pytest.raises(ValueError, match="Augmenter: `images` must hold floating-point numbers"):
        augmenter((photos * 255).astype("uint8"))
    with pytest.raises(ValueError, match="Augmenter: `images` must hold floating-point numbers"):
        augmenter(tf.constant((photos * 255).astype("uint8")))
    for wrong in (photos * 255, photos - 0.5, np.full_like(photos, np.nan)):
        with pytest.raises(ValueError, match=r"Augmenter: `images` must hold values in \[0, 1\] .*images / 255"):
            augmenter(wrong)
    augmenter(photos * 255 / 255)


def test_windows_that_do_not_fit(photos):
    for layer in (augment.build(crop=(14, 15)), augment.RandomCrop(15)):
        with pytest.raises(ValueError, match=r"RandomCrop: the window must not be larger .*Use a window of 14 or less"):
            layer(photos)
    assert augment.build(crop=14)(photos, training=True).shape == photos.shape
    with pytest.raises(ValueError, match=r"^RandomCrop: the height and width .*must be known .*Input\(\(32, 32, 3\)\)"):
        keras.Sequential([keras.Input((None, None, 3)), augment.build(crop=5)])
    keras.Sequential([keras.Input((32, 32, 3)), augment.build(crop=5)])


# On-line


def epoch(dataset):
    images, labels = zip(*dataset, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_online_covers_every_image_and_keeps_its_label():
    """Image i is all i / 40; noise is too small to mistake one for another."""
    x = np.repeat(np.arange(40, dtype="float32") / 40, 25).reshape(40, 5, 5, 1)
    batches = augment.online(x, np.arange(40), augment.build(mirror=True, noise=0.002), batch_size=16, seed=1)
    assert [len(labels) for _, labels in batches] == [16, 16, 8]
    orders = []
    for _ in range(2):
        images, labels = epoch(batches)
        np.testing.assert_array_equal(np.sort(labels), np.arange(40))
        np.testing.assert_array_equal(np.round(images.mean((1, 2, 3)) * 40), labels)
        orders.append(labels)
    assert (orders[0] != orders[1]).any()
    assert (orders[0] != np.arange(40)).any()


def test_online_repeats_by_seed_and_changes_by_epoch(photos):
    batches, same, other = (
        augment.online(photos, np.arange(40), augment.build(**EVERYTHING), batch_size=8, seed=seed)
        for seed in (1, 1, 2)
    )
    first, second = epoch(batches), epoch(batches)
    for mine, again in ((first, epoch(same)), (second, epoch(same))):
        np.testing.assert_array_equal(mine[0], again[0])
        np.testing.assert_array_equal(mine[1], again[1])
    assert (epoch(other)[0] != first[0]).any()
    back = [np.argsort(labels) for _, labels in (first, second)]
    changes = first[0][back[0]] != second[0][back[1]]  # the same image in two epochs
    assert changes.any((1, 2, 3)).all()
    assert len({image.tobytes() for image in first[0]}) == 40


def test_online_batches_differ_among_themselves():
    grey = np.full((12, 4, 4, 1), 0.5, "float32")
    images, _ = epoch(augment.online(grey, np.arange(12), augment.build(noise=0.1), batch_size=4))
    assert len({image.tobytes() for image in images}) == 12


def test_online_leaves_the_augmenter_s_own_draws_alone(photos):
    used, fresh = augment.build(noise=0.1), augment.build(noise=0.1)
    epoch(augment.online(photos, np.arange(40), used))
    np.testing.assert_array_equal(used(photos, training=True), fresh(photos, training=True))


def test_online_trains_a_model(photos):
    losses = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input(photos.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        batches = augment.online(photos, np.arange(40) % 2, augment.build(mirror=True, noise=0.1), batch_size=8)
        losses.append(model.fit(batches, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_online_takes_any_layer_and_any_size(photos):
    images, labels = epoch(
        augment.online(photos, np.eye(40, dtype="float32"), augment.RandomCrop(10, resize=False), batch_size=16)
    )
    assert images.shape == (40, 10, 10, 3)
    assert labels.shape == (40, 40)
    flips = keras.layers.RandomFlip("vertical", seed=1)
    images, labels = epoch(augment.online(photos, np.arange(40), flips))
    back = images[np.argsort(labels)]
    turned = (back == photos[:, ::-1]).all((1, 2, 3))
    assert 0 < turned.sum() < 40
    np.testing.assert_array_equal(back[~turned], photos[~turned])


def test_online_refuses(photos):
    labels, augmenter = np.arange(40), augment.build(mirror=True)
    with pytest.raises(ValueError, match="online: `x` must hold floating-point numbers"):
        augment.online((photos * 255).astype("uint8"), labels, augmenter)
    with pytest.raises(ValueError, match=r"online: `x` must hold values in \[0, 1\] .*x / 255"):
        augment.online(photos * 255, labels, augmenter)
    with pytest.raises(ValueError, match=r"online: `x` must have 4 axes .*x\[None\]"):
        augment.online(photos[..., 0], labels, augmenter)
    for n in (39, 0):
        with pytest.raises(ValueError, match=r"`x` and `y` must have one entry per image, at least one .*x\[:100\]"):
            augment.online(photos[:n], labels, augmenter)
    with pytest.raises(ValueError, match="`x` and `y` must have one entry per image"):
        augment.online(photos[:0], labels[:0], augmenter)
    augment.online(photos[:100], labels[:100], augmenter)
    with pytest.raises(ValueError, match=r"`augmenter` must be a Keras layer .*augment.build\(mirror=True\)"):
        augment.online(photos, labels, np.fliplr)
    for wrong in (dict(batch_size=0), dict(seed=-1)):
        with pytest.raises(ValueError, match=f"online: `{next(iter(wrong))}` must be an integer"):
            augment.online(photos, labels, augmenter, **wrong)


# Off-line


@pytest.fixture(scope="module")
def shapes():
    return datasets.load("shapes", n_train=300, n_test=12, size=16)


def test_offline_adds_copies_and_repeats_labels(shapes):
    more = augment.offline(shapes, augment.build(shift=0.03, noise=0.02), copies=2, seed=5)
    assert more.x_train.shape == (900, 16, 16, 3)
    assert more.x_train.dtype == "float32"
    np.testing.assert_array_equal(more.x_train[:300], shapes.x_train)
    np.testing.assert_array_equal(more.y_train.reshape(3, 300), np.tile(shapes.y_train, (3, 1)))
    for copy in (more.x_train[300:600], more.x_train[600:]):
        assert (copy != shapes.x_train).any((1, 2, 3)).all()
        distance = np.abs(copy[:, None, ::4, ::4] - shapes.x_train[None, :, ::4, ::4]).mean((2, 3, 4))
        assert (distance.argmin(axis=1) == np.arange(300)).mean() > 0.9  # a copy is most like its original
    assert (more.x_train[300:600] != more.x_train[600:]).any((1, 2, 3)).all()
    assert more.boxes_train is None  # they would no longer fit
    assert more.masks_train is None
    for name in ("x_test", "y_test", "boxes_test", "masks_test", "class_names", "name", "source"):
        assert getattr(more, name) is getattr(shapes, name)
    assert shapes.boxes_train is not None  # the data set given is left as it was


def test_offline_repeats_by_seed(shapes):
    first, same, other = (
        augment.offline(shapes, augment.build(mirror=True, noise=0.1), copies=1, seed=seed).x_train
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_offline_refuses(shapes, monkeypatch):
    augmenter = augment.build(mirror=True)
    for copies in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"offline: `copies` must be an integer >= 1 .*copies=1"):
            augment.offline(shapes, augmenter, copies=copies)
    with pytest.raises(ValueError, match=r"more than 4 .*Use copies=4659, or online"):
        augment.offline(shapes, augmenter, copies=1_000_000)
    assert 4660 * shapes.x_train.nbytes <= augment.MAX_BYTES < 4661 * shapes.x_train.nbytes
    monkeypatch.setattr(augment, "MAX_BYTES", shapes.x_train.nbytes)
    with pytest.raises(ValueError, match=r"Use online, which stores no image"):
        augment.offline(shapes, augmenter, copies=1)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"`dataset` must be a Dataset .*datasets.load"):
        augment.offline((shapes.x_train, shapes.y_train), augmenter, copies=1)
    with pytest.raises(ValueError, match=r"offline: `x_train` must hold values in \[0, 1\] .*x_train / 255"):
        augment.offline(dataclasses.replace(shapes, x_train=shapes.x_train * 255), augmenter, copies=1)
    with pytest.raises(ValueError, match=r"keep the size of the images .*before=\(16, 16, 3\), after=\(9, 9, 3\)"):
        augment.offline(shapes, augment.RandomCrop(9, resize=False), copies=1)
    assert len(augment.offline(shapes, augment.RandomCrop(9, resize=True), copies=1).x_train) == 600
    with pytest.raises(ValueError, match="`augmenter` must be a Keras layer"):
        augment.offline(shapes, None, copies=1)
    with pytest.raises(ValueError, match="`seed` must be an integer >= 0"):
        augment.offline(shapes, augmenter, copies=1, seed=None)


@pytest.mark.parametrize("layer", [augment.RandomColorShift, augment.RandomCrop])
def test_layers_refuse(layer):
    for wrong in (-1, None):
        with pytest.raises(ValueError, match=f"{layer.__name__}: `(amount|size)` must be"):
            layer(wrong)
    with pytest.raises(ValueError, match=f"{layer.__name__}: `seed` must be an integer >= 0"):
        layer(0.5 if layer is augment.RandomColorShift else 5, seed=-1)
