"""Visible checks of 'Convolution by hand': `course-cnn check convolution.ipynb` runs them."""

import numpy as np
from course_cnn.grading import expect_close, expect_equal, visible


@visible("output_size", points=1)
def seven_pixels(answers, rng):
    """Seven pixels, a kernel of three, steps of one and of two"""
    hint = "Write down every pixel on which the left edge of the kernel can stand, and count them."
    expect_equal(answers.output_size(7, 3), 5, hint)
    expect_equal(answers.output_size(7, 3, stride=2), 3, hint)


@visible("pad_amounts", points=1)
def plain_paddings(answers, rng):
    """A number, the word valid, and the word same with a kernel of three"""
    hint = "Return a pair: zeros in front, zeros behind. With an odd kernel and steps of one they are equal."
    expect_equal(answers.pad_amounts(6, 3, padding=2), (2, 2), hint)
    expect_equal(answers.pad_amounts(6, 3, padding="valid"), (0, 0), hint)
    expect_equal(answers.pad_amounts(6, 3, padding="same"), (1, 1), hint)


@visible("conv2d", points=1)
def bright_to_dark(answers, rng):
    """The edge of a bright half and a dark half"""
    x = np.zeros((1, 6, 6, 1))
    x[:, :, :3] = 10
    kernel = np.array([[1.0, 0, -1]] * 3)[:, :, None, None]
    want = np.array([[0.0, 30, 30, 0]] * 4)[None, :, :, None]
    hint = "Lay the kernel on the image as it is, without flipping it, and keep the axes of batch and filters."
    expect_close(answers.conv2d(x, kernel), want, hint)


@visible("max_pool2d", points=1)
def four_windows(answers, rng):
    """Four windows of a small picture"""
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, :, :, None]
    want = np.array([[6.0, 8], [3, 4]])[None, :, :, None]
    hint = "Without a stride the windows touch and do not overlap."
    expect_close(answers.max_pool2d(x), want, hint)


@visible("avg_pool2d", points=0.5)
def four_means(answers, rng):
    """The means of the same four windows"""
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, :, :, None]
    want = np.array([[3.25, 5.25], [2, 2]])[None, :, :, None]
    expect_close(answers.avg_pool2d(x), want, "Without a stride the windows touch and do not overlap.")


@visible("layer_cost", points=0.5)
def ten_filters(answers, rng):
    """Ten filters of five by five on a small colour image"""
    hint = "Return a pair, parameters first. How many weights has one filter, and at how many places does it stand?"
    expect_equal(answers.layer_cost(32, 5, 3, 10, padding=2), (760, 768_000), hint)


SETTINGS = {'title': 'Convolution by hand', 'minutes': 90, 'unavailable': ['tensorflow', 'keras', 'scipy', 'skimage', 'torch', 'course_cnn'], 'questions': [{'name': 'output_size', 'title': 'How many positions?', 'points': 1.0, 'time_limit': 5.0}, {'name': 'pad_amounts', 'title': 'How many zeros, and where?', 'points': 1.0, 'time_limit': 5.0}, {'name': 'conv2d', 'title': 'The convolution itself', 'points': 1.0, 'time_limit': 5.0}, {'name': 'max_pool2d', 'title': 'The strongest of each window', 'points': 1.0, 'time_limit': 5.0}, {'name': 'avg_pool2d', 'title': 'The mean of each window', 'points': 0.5, 'time_limit': 5.0}, {'name': 'layer_cost', 'title': 'What a layer costs', 'points': 0.5, 'time_limit': 5.0}]}
