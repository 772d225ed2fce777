"""Visible checks of 'Transfer learning with few labels': `course-cnn check transfer.ipynb` runs them."""

import numpy as np
from course_cnn.grading import expect, expect_close, expect_equal, visible


CLOSE = {"rtol": 1e-3, "atol": 1e-4}  # of features: batches of another size differ by 1e-6, a wrong range by far more


def pictures(rng, n, height, width, channels=1, brightest=230):
    """Draw n images of coarse patches, uint8 (n, height, width, channels), each with a brightness of its own."""
    patches = rng.random((n, 5, 5, channels)) * rng.uniform(80, brightest, (n, 1, 1, 1))
    rows, columns = np.arange(height) * 5 // height, np.arange(width) * 5 // width
    return patches[:, rows][:, :, columns].astype("uint8")


def is_table(rows, n):
    """Whether an answer is an array of n rows of finite floating-point numbers, more than one in a row."""
    if not isinstance(rows, np.ndarray) or rows.dtype.kind != "f" or rows.ndim != 2:
        return False
    return len(rows) == n and rows.shape[1] > 1 and bool(np.isfinite(rows).all())


def is_head(head, size, classes):
    """Whether an answer is a kernel and a bias for rows of this size and this many classes."""
    if not isinstance(head, list | tuple) or len(head) != 2 or not all(isinstance(part, np.ndarray) for part in head):
        return False
    if any(part.dtype.kind not in "fiu" or not np.isfinite(part).all() for part in head):
        return False
    return head[0].shape == (size, classes) and head[1].shape == (classes,)


def is_cached(got, n):
    """Whether an answer is (rows, computed, cache) for n images."""
    if not isinstance(got, list | tuple) or len(got) != 3 or not is_table(got[0], n) or not isinstance(got[2], dict):
        return False
    shape = got[0].shape[1:]
    return all(isinstance(row, np.ndarray) and row.dtype.kind == "f" and row.shape == shape for row in got[2].values())


def is_draw(got, n, size):
    """Whether an answer is `size` positions among n labels."""
    if not isinstance(got, np.ndarray) or got.dtype.kind not in "iu" or got.shape != (size,):
        return False
    return bool(((got >= 0) & (got < n)).all())


@visible("features", points=1)
def one_row_per_image(answers, rng):
    """Five images, two at a time: a row of features for each"""
    images = pictures(rng, 5, 25, 25)
    got = answers.features(images, batch_size=2)
    expect(
        is_table(got, 5),
        "Return a NumPy array of floats, one row per image, all finite. Five images in batches of two leave one over.",
    )
    expect_equal(got.shape[1], 128, "Each row holds all features of one image: see what the extractor printed.")


@visible("features", points=1)
def company(answers, rng):
    """An image has the same features alone and in the company of brighter ones"""
    images = pictures(rng, 4, 25, 25, brightest=100)
    images[1:] = 255 - images[1:]
    together = answers.features(images)
    expect(is_table(together, 4), "Return a NumPy array of floats, one row per image, all finite.")
    for i in (0, 2):
        alone = answers.features(images[i : i + 1])
        hint = "A byte stands for the same brightness in every image, and row i belongs to image i."
        expect_close(alone, together[i : i + 1], hint, **CLOSE)


@visible("cached_features", points=1)
def second_time(answers, rng):
    """The second time nothing is computed, and the same comes back"""
    images = pictures(rng, 5, 25, 25)
    first = answers.cached_features(images, {})
    expect(is_cached(first, 5), "Return three things: the rows, how many were computed, and the cache, a dict of rows.")
    expect_equal(first[1], 5, "The cache was empty, and all images were different.")
    expect_close(first[0], answers.features(images), "The rows should be those of `features`.", **CLOSE)
    second = answers.cached_features(images, dict(first[2]))
    expect(is_cached(second, 5), "Return three things each time, also when nothing was missing.")
    expect_equal(second[1], 0, "All images were in the cache that your first call returned.")
    expect(np.array_equal(first[0], second[0]), "The rows of the second call are not those of the first.")


@visible("draw_few", points=1)
def each_class(answers, rng):
    """So many of each class, and no image twice"""
    y = rng.permutation(np.repeat([2, 3, 7], [5, 6, 9]))
    for seed in range(4):
        got = answers.draw_few(y, 5, seed)
        expect(is_draw(got, len(y), 15), "Return an array of whole numbers: positions in y, so many for each class.")
        expect(len(np.unique(got)) == len(got), "An image was drawn twice.")
        counts = [int((y[got] == label).sum()) for label in (2, 3, 7)]
        expect_equal(counts, [5, 5, 5], "These are the images drawn of each class.")


@visible("fit_head", points=0.5)
def shape_of_head(answers, rng):
    """A kernel with a column and a bias with a number for each class"""
    for classes in (2, 4):
        y = np.repeat(np.arange(classes), 3)
        rows = rng.normal(size=(len(y), 6)) + 5 * np.eye(6)[y]
        head = answers.fit_head(rows, y)
        expect(is_head(head, 6, classes), "Return (kernel, bias), arrays. Two classes need two columns as well.")


@visible("fit_head", points=0.5)
def largest_score(answers, rng):
    """The class with the largest score wins"""
    rows, kernel, bias = rng.normal(size=(30, 4)), rng.normal(size=(4, 3)), 3 * rng.normal(size=3)
    want = [max(range(3), key=list(row @ kernel + bias).__getitem__) for row in rows]
    got = answers.predict(rows, kernel, bias)
    expect_close(got, want, "Compute one score per class for each row, with the bias: where is the largest?")


def conv(kernel, inputs, outputs, bias):
    """A convolution layer, described."""
    return {"kind": "conv", "kernel": int(kernel), "inputs": int(inputs), "outputs": int(outputs), "bias": bool(bias)}


def dense(inputs, outputs, bias=True):
    """A dense layer, described."""
    return {"kind": "dense", "inputs": int(inputs), "outputs": int(outputs), "bias": bool(bias)}


@visible("trainable_params", points=1)
def frozen_base(answers, rng):
    """A frozen base, and a head for seven classes"""
    base = {"first": [conv(5, 1, 6, True)], "last": [dense(216, 10)]}
    hint = "Only the head trains, with its biases; everything in the base counts as frozen."
    expect_equal(answers.trainable_params(base, 10, 7), [77, 2326], hint)


SETTINGS = {'title': 'Transfer learning with few labels', 'minutes': 80, 'time_limit': 240.0, 'memory_limit': 4096, 'preload': ['numpy', 'tensorflow', 'keras', 'course_cnn.transfer', 'course_cnn.datasets', 'matplotlib.pyplot', 'skimage.data', 'skimage.transform', 'sklearn.linear_model'], 'unavailable': ['torch'], 'questions': [{'name': 'features', 'title': 'Features', 'points': 2.0, 'time_limit': 40.0}, {'name': 'cached_features', 'title': 'Each image once', 'points': 1.0, 'time_limit': 40.0, 'answers': ['cached_features', 'features']}, {'name': 'draw_few', 'title': 'A few labels', 'points': 1.0, 'time_limit': 40.0}, {'name': 'fit_head', 'title': 'A linear head', 'points': 1.0, 'time_limit': 40.0, 'answers': ['fit_head', 'predict']}, {'name': 'trainable_params', 'title': 'What trains?', 'points': 1.0, 'time_limit': 40.0}, {'name': 'when_it_pays', 'title': 'When does it pay?', 'points': 3.0, 'manual': True}]}
