"""Checks of assignment 1. Drawn pixels are whole numbers: sums of them are exact, also in float32."""

import numpy as np

from course_cnn import scratch, shapes
from course_cnn.grading import expect, expect_close, expect_equal, expect_raises, hidden, visible


def draw(rng, *shape):
    return rng.integers(-9, 10, shape).astype(float)


def draw_int(rng, low, high):
    """A whole number from low to high, both included, as Python's own int."""
    return int(rng.integers(low, high + 1))


# output_size


@visible("output_size", points=1)
def seven_pixels(answers, rng):
    """Seven pixels, a kernel of three, steps of one and of two"""
    hint = "Write down every pixel on which the left edge of the kernel can stand, and count them."
    expect_equal(answers.output_size(7, 3), 5, hint)
    expect_equal(answers.output_size(7, 3, stride=2), 3, hint)


@hidden("output_size", points=1)
def uneven_steps(answers, rng):
    """Steps that do not come out even"""
    for _ in range(2):
        taps, stride, steps = draw_int(rng, 2, 5), draw_int(rng, 3, 5), draw_int(rng, 2, 9)
        size = taps + stride * steps + stride - 1  # one pixel short of another step
        want = shapes.output_size(size, taps, stride=stride)
        hint = "Where does the last place begin at which the whole kernel fits? The pixels behind it are never read."
        expect_equal(answers.output_size(size, taps, stride=stride), want, hint)


@hidden("output_size", points=1)
def padded_rows(answers, rng):
    """Zeros on both sides, as many or not"""
    size, taps, amount = draw_int(rng, 20, 40), draw_int(rng, 3, 5), draw_int(rng, 1, 3)
    uneven = amount, amount + draw_int(rng, 1, 3)
    for padding in (amount, uneven, uneven[::-1]):
        want = shapes.output_size(size, taps, padding=padding)
        hint = "One number stands for each of the two sides; a pair names the zeros in front and the zeros behind."
        expect_equal(answers.output_size(size, taps, padding=padding), want, hint)


@hidden("output_size", points=1)
def kernel_without_room(answers, rng):
    """A kernel that just fits, and one that does not"""
    taps, amount = draw_int(rng, 5, 9), 1
    fits = taps - 2 * amount
    hint = "A kernel exactly as wide as the padded row still has somewhere to stand."
    expect_equal(answers.output_size(fits, taps, stride=2, padding=amount), 1, hint)
    for size in (fits - 1, 1):
        hint = "Where the kernel is wider than the padded row, the formula means nothing: raise a ValueError."
        expect_raises(lambda size=size: answers.output_size(size, taps, stride=2, padding=amount), "ValueError", hint)


# pad_amounts


@visible("pad_amounts", points=1)
def plain_paddings(answers, rng):
    """A number, the word valid, and the word same with a kernel of three"""
    hint = "Return a pair: zeros in front, zeros behind. With an odd kernel and steps of one they are equal."
    expect_equal(answers.pad_amounts(6, 3, padding=2), (2, 2), hint)
    expect_equal(answers.pad_amounts(6, 3, padding="valid"), (0, 0), hint)
    expect_equal(answers.pad_amounts(6, 3, padding="same"), (1, 1), hint)


@hidden("pad_amounts", points=1)
def full_padding(answers, rng):
    """Every place where kernel and row share a pixel"""
    for taps in rng.permutation(np.arange(2, 8))[:3].tolist():
        size, stride = draw_int(rng, 4, 12), draw_int(rng, 1, 3)
        want = shapes.pad_amounts(size, taps, stride=stride, padding="full")
        hint = '"full": at the first place only the last tap of the kernel is on the row.'
        expect_equal(answers.pad_amounts(size, taps, stride=stride, padding="full"), want, hint)


@hidden("pad_amounts", points=1)
def odd_zero(answers, rng):
    """An even kernel leaves one zero over"""
    for taps in (2, 4 + 2 * draw_int(rng, 0, 2)):
        size = draw_int(rng, 8, 20)
        want = shapes.pad_amounts(size, taps, padding="same")
        hint = "An odd number of zeros cannot be halved. On which side does TensorFlow put the one that is left over?"
        expect_equal(answers.pad_amounts(size, taps, padding="same"), want, hint)


@hidden("pad_amounts", points=1)
def same_with_steps(answers, rng):
    """Steps need fewer zeros"""
    stride = draw_int(rng, 2, 4)
    even = stride * draw_int(rng, 3, 6)  # so many steps end exactly with the row
    for size, taps in ((even, stride + 1), (even + 1, stride + 1), (even, stride + 3), (even, stride - 1)):
        want = shapes.pad_amounts(size, taps, stride=stride, padding="same")
        hint = "How many positions shall there be, and how far beyond the row does the last one end? It may be nothing."
        expect_equal(answers.pad_amounts(size, taps, stride=stride, padding="same"), want, hint)


# conv2d


@visible("conv2d", points=1)
def bright_to_dark(answers, rng):
    """The edge of a bright half and a dark half"""
    x = np.zeros((1, 6, 6, 1))
    x[:, :, :3] = 10
    kernel = np.array([[1.0, 0, -1]] * 3)[:, :, None, None]
    want = np.array([[0.0, 30, 30, 0]] * 4)[None, :, :, None]
    hint = "Lay the kernel on the image as it is, without flipping it, and keep the axes of batch and filters."
    expect_close(answers.conv2d(x, kernel), want, hint)


@hidden("conv2d", points=1)
def batch_and_channels(answers, rng):
    """Two images, three channels, four filters"""
    x, kernel = draw(rng, 2, 5, 6, 3), draw(rng, 3, 2, 3, 4)
    want = scratch.conv2d_forward(x, kernel)[0]
    hint = "Each filter reads all channels of its patch and adds them up; images never mix. Height comes before width."
    expect_close(answers.conv2d(x, kernel), want, hint)


@hidden("conv2d", points=0.5)
def one_bias_per_filter(answers, rng):
    """One number more for each filter"""
    x, kernel, bias = draw(rng, 2, 5, 5, 1), draw(rng, 2, 2, 1, 3), rng.permutation([-2.0, 1.0, 5.0])
    want = scratch.conv2d_forward(x, kernel, bias)[0]
    expect_close(answers.conv2d(x, kernel, bias), want, "The bias of a filter is added to its whole feature map.")


@hidden("conv2d", points=1)
def long_steps(answers, rng):
    """Steps of two and three"""
    x, kernel = draw(rng, 1, 8, 10, 2), draw(rng, 2, 3, 2, 2)
    for stride in (2, 3):
        want = scratch.conv2d_forward(x, kernel, stride=stride)[0]
        hint = "Output (i, j) reads the patch whose corner is i steps down and j steps to the right."
        expect_close(answers.conv2d(x, kernel, stride=stride), want, hint)


@hidden("conv2d", points=1)
def zeros_around(answers, rng):
    """Zeros by number, and by the word full"""
    x, kernel = draw(rng, 1, 4, 5, 2), draw(rng, 3, 2, 2, 2)
    for padding in (draw_int(rng, 1, 2), "full"):
        want = scratch.conv2d_forward(x, kernel, padding=padding)[0]
        hint = "Rows and columns have their own amounts when the kernel is not square. Batch and channels get no zeros."
        expect_close(answers.conv2d(x, kernel, padding=padding), want, hint)


@hidden("conv2d", points=1)
def same_as_tensorflow(answers, rng):
    """Zeros that are not symmetric, by the word same"""
    x = draw(rng, 1, 6, 7, 2)
    for taps, stride in ((2, 1), (3, 2)):
        kernel = draw(rng, taps, taps, 2, 2)
        want = scratch.conv2d_forward(x, kernel, stride=stride, padding="same")[0]
        hint = "Count the zeros for each axis alone, with its own size and the stride, and put each on its side."
        expect_close(answers.conv2d(x, kernel, stride=stride, padding="same"), want, hint)


@hidden("conv2d", points=0.5)
def channels_disagree(answers, rng):
    """A kernel made for another number of channels"""
    x, kernel = draw(rng, 1, 4, 4, draw_int(rng, 2, 4)), draw(rng, 3, 3, 1, 2)
    hint = "Compare the channels of image and kernel first: NumPy may stretch an axis of one without a word."
    expect_raises(lambda: answers.conv2d(x, kernel), "ValueError", hint)


# max_pool2d


@visible("max_pool2d", points=1)
def four_windows(answers, rng):
    """Four windows of a small picture"""
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, :, :, None]
    want = np.array([[6.0, 8], [3, 4]])[None, :, :, None]
    hint = "Without a stride the windows touch and do not overlap."
    expect_close(answers.max_pool2d(x), want, hint)


@hidden("max_pool2d", points=1)
def overlapping_windows(answers, rng):
    """Windows of three, steps of two"""
    x = draw(rng, 2, 7, 8, 3)
    want = scratch.max_pool2d_forward(x, 3, stride=2)[0]
    hint = "Every image and every channel is pooled alone. A window that does not fit is left out."
    expect_close(answers.max_pool2d(x, 3, stride=2), want, hint)


@hidden("max_pool2d", points=1)
def nothing_positive(answers, rng):
    """Windows over the border of an image without a positive pixel"""
    x = draw(rng, 2, 5, 6, 3) - 10
    for size in (2, 3):
        want = scratch.max_pool2d_forward(x, size, stride=2, padding="same")[0]
        hint = "What lies outside the image must never win, whatever the pixels are."
        expect_close(answers.max_pool2d(x, size, stride=2, padding="same"), want, hint)


# avg_pool2d


@visible("avg_pool2d", points=0.5)
def four_means(answers, rng):
    """The means of the same four windows"""
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, :, :, None]
    want = np.array([[3.25, 5.25], [2, 2]])[None, :, :, None]
    expect_close(answers.avg_pool2d(x), want, "Without a stride the windows touch and do not overlap.")


@hidden("avg_pool2d", points=0.5)
def overlapping_means(answers, rng):
    """Means of overlapping windows"""
    x = draw(rng, 2, 7, 8, 3)
    want = scratch.avg_pool2d_forward(x, 3, stride=2)[0]
    hint = "Every image and every channel is pooled alone. A window that does not fit is left out."
    expect_close(answers.avg_pool2d(x, 3, stride=2), want, hint, rtol=1e-5, atol=1e-5)


@hidden("avg_pool2d", points=0.5)
def means_at_the_border(answers, rng):
    """The mean of a window that hangs over the border"""
    x = draw(rng, 2, 5, 6, 3) + 20
    want = scratch.avg_pool2d_forward(x, 3, stride=2, padding="same")[0]
    hint = "Divide by the number of real pixels in the window, which is smaller at the border."
    expect_close(answers.avg_pool2d(x, 3, stride=2, padding="same"), want, hint, rtol=1e-5)


# layer_cost


@visible("layer_cost", points=0.5)
def ten_filters(answers, rng):
    """Ten filters of five by five on a small colour image"""
    hint = "Return a pair, parameters first. How many weights has one filter, and at how many places does it stand?"
    expect_equal(answers.layer_cost(32, 5, 3, 10, padding=2), (760, 768_000), hint)


@hidden("layer_cost", points=0.5)
def parameters(answers, rng):
    """Parameters of a drawn layer"""
    size, taps, channels, filters = draw_int(rng, 8, 30), draw_int(rng, 2, 5), draw_int(rng, 2, 9), draw_int(rng, 2, 20)
    hint = "Parameters are the weights of all filters, and the bias of each. The image does not matter."
    got = pair(answers.layer_cost(size, taps, channels, filters))[0]
    expect_equal(got, shapes.conv_params(taps, channels, filters), hint)


@hidden("layer_cost", points=0.5)
def multiply_adds(answers, rng):
    """Multiply-adds with steps and zeros"""
    taps, channels, filters = 3 + 2 * draw_int(rng, 0, 1), draw_int(rng, 2, 9), draw_int(rng, 2, 20)
    hint = "Every number of the output costs one multiply-add per weight of its filter. How many are there with steps?"
    for size, padding in ((2 * draw_int(rng, 5, 15), "same"), (taps + 1 + 2 * draw_int(rng, 4, 9), "valid")):
        got = pair(answers.layer_cost(size, taps, channels, filters, stride=2, padding=padding))[1]
        expect_equal(got, shapes.conv_macs(size, taps, channels, filters, stride=2, padding=padding), hint)


def pair(got):
    expect(isinstance(got, tuple | list) and len(got) == 2, "Return two numbers: parameters, multiply-adds.")
    return got
