"""Checks of assignment 5."""

import functools

import numpy as np

from course_cnn import datasets
from course_cnn.grading import expect, expect_close, expect_equal, expect_raises, hidden, visible

CLOSE = {"rtol": 1e-3, "atol": 1e-4}  # of features: batches of another size differ by 1e-6, a wrong range by far more


def pictures(rng, n, height, width, channels=1, brightest=230):
    """Draw n images of coarse patches, uint8 (n, height, width, channels), each with a brightness of its own."""
    patches = rng.random((n, 5, 5, channels)) * rng.uniform(80, brightest, (n, 1, 1, 1))
    rows, columns = np.arange(height) * 5 // height, np.arange(width) * 5 // width
    return patches[:, rows][:, :, columns].astype("uint8")


@functools.cache
def reference_extractor():
    """Open the extractor once, and not before a check needs it."""
    from course_cnn import transfer

    return transfer.FeatureExtractor("bundled")


def reference_features(images):
    """The features of uint8 images, float32 (n, 128)."""
    parts = [images[i : i + 50].astype("float32") / 255 for i in range(0, len(images), 50)]
    return np.concatenate([np.asarray(reference_extractor()(part)) for part in parts])


@functools.cache
def faces():
    """(features, labels) of the training faces and of those held back."""
    data = datasets.load("faces")
    rows = [reference_features(np.round(255 * x).astype("uint8")) for x in (data.x_train, data.x_test)]
    return (rows[0], data.y_train), (rows[1], data.y_test)


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


# 1. features


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


@hidden("features", points=1)
def grey_faces(answers, rng):
    """The features of grey images are those of the extractor"""
    size = int(rng.integers(20, 30))
    images = pictures(rng, 12, size, size)
    hint = "Bring the bytes to the range that the extractor was trained with, and leave the size to it."
    expect_close(answers.features(images), reference_features(images), hint, **CLOSE)


@hidden("features", points=1)
def colour_in_batches(answers, rng):
    """Colour images of another shape, in several batches, in their order"""
    images = pictures(rng, int(rng.integers(9, 12)), 36, 28, channels=3)
    hint = "Every batch counts, the last and smaller one as well; put their rows together in the order of the images."
    expect_close(answers.features(images, batch_size=4), reference_features(images), hint, **CLOSE)


# 2. cached_features


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


@hidden("cached_features", points=0.5)
def taken_from_cache(answers, rng):
    """What comes back is what lies in the cache"""
    images = pictures(rng, 4, 25, 25)
    first = answers.cached_features(images, {})
    expect(is_cached(first, 4), "Return the rows, how many were computed, and the cache, a dict of rows.")
    marked = {key: row + np.float32(1) for key, row in first[2].items()}
    second = answers.cached_features(images[::-1].copy(), marked)
    expect(is_cached(second, 4), "Return the rows, how many were computed, and the cache, a dict of rows.")
    hint = "We changed the entries of the cache, and expect to see that: look an image up before you compute it."
    expect_close(second[0], first[0][::-1] + 1, hint, **CLOSE)


@hidden("cached_features", points=1)
def some_are_new(answers, rng):
    """Old, new and repeated images in one batch: only the new ones are computed, each once"""
    images = pictures(rng, 9, 25, 25)
    images[:5], images[5:] = 255 - images[:5] // 2, images[5:] // 2
    first = answers.cached_features(images[:5], {})
    expect(is_cached(first, 5), "Return the rows, how many were computed, and the cache, a dict of rows.")
    order = rng.permutation([0, 1, 2, 3, 5, 6, 7, 7, 8, 8, 8])
    second = answers.cached_features(images[order], dict(first[2]))
    expect(is_cached(second, len(order)), "Return the rows, how many were computed, and the cache, a dict of rows.")
    hint = "Each row must belong to its image, wherever it stands in the batch and whatever stood there before."
    expect_close(second[0], answers.features(images[order]), hint, **CLOSE)
    expect_equal(second[1], 4, "Count the images that are not in the cache; one that stands there twice counts once.")
    expect_equal(len(second[2]), 9, "The cache keeps one entry per image, the old ones and the new ones.")


@hidden("cached_features", points=0.5)
def same_bytes(answers, rng):
    """The same bytes in another shape are another image"""
    high = pictures(rng, 2, 24, 12)
    wide = high.reshape(2, 12, 24, 1)
    first = answers.cached_features(high, {})
    expect(is_cached(first, 2), "Return the rows, how many were computed, and the cache, a dict of rows.")
    second = answers.cached_features(wide, dict(first[2]))
    expect(is_cached(second, 2), "Return the rows, how many were computed, and the cache, a dict of rows.")
    expect_close(second[0], answers.features(wide), "What must two images share to be the same one?", **CLOSE)


# 3. draw_few


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


@hidden("draw_few", points=1)
def seed_decides(answers, rng):
    """The same seed draws the same images, other seeds draw others"""
    y = rng.permutation(np.repeat([0, 1], [60, 70]))
    seeds = [int(seed) for seed in rng.choice(1000, 5, replace=False)]
    draws = []
    for seed in seeds + seeds:
        got = answers.draw_few(y, 5, seed)
        expect(is_draw(got, len(y), 10), "Return an array of whole numbers: positions in y, so many for each class.")
        draws.append(got)
    again = all(np.array_equal(a, b) for a, b in zip(draws[:5], draws[5:], strict=True))
    expect(again, "Two draws with the same seed were different. Where does your randomness come from?")
    expect(len({tuple(sorted(got.tolist())) for got in draws}) == 5, "Different seeds drew the same images.")


@hidden("draw_few", points=0.5)
def every_image(answers, rng):
    """Every image of a class can be drawn"""
    y, start = rng.permutation(np.repeat([1, 4], [5, 6])), int(rng.integers(1000))
    seen = set()
    for seed in range(start, start + 50):
        got = answers.draw_few(y, 2, seed)
        expect(is_draw(got, len(y), 4), "Return an array of whole numbers: positions in y, so many for each class.")
        seen.update(got.tolist())
    expect(len(seen) == len(y), "Over fifty seeds some images were never drawn.")


@hidden("draw_few", points=0.5)
def too_few(answers, rng):
    """A class with too few images is refused"""
    few = int(rng.integers(2, 6))
    y = rng.permutation(np.repeat([0, 1, 2], [9, few, 8]))
    expect_raises(lambda: answers.draw_few(y, few + 1, 0), "ValueError", "One class has fewer images than that.")


# 4. fit_head and predict


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


@hidden("fit_head", points=1)
def needs_bias(answers, rng):
    """Two classes on the same side of zero"""
    y = np.repeat([0, 1], 20)
    rows = rng.normal(np.where(y == 1, 2.5, 0.5)[:, None], 0.1, (40, 1))
    head = answers.fit_head(rows, y)
    expect(is_head(head, 1, 2), "Return (kernel, bias), arrays, one column and one number for each class.")
    right = np.mean((rows @ head[0] + head[1]).argmax(axis=1) == y)
    expect(right > 0.9, "All rows are positive, and only the bias can tell small ones from large ones.")


@hidden("fit_head", points=1)
def held_back_faces(answers, rng):
    """Ten labelled pictures, fifty held back"""
    (rows, y), (rows_test, y_test) = faces()
    accuracies = []
    for _ in range(6):
        few = np.concatenate([rng.choice(np.flatnonzero(y == label), 5, replace=False) for label in (0, 1)])
        head = answers.fit_head(rows[few], y[few])
        expect(is_head(head, rows.shape[1], 2), "Return (kernel, bias), arrays, one column and one number per class.")
        accuracies.append(np.mean((rows_test @ head[0] + head[1]).argmax(axis=1) == y_test))
    hint = "The head does not reach the accuracy that the text asks for. Is a column, a sign, or the penalty wrong?"
    expect(np.mean(accuracies) >= 0.93, hint)


@hidden("fit_head", points=1)
def many_classes(answers, rng):
    """Six classes, far apart"""
    y, centres = np.repeat(np.arange(6), 8), rng.normal(0, 3, (6, 40))
    rows, rows_test = (centres[y] + rng.normal(0, 0.5, (48, 40)) for _ in range(2))
    order = rng.permutation(48)
    head = answers.fit_head(rows[order], y[order])
    expect(is_head(head, 40, 6), "Return (kernel, bias), arrays, one column and one number for each class.")
    right = np.mean((rows_test @ head[0] + head[1]).argmax(axis=1) == y)
    expect(right > 0.9, "New rows of these classes are mostly taken for others. Which column belongs to which class?")


# 5. trainable_params


def conv(kernel, inputs, outputs, bias):
    """A convolution layer, described."""
    return {"kind": "conv", "kernel": int(kernel), "inputs": int(inputs), "outputs": int(outputs), "bias": bool(bias)}


def dense(inputs, outputs, bias=True):
    """A dense layer, described."""
    return {"kind": "dense", "inputs": int(inputs), "outputs": int(outputs), "bias": bool(bias)}


def weights_in(layer):
    """The weights and biases of a convolution or dense layer."""
    return (layer.get("kernel", 1) ** 2 * layer["inputs"] + layer["bias"]) * layer["outputs"]


@visible("trainable_params", points=1)
def frozen_base(answers, rng):
    """A frozen base, and a head for seven classes"""
    base = {"first": [conv(5, 1, 6, True)], "last": [dense(216, 10)]}
    hint = "Only the head trains, with its biases; everything in the base counts as frozen."
    expect_equal(answers.trainable_params(base, 10, 7), [77, 2326], hint)


@hidden("trainable_params", points=1)
def thawed_stages(answers, rng):
    """Stages of any sizes, one or two of them thawed"""
    a, b, c, d = (int(n) for n in rng.integers(3, 40, 4))
    base = {"one": [conv(3, 3, a, True), conv(1, a, b, False)], "two": [conv(5, b, c, True)], "three": [dense(c, d)]}
    counts = {name: sum(map(weights_in, layers)) for name, layers in base.items()}
    classes = int(rng.integers(2, 20))
    for thawed in (["three"], ["two", "three"], ["one"]):
        moving = sum(counts[name] for name in thawed)
        want = [(d + 1) * classes + moving, sum(counts.values()) - moving]
        hint = "Add what the thawed stages hold to the head; the others stay frozen. Some convolutions have no bias."
        expect_equal(answers.trainable_params(base, d, classes, thawed), want, hint)


@hidden("trainable_params", points=0.5)
def statistics_stay(answers, rng):
    """Batch normalisation in a thawed stage"""
    a, b = (int(n) for n in rng.integers(3, 40, 2))
    norm = [{"kind": "batchnorm", "channels": n} for n in (a, b)]
    base = {"one": [conv(3, 3, a, False), norm[0]], "two": [conv(3, a, b, False), norm[1]]}
    want = [(b + 1) * 4 + 9 * a * b + 2 * b, 27 * a + 4 * a + 2 * b]
    hint = "Which of the four numbers per channel does a gradient reach, and which are only measured?"
    expect_equal(answers.trainable_params(base, b, 4, ["two"]), want, hint)


@hidden("trainable_params", points=0.5)
def no_such_stage(answers, rng):
    """A stage that is not there"""
    base = {"one": [dense(5, int(rng.integers(2, 9)))]}
    expect_raises(lambda: answers.trainable_params(base, 3, 2, ["won"]), "ValueError", "The base has no such stage.")
