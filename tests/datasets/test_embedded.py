"""The sets that need no network: shapes, ranges, the split, and the drawn shapes byte for byte."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from course_cnn import datasets
from course_cnn.datasets import _drawn

SETS = [
    ("digits", {}, (1347, 450), (8, 8, 1), 10),
    ("digits", {"size": 28}, (1347, 450), (28, 28, 1), 10),
    ("digits", {"size": 4}, (1347, 450), (4, 4, 1), 10),
    ("faces", {}, (150, 50), (25, 25, 1), 2),
    ("faces", {"size": 32}, (150, 50), (32, 32, 1), 2),
    ("photos", {}, (12, 0), (256, 256, 3), 12),
    ("photos", {"size": 64}, (12, 0), (64, 64, 3), 12),
    ("shapes", {"n_train": 60, "n_test": 25}, (60, 25), (32, 32, 3), 12),
    ("shapes", {"n_train": 5, "n_test": 0, "size": 50}, (5, 0), (50, 50, 3), 12),
]


@pytest.mark.parametrize("name, options, counts, shape, classes", SETS)
def test_arrays_are_what_the_docstring_says(name, options, counts, shape, classes):
    d = datasets.load(name, **options)
    for x, y, count in [(d.x_train, d.y_train, counts[0]), (d.x_test, d.y_test, counts[1])]:
        assert x.shape == (count, *shape)
        assert x.dtype == np.float32
        assert y.shape == (count,)
        assert y.dtype == np.int64
        assert ((y >= 0) & (y < classes)).all()
        assert ((x >= 0) & (x <= 1)).all()
    assert d.x_train.max() > 0.9
    assert d.x_train.min() < 0.1
    assert d.name == name
    assert len(d.class_names) == classes
    assert "Licence" in d.source


@pytest.mark.parametrize("name", ["digits", "faces", "photos", "shapes"])
def test_loading_twice_gives_the_same(name):
    a, b = datasets.load(name), datasets.load(name)
    for field in ("x_train", "y_train", "x_test", "y_test"):
        assert getattr(a, field).tobytes() == getattr(b, field).tobytes()


def test_digits_are_scikit_learns_own_in_sixteenths():
    from sklearn.datasets import load_digits

    d = datasets.load("digits")
    ours = np.concatenate([d.x_train, d.x_test])[..., 0] * 16
    raw = load_digits()
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, raw.images.astype(np.uint8)))
    wanted = {image.astype(np.uint8).tobytes(): label for image, label in zip(raw.images, raw.target, strict=True)}
    got = [wanted[(image * 16).astype(np.uint8).tobytes()] for image in d.x_test[..., 0]]
    np.testing.assert_array_equal(got, d.y_test)


@pytest.mark.parametrize("name", ["digits", "faces"])
def test_a_quarter_of_each_class_is_held_back(name):
    d = datasets.load(name)
    train, test = np.bincount(d.y_train), np.bincount(d.y_test)
    np.testing.assert_allclose(test / (train + test), 0.25, atol=0.005)


def test_resized_digits_are_the_same_digits():
    small, large = datasets.load("digits"), datasets.load("digits", size=32)
    np.testing.assert_array_equal(small.y_train, large.y_train)
    back = large.x_train.reshape(-1, 8, 4, 8, 4, 1).mean(axis=(2, 4))
    assert np.corrcoef(back.ravel(), small.x_train.ravel())[0, 1] > 0.95


def test_faces_are_labelled_as_scikit_image_orders_them():
    from skimage import data

    d = datasets.load("faces")
    first = data.lfw_subset()[0].astype(np.float32)
    x, y = np.concatenate([d.x_train, d.x_test]), np.concatenate([d.y_train, d.y_test])
    (k,) = np.flatnonzero((x[..., 0] == first).all(axis=(1, 2)))
    assert d.class_names[y[k]] == "face"  # "100 first images are faces", says skimage.data.lfw_subset
    scores = LogisticRegression(max_iter=1000).fit(d.x_train.reshape(150, -1), d.y_train)
    assert scores.score(d.x_test.reshape(50, -1), d.y_test) > 0.8


def test_photos_are_one_a_class_with_credits():
    d = datasets.load("photos", size=32)
    np.testing.assert_array_equal(d.y_train, np.arange(12))
    assert all(f"{name}: " in d.source for name in d.class_names)
    cat = d.x_train[d.class_names.index("cat")]
    assert cat[..., 0].mean() > cat[..., 2].mean() + 0.1  # a ginger cat: more red than blue
    camera = d.x_train[d.class_names.index("camera")]
    np.testing.assert_array_equal(camera[..., 0], camera[..., 2])


# sha256 of images, labels, boxes and masks, train then test. They change only with the drawing itself: say so in
# CHANGELOG.md when they do.
DRAWN = [
    (0, 32, "85c32ef5e6439247bf1392860d632f9178c96ec72b67f939cdb9cc1df79e0446"),
    (1, 32, "74678ef428e26df864c0da5e50d154ba4410743852c6263785f9ba6f17bef1f5"),
    (7, 65, "8c1320e9700dfe19fd4c70102fd33e1bc6a6a0bfee205ce664ee26b6abdf9d55"),
]


def digest(d):
    total = hashlib.sha256()
    for part in ("train", "test"):
        for field in ("x", "y", "boxes", "masks"):
            array = getattr(d, f"{field}_{part}")
            total.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("seed, size, wanted", DRAWN)
def test_shapes_are_the_same_bytes_everywhere(seed, size, wanted):
    assert digest(datasets.load("shapes", n_train=50, n_test=20, seed=seed, size=size)) == wanted


def test_shapes_cosines_are_cosines():
    angles = np.arange(-70, 140)
    wanted = np.cos(np.radians(6 * angles)) * _drawn.ONE
    np.testing.assert_allclose([_drawn.cosine(int(k)) for k in angles], wanted, atol=0.51)
    np.testing.assert_allclose([_drawn.sine(int(k)) for k in angles], np.sin(np.radians(6 * angles)) * 4096, atol=0.51)


def test_shapes_seed_size_and_counts():
    a = datasets.load("shapes", n_train=40, n_test=10)
    assert (datasets.load("shapes", n_train=40, n_test=10, seed=1).x_train != a.x_train).any()
    np.testing.assert_array_equal(datasets.load("shapes", n_train=40, n_test=3).x_train, a.x_train)
    assert (a.x_train[:10] != a.x_test).any()
    counts = np.bincount(a.y_train, minlength=12)
    assert counts.max() - counts.min() == 1
    assert counts.sum() == 40
    assert (np.diff(a.y_train) < 0).any()  # shuffled, not sorted by class


@pytest.mark.parametrize("size", [16, 32, 57])
def test_shapes_boxes_are_tight_and_masks_hold_the_object(size):
    d = datasets.load("shapes", n_train=240, n_test=12, size=size)
    assert d.boxes_train.shape == (240, 4)
    assert d.boxes_train.dtype == np.int64
    assert d.masks_train.shape == (240, size, size)
    assert d.masks_train.dtype == bool
    assert d.boxes_test.shape == (12, 4)
    assert d.masks_test.shape == (12, size, size)
    for image, mask, (row0, col0, row1, col1) in zip(d.x_train, d.masks_train, d.boxes_train, strict=True):
        assert 0 <= row0 < row1 <= size
        assert 0 <= col0 < col1 <= size
        rows, columns = np.nonzero(mask)
        assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (row0, col0, row1, col1)
        inside, outside = image[mask].mean(axis=0), image[~mask].mean(axis=0)
        assert abs(inside - outside) @ [0.299, 0.587, 0.114] > 0.1  # the object stands out
        assert 0.02 < mask.mean() < 0.6


def test_shapes_are_smooth_at_the_edge():
    d = datasets.load("shapes", n_train=12, n_test=0, size=64)
    share = _drawn._coverage(0, np.array([256, 256]), 150, 0, 64)
    assert share.max() == 16
    assert len(np.unique(share)) > 6  # edge pixels are covered in part
    area = share.sum() / 16
    assert area == pytest.approx(np.pi * (150 / 8) ** 2, rel=0.005)  # class 0, the circle, in pixels
    assert d.class_names[0] == "circle"


def features(masks):
    """What an eye would use: the object's own square, 12×12, whatever its place and size."""
    out = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        pick = [np.linspace(side[0], side[-1], 12).round().astype(int) for side in (rows, columns)]
        out.append(np.append(mask[np.ix_(*pick)], len(rows) / len(columns)))
    return np.array(out)


@pytest.mark.slow
def test_shapes_classes_can_be_told_apart():
    d = datasets.load("shapes", n_train=1200, n_test=240)
    forest = RandomForestClassifier(60, random_state=0).fit(features(d.masks_train), d.y_train)
    assert forest.score(features(d.masks_test), d.y_test) > 0.85  # chance is 1/12
    raw = RandomForestClassifier(60, random_state=0).fit(d.x_train.reshape(1200, -1), d.y_train)
    assert raw.score(d.x_test.reshape(240, -1), d.y_test) < 0.5  # pixels alone do not give it away: a task for a CNN


def test_repr_is_short_and_says_what_is_in_it():
    shown = repr(datasets.load("shapes", n_train=12, n_test=0))
    assert shown == "Dataset('shapes': 12 train + 0 test images of 32×32×3, 12 classes, boxes, masks)"


def test_dataset_is_frozen():
    with pytest.raises(AttributeError):
        datasets.load("faces").name = "other"


def test_unknown_set_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"one of 'digits', 'faces', .*'flowers' \(name='Fashion-MNIST'\)") as caught:
        datasets.load("Fashion-MNIST")
    assert str(caught.value).endswith("Use name='fashion_mnist'.")
    with pytest.raises(ValueError, match="Use for example name='digits'"):
        datasets.load(3)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("digits", {"sise": 8}, r"'digits' takes `size`, not `sise` \(sise=8\)"),
        ("mnist", {"size": 8}, r"'mnist' takes no options, not `size`"),
        ("shapes", {"n": 8}, r"takes `n_train` and `n_test` and `seed` and `size`, not `n`"),
        ("digits", {"size": 0}, r"`size` must be an integer >= 1 \(size=0\)"),
        ("photos", {"size": 2.5}, r"`size` must be an integer >= 1"),
        ("faces", {"size": "25"}, r"`size` must be an integer >= 1"),
        ("flowers", {"size": 0}, r"`size` must be an integer >= 1"),
        ("shapes", {"size": 15}, r"`size` must be an integer >= 16"),
        ("shapes", {"n_train": 0}, r"`n_train` must be an integer >= 1"),
        ("shapes", {"n_test": -1}, r"`n_test` must be an integer >= 0"),
        ("shapes", {"seed": -1}, r"`seed` must be an integer >= 0"),
        ("shapes", {"seed": 2**32}, r"`seed` must be below 2\*\*32"),
    ],
)
def test_wrong_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=f"^load: .*{message}"):
        datasets.load(name, **options)


def test_import_is_light():
    heavy = ("tensorflow", "keras", "sklearn", "skimage", "pooch", "requests", "PIL")
    code = f"import sys; from course_cnn import datasets; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_loading_needs_no_tensorflow():
    code = (
        "import sys; from course_cnn import datasets; [datasets.load(n) for n in datasets.names()[:4]]; "
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False False"


@pytest.mark.slow
def test_loading_in_a_notebook_is_quiet():
    """tqdm, which skimage.data imports, looks for Jupyter's shell; without ipywidgets it then complains."""
    code = (
        "import sys; from types import ModuleType as fake; "
        "sys.modules['IPython'], sys.modules['ipykernel.zmqshell'] = fake('IPython'), fake('zmqshell'); "
        "sys.modules['IPython'].get_ipython = lambda: None; "
        "from course_cnn import datasets; datasets.load('photos', size=8); datasets.load('faces')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
