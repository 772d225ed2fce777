"""Visible checks of 'Backpropagation by hand': `course-cnn check backpropagation.ipynb` runs them."""

import numpy as np
from course_cnn.grading import expect, expect_close, visible


def parts(got, *names):
    """What came back, once it is clear that it is a tuple of as many things as were asked for."""
    expect(isinstance(got, list | tuple) and len(got) == len(names), f"Return the tuple ({', '.join(names)}).")
    return got


@visible("dense", points=0.5)
def small_dense_forward(answers, rng):
    """Two images, three inputs, two outputs: forward"""
    x, kernel = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]]), np.array([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]])
    y = answers.dense_forward(x, kernel, np.array([10.0, 20.0]))
    expect_close(y, [[15, 27], [12, 16]], "A row of x times a column of the kernel, plus that column's bias.")


@visible("dense", points=0.5)
def small_dense_backward(answers, rng):
    """Two images, three inputs, two outputs: backward"""
    x, kernel = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]]), np.array([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]])
    got = answers.dense_backward(np.array([[1.0, 2.0], [3.0, -1.0]]), x, kernel)
    dx, dkernel, dbias = parts(got, "dx", "dkernel", "dbias")
    expect_close(dx, [[1, 0, 6], [3, 7, -3]], "This is dx: which weights did an input meet, and whose dy came back?")
    expect_close(dkernel, [[1, 2], [5, 3], [0, 7]], "This is dkernel: a weight gets its input times its output's dy.")
    expect_close(dbias, [4, 1], "This is dbias: add up what comes back, over the images.")


@visible("relu", points=0.5)
def small_relu(answers, rng):
    """Four numbers, two of them let through"""
    dx = answers.relu_backward(np.array([10.0, -20.0, 30.0, -40.0]), np.array([-2.0, 3.0, 0.5, -0.1]))
    expect_close(dx, [0, -20, 30, 0], "Look at the sign of the input, number by number; dy may have any sign.")


@visible("softmax_cross_entropy", points=0.5)
def small_loss(answers, rng):
    """One image, three scores: the loss"""
    loss = answers.softmax_cross_entropy_forward(np.array([[1.0, 2.0, 3.0]]), np.array([2]))
    expect_close(loss, 0.40760596444, "Minus the natural logarithm of the probability of the right class, one number.")


@visible("softmax_cross_entropy", points=0.5)
def small_gradient(answers, rng):
    """One image, three scores: the gradient"""
    dscores = answers.softmax_cross_entropy_backward(np.array([[1.0, 2.0, 3.0]]), np.array([2]))
    expect_close(dscores, [[0.09003057317, 0.24472847105, -0.33475904422]], "What softmax said, minus what was right.")


@visible("conv2d_backward", points=0.5)
def small_conv_dx(answers, rng):
    """Nine pixels, a kernel of two by two: dx"""
    x, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    dx, _, _ = parts(answers.conv2d_backward(np.ones((1, 2, 2, 1)), x, kernel), "dx", "dkernel", "dbias")
    hint = "In how many patches is each pixel, and under which weight in each?"
    expect_close(dx, np.array([[1, 3, 2], [4, 10, 6], [3, 7, 4]]).reshape(1, 3, 3, 1), hint)


@visible("conv2d_backward", points=0.5)
def small_conv_dkernel(answers, rng):
    """Nine pixels, a kernel of two by two: dkernel"""
    x, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    _, dkernel, _ = parts(answers.conv2d_backward(np.ones((1, 2, 2, 1)), x, kernel), "dx", "dkernel", "dbias")
    hint = "Which pixels has each weight met, at the four positions of the kernel?"
    expect_close(dkernel, np.array([[8, 12], [20, 24]]).reshape(2, 2, 1, 1), hint)


@visible("optimisers", points=0.5)
def two_momentum_steps(answers, rng):
    """Two steps of momentum with the same gradient"""
    w, g, velocity = np.array([1.0]), np.array([2.0]), np.zeros(1)
    hint = "Momentum: what is kept of the last movement, which way does the gradient push, and what is returned?"
    for want_w, want_velocity in ((0.5, -0.5), (-0.45, -0.95)):
        w, velocity = parts(answers.momentum_step(w, g, velocity, learning_rate=0.25), "w", "velocity")
        expect_close(w, [want_w], hint)
        expect_close(velocity, [want_velocity], hint)


@visible("optimisers", points=0.5)
def first_adam_step(answers, rng):
    """The first step of Adam, for a small and a large gradient"""
    got = answers.adam_step(np.zeros(2), np.array([3.0, -300.0]), np.zeros(2), np.zeros(2), 1)
    w, _, _ = parts(got, "w", "m", "v")
    expect_close(w, [-0.001, 0.001], "The correction makes up for means that begin at zero; work it out on paper.")


SETTINGS = {'title': 'Backpropagation by hand', 'minutes': 120, 'preload': ['numpy', 'matplotlib.pyplot'], 'unavailable': ['tensorflow', 'keras', 'scipy', 'skimage', 'sklearn', 'torch', 'jax', 'course_cnn'], 'questions': [{'name': 'dense', 'title': 'A dense layer', 'points': 1.0, 'time_limit': 5.0, 'answers': ['dense_forward', 'dense_backward']}, {'name': 'relu', 'title': 'ReLU', 'points': 0.5, 'time_limit': 5.0, 'answers': ['relu_backward']}, {'name': 'softmax_cross_entropy', 'title': 'Softmax and cross-entropy', 'points': 1.0, 'time_limit': 5.0, 'answers': ['softmax_cross_entropy_forward', 'softmax_cross_entropy_backward']}, {'name': 'conv2d_backward', 'title': 'A convolution, backward', 'points': 1.0, 'time_limit': 5.0}, {'name': 'optimisers', 'title': 'Two optimisers', 'points': 1.0, 'time_limit': 5.0, 'answers': ['momentum_step', 'adam_step']}]}
