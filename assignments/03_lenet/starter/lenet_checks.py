"""Visible checks of 'LeNet in Keras': `course-cnn check lenet.ipynb` runs them."""

import functools
import numpy as np
from course_cnn import datasets
from course_cnn.grading import expect, expect_close, expect_equal, visible


def network(got, hint):
    """Return an answer that is a Keras model, or fail."""
    expect(hasattr(got, "kinds"), f"No Keras model came back. {hint}")
    return got


def lenet(answers):
    return network(answers.build_lenet(), "Does `build_lenet` return the model it builds?")


@functools.cache
def all_digits():
    """scikit-learn's digits, enlarged to 32 by 32 pixels: (images, labels). Done once, not for every submission."""
    digits = datasets.load("digits", size=32)
    return np.concatenate([digits.x_train, digits.x_test]), np.concatenate([digits.y_train, digits.y_test])


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


@visible("train", points=1)
def comes_back_trained(answers, rng):
    """A linear classifier, trained on 300 digits, names them again"""
    x, y = (part[:300] for part in all_digits())
    model = train(answers, network(answers.linear_net(1), "Leave `linear_net` as it was given."), x, y, 1)
    right = int((logits_of(model, x).argmax(axis=1) == y).sum())
    hint = "Look at the loss, the learning rate and the number of epochs."
    expect(right >= 0.75 * len(y), f"It names {right} of the {len(y)} digits it was trained with. {hint}")


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


SETTINGS = {'title': 'LeNet in Keras', 'minutes': 75, 'time_limit': 300.0, 'memory_limit': 4096, 'preload': ['numpy', 'matplotlib.pyplot', 'tensorflow', 'keras'], 'unavailable': ['torch', 'course_cnn'], 'questions': [{'name': 'build_lenet', 'title': 'The network', 'points': 2.0, 'time_limit': 20.0}, {'name': 'train', 'title': 'Training', 'points': 1.0, 'time_limit': 150.0, 'answers': ['train', 'linear_net', 'build_lenet']}, {'name': 'confusion', 'title': 'What is taken for what', 'points': 1.5, 'time_limit': 20.0, 'answers': ['confusion_matrix', 'most_confused']}, {'name': 'error_analysis', 'title': 'What does it confuse?', 'points': 4.0, 'manual': True}]}
