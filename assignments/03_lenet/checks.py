"""Checks of assignment 3. The networks train in the student's process; how good they are is measured here."""

import functools

import numpy as np

from course_cnn import datasets, scratch
from course_cnn.grading import expect, expect_close, expect_equal, hidden, visible


def network(got, hint):
    """Return an answer that is a Keras model, or fail."""
    expect(hasattr(got, "kinds"), f"No Keras model came back. {hint}")
    return got


def lenet(answers):
    return network(answers.build_lenet(), "Does `build_lenet` return the model it builds?")


def images(rng, n):
    return rng.random((n, 32, 32, 1)).astype("float32")


def draw_int(rng, low, high):
    """A whole number from low to high, both included, as Python's own int."""
    return int(rng.integers(low, high + 1))


@functools.cache
def all_digits():
    """scikit-learn's digits, enlarged to 32 by 32 pixels: (images, labels). Done once, not for every submission."""
    digits = datasets.load("digits", size=32)
    return np.concatenate([digits.x_train, digits.x_test]), np.concatenate([digits.y_train, digits.y_test])


def drawn_digits(rng, n):
    """n digits, drawn anew, and all the others: x, y, x_others, y_others."""
    x, y = all_digits()
    order = rng.permutation(len(y))
    return x[order[:n]], y[order[:n]], x[order[n:]], y[order[n:]]


def train(answers, model, x, y, seed):
    """Have a model trained by the answer; it must come back as the network it was."""
    kinds, params = model.kinds, model.params
    trained = network(answers.train(model, x, y, seed), "Does `train` return the model it was given?")
    expect(trained.kinds == kinds and trained.params == params, "Train the model you are given, and leave its layers.")
    return trained


def logits_of(model, x):
    """The outputs of a model for ten classes, checked to be numbers."""
    logits = model.predict(x)
    expect(logits.shape == (len(x), 10), f"The outputs have the shape {logits.shape}: one row for each image?")
    expect(np.isfinite(logits).all(), "The trained network gives NaN or infinity. Is the learning rate too large?")
    return logits


# build_lenet


@visible("build_lenet", points=1)
def layers_in_order(answers, rng):
    """The kinds of the layers, from C1 to the output"""
    want = ["Conv2D", "AveragePooling2D", "Conv2D", "AveragePooling2D", "Flatten", "Dense", "Dense", "Dense"]
    kinds = lenet(answers).kinds
    for number, (kind, wanted) in enumerate(zip(kinds, want, strict=False), 1):
        hint = "Go through the table row by row. One row is one layer; an activation is a setting of its layer."
        expect_equal(kind, wanted, f"This is the kind of layer {number}. {hint}")
    expect_equal(len(kinds), len(want), "So many layers has your network. Is there one for each row of the table?")


@visible("build_lenet", points=1)
def shapes_on_the_way(answers, rng):
    """The shape of every layer's output, from the input on"""
    model = lenet(answers)
    hint = "The input is declared with `keras.Input`: rows, columns, channels, without the batch."
    expect_equal(model.input_shape, [None, 32, 32, 1], hint)
    layers = [layer for layer in model.layers if layer.kind != "InputLayer"]
    want = [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (400,), (120,), (84,), (10,)]
    for number, (layer, shape) in enumerate(zip(layers, want, strict=False), 1):
        hint = f"This is what comes out of layer {number} ({layer.kind}). Calculate its shape by hand (lecture 08)."
        expect_equal(layer.output_shape, [None, *shape], hint)
    expect_equal(len(layers), len(want), "So many layers has your network. Is there one for each row of the table?")


@hidden("build_lenet", points=1)
def windows(answers, rng):
    """Filters, kernels, pooling windows, strides and padding"""
    layers = lenet(answers).layers
    got = [
        [layer.config.get(key) for key in ("filters", "kernel_size", "strides", "padding")]
        for layer in layers
        if layer.kind == "Conv2D"
    ]
    want = [[filters, [5, 5], [1, 1], "valid"] for filters in (6, 16)]
    expect(got == want, "Look at the two convolutions: number of filters, kernel, stride, padding.")
    got = [
        [layer.config.get(key) for key in ("pool_size", "strides", "padding")]
        for layer in layers
        if layer.kind.endswith("Pooling2D")
    ]
    expect(got == [[[2, 2], [2, 2], "valid"]] * 2, "Look at the two pooling layers: window, stride, padding.")


@hidden("build_lenet", points=1)
def squashed(answers, rng):
    """The activation of every layer that learns, before the output"""
    learning = [layer for layer in lenet(answers).layers if layer.params][:-1]
    names = [layer.config.get("activation") for layer in learning]
    hint = "What did units of 1998 do with their weighted sums? The last column of the table says it for each layer."
    expect(names and all(name == "tanh" for name in names), hint)


@hidden("build_lenet", points=1)
def output_is_logits(answers, rng):
    """The output: any numbers, not yet probabilities"""
    model = lenet(answers)
    hint = "The network ends in logits. What turns them into probabilities belongs to the loss, not to the network."
    expect(model.layers and model.layers[-1].config.get("activation") in ("linear", None), hint)
    logits = model.predict(images(rng, 8))
    expect((logits < 0).any() and not np.allclose(logits.sum(axis=-1), 1, atol=1e-3), hint)


@hidden("build_lenet", points=1)
def parameters(answers, rng):
    """The number of parameters, layer by layer"""
    model = lenet(answers)
    got = [layer.params for layer in model.layers if layer.kind != "InputLayer"]
    hint = "Weights of a kernel: rows × columns × channels it reads × filters. Each filter and each unit has a bias."
    expect(got == [156, 0, 2416, 0, 0, 48120, 10164, 850], hint)
    expect(model.trainable_params == model.params, "All parameters must be trainable.")


@hidden("build_lenet", points=1)
def predicts_as_built(answers, rng):
    """The outputs: what the layers and their weights must give"""
    model, x = lenet(answers), images(rng, 4)
    expect_equal(list(model.predict(x).shape), [4, 10], "One row for each image: is something flattened?")
    hint = "The model computes something else than its layers, one after the other."
    expect_close(model.predict(x), model.recompute(x), hint, rtol=1e-3, atol=1e-4)


# train. The reference under 8 seeds, each with digits drawn anew: its LeNet names 94.6 to 96.9 % of the held-back
# digits (wanted: 90 %; without from_logits 10 to 43 %, at a learning rate of 10 only 9 to 17 %). Its linear net has a
# cross-entropy of 0.19 to 0.23 (wanted: 0.7; without from_logits 3.8 to 7.7, at a learning rate of 10 over 100) and
# names 95.7 to 96.7 % of the digits it was trained with (wanted: 75 %; without from_logits 13 to 18 %).


@visible("train", points=1)
def comes_back_trained(answers, rng):
    """A linear classifier, trained on 300 digits, names them again"""
    x, y = (part[:300] for part in all_digits())
    model = train(answers, network(answers.linear_net(1), "Leave `linear_net` as it was given."), x, y, 1)
    right = int((logits_of(model, x).argmax(axis=1) == y).sum())
    hint = "Look at the loss, the learning rate and the number of epochs."
    expect(right >= 0.75 * len(y), f"It names {right} of the {len(y)} digits it was trained with. {hint}")


@hidden("train", points=2)
def reads_digits(answers, rng):
    """Your LeNet names digits that it has not seen"""
    x, y, x_others, y_others = drawn_digits(rng, 600)
    model = train(answers, lenet(answers), x, y, draw_int(rng, 0, 999))
    right = int((logits_of(model, x_others).argmax(axis=1) == y_others).sum())
    hint = "Try `trial(build_lenet())` with several seeds. Are the learning rate and the number of epochs right?"
    expect(right >= 0.9 * len(y_others), f"It names {right} of {len(y_others)} held-back digits. {hint}")


@hidden("train", points=1)
def sure_when_right(answers, rng):
    """The probabilities behind the outputs fit the held-back digits"""
    x, y, x_others, y_others = drawn_digits(rng, 600)
    seed = draw_int(rng, 0, 999)
    model = train(answers, network(answers.linear_net(seed), "Leave `linear_net` as it was given."), x, y, seed)
    loss, _ = scratch.softmax_cross_entropy_forward(logits_of(model, x_others).astype("float64"), y_others)
    hint = "Does your loss know that the outputs are logits? Is the learning rate reasonable?"
    expect(loss <= 0.7, f"The mean cross-entropy on held-back digits is {loss:.2f}. {hint}")


@hidden("train", points=1)
def same_seed_same_network(answers, rng):
    """The same seed, the same model, the same digits: the same network"""
    x, y, x_others, _ = drawn_digits(rng, 120)
    seed, outputs = draw_int(rng, 0, 999), []
    for other_seed in (seed + 1, seed + 2):
        model = network(answers.linear_net(seed), "Leave `linear_net` as it was given.")
        answers.linear_net(other_seed)  # sets the global seed: what was done before must not matter
        outputs.append(logits_of(train(answers, model, x, y, seed), x_others[:50]))
    hint = "Two trainings with one seed gave different networks. Where does `train` use its `seed`?"
    expect(np.allclose(*outputs, rtol=1e-4, atol=1e-4), hint)


# confusion


@visible("confusion", points=1)
def counted_by_hand(answers, rng):
    """Six images of three classes"""
    got = answers.confusion_matrix(np.array([0, 1, 1, 2, 2, 2]), np.array([0, 1, 2, 0, 0, 2]), 3)
    hint = "Make a tally by hand: go to the row of the true class and the column of the predicted one."
    expect_close(got, np.array([[1, 0, 0], [0, 1, 1], [2, 0, 1]]), hint)


@visible("confusion", points=0.5)
def commonest_by_hand(answers, rng):
    """The commonest confusions of a matrix of three classes"""
    got = answers.most_confused(np.array([[7, 0, 2], [1, 9, 0], [0, 5, 3]]), 2)
    hint = "Each entry is (true class, predicted class, count). Which cells of the matrix are mistakes?"
    expect_equal(got, [(2, 1, 5), (0, 2, 2)], hint)


@hidden("confusion", points=1)
def counted(answers, rng):
    """Many labels, and a class that is absent"""
    classes, n = draw_int(rng, 4, 9), draw_int(rng, 80, 120)
    y_true = rng.integers(0, classes - 1, n)  # the last class never comes
    y_pred = np.where(rng.random(n) < 0.6, y_true, (y_true + 1) % (classes - 1))  # mistakes go one way only
    want = np.zeros((classes, classes))
    for i, j in zip(y_true, y_pred, strict=True):
        want[i, j] += 1
    hint = "Every image counts once; a class that is absent has its row and its column all the same."
    expect_close(answers.confusion_matrix(y_true, y_pred, classes), want, hint)


@hidden("confusion", points=1)
def equal_counts(answers, rng):
    """Confusions that are equally common"""
    classes = draw_int(rng, 4, 8)
    matrix = rng.integers(1, 5, (classes, classes))
    np.fill_diagonal(matrix, rng.integers(10, 50, classes))
    cells = np.flatnonzero(~np.eye(classes, dtype=bool))
    matrix.flat[rng.choice(cells, 4, replace=False)] = 7  # four equal ones, three are asked for
    pairs = [(i, j, int(matrix[i, j])) for i in range(classes) for j in range(classes) if i != j]
    want = sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:3]
    hint = "Right answers are no confusions. Where counts are equal, the smaller true class comes first."
    expect(listed(answers.most_confused(matrix, 3)) == want, hint)


@hidden("confusion", points=0.5)
def few_mistakes(answers, rng):
    """Fewer confusions than asked for, and none at all"""
    classes = draw_int(rng, 3, 6)
    matrix = np.diag(rng.integers(5, 20, classes))
    hint = "List only what happened: the list may be shorter than k, or empty."
    expect(listed(answers.most_confused(matrix, 3)) == [], hint)
    i, j = (int(index) for index in rng.choice(classes, 2, replace=False))
    matrix[i, j] = draw_int(rng, 1, 4)
    expect(listed(answers.most_confused(matrix, 5)) == [(i, j, matrix[i, j])], hint)


def listed(got):
    """Return a list of pairs with their counts as `[(true, predicted, count), …]`, or fail."""
    got = got.tolist() if isinstance(got, np.ndarray) else got
    whole = isinstance(got, list | tuple) and all(isinstance(entry, list | tuple) and len(entry) == 3 for entry in got)
    expect(whole, "Return a list of tuples (true class, predicted class, count).")
    return [tuple(entry) for entry in got]
