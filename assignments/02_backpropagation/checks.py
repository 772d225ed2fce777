"""Checks of assignment 2. References: the library, and central differences of the student's own forward passes."""

import numpy as np

from course_cnn import scratch
from course_cnn.grading import expect, expect_close, hidden, visible


def parts(got, *names):
    """What came back, once it is clear that it is a tuple of as many things as were asked for."""
    expect(isinstance(got, list | tuple) and len(got) == len(names), f"Return the tuple ({', '.join(names)}).")
    return got


def numbers(got, shape, hint):
    """What came back as an array to calculate with, once it is clear that it holds finite numbers of that shape."""
    expect_close(got, np.zeros(shape), hint, atol=1e100)
    return 0.0 + np.asarray(got)


def agree(slope, measured):
    """Whether the slope that a gradient promises in one direction is the one measured there."""
    return np.isclose(slope, measured, rtol=1e-5, atol=1e-7)


# Question 1: a dense layer


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


def drawn_dense(rng):
    """Arguments of a dense layer with three different sizes, and a dy."""
    n = int(rng.integers(2, 5))
    d_in = n + int(rng.integers(1, 3))
    d_out = d_in + int(rng.integers(1, 3))
    x, kernel, bias, dy = (rng.normal(size=s) for s in ((n, d_in), (d_in, d_out), d_out, (n, d_out)))
    return x, kernel, bias, dy


@hidden("dense", points=1)
def drawn_dense_forward(answers, rng):
    """A dense layer of drawn size, forward"""
    x, kernel, bias, _ = drawn_dense(rng)
    want, _ = scratch.dense_forward(x, kernel, bias)
    expect_close(answers.dense_forward(x, kernel, bias), want, "Weigh, add up, and add the bias to every row.")


@hidden("dense", points=1)
def drawn_dense_dx(answers, rng):
    """A dense layer of drawn size: dx"""
    x, kernel, bias, dy = drawn_dense(rng)
    _, cache = scratch.dense_forward(x, kernel, bias)
    dx, _, _ = parts(answers.dense_backward(dy, x, kernel), "dx", "dkernel", "dbias")
    expect_close(dx, scratch.dense_backward(dy, cache)[0], "An input reaches every output, along one row of weights.")


@hidden("dense", points=1)
def drawn_dense_dkernel(answers, rng):
    """A dense layer of drawn size: dkernel"""
    x, kernel, bias, dy = drawn_dense(rng)
    _, cache = scratch.dense_forward(x, kernel, bias)
    _, dkernel, _ = parts(answers.dense_backward(dy, x, kernel), "dx", "dkernel", "dbias")
    want = scratch.dense_backward(dy, cache)[1]
    expect_close(dkernel, want, "A weight meets one input in each image: multiply by that image's dy, add up, no mean.")


@hidden("dense", points=0.5)
def drawn_dense_dbias(answers, rng):
    """A dense layer of drawn size: dbias"""
    x, kernel, bias, dy = drawn_dense(rng)
    _, cache = scratch.dense_forward(x, kernel, bias)
    _, _, dbias = parts(answers.dense_backward(dy, x, kernel), "dx", "dkernel", "dbias")
    want = scratch.dense_backward(dy, cache)[2]
    expect_close(dbias, want, "The loss has divided by the number of images already: add up, no mean.")


@hidden("dense", points=0.5)
def dense_slopes(answers, rng):
    """dense_backward gives the slopes of your own dense_forward"""
    x, kernel, bias, dy = drawn_dense(rng)
    arguments = (x, kernel, bias)
    names = ("dx", "dkernel", "dbias")
    gradients = parts(answers.dense_backward(dy, x, kernel), *names)
    for k, name in enumerate(names):
        gradient = numbers(gradients[k], arguments[k].shape, f"This is {name}.")
        direction = rng.normal(size=arguments[k].shape)
        losses = []
        for step in (1e-4, -1e-4):
            moved = [a + step * direction if i == k else a for i, a in enumerate(arguments)]
            losses.append((numbers(answers.dense_forward(*moved), dy.shape, "This is the forward pass.") * dy).sum())
        hint = f"Compare {name} with numerical_gradient, as in the cell below the question."
        expect(agree((gradient * direction).sum(), (losses[0] - losses[1]) / 2e-4), hint)


# Question 2: ReLU


@visible("relu", points=0.5)
def small_relu(answers, rng):
    """Four numbers, two of them let through"""
    dx = answers.relu_backward(np.array([10.0, -20.0, 30.0, -40.0]), np.array([-2.0, 3.0, 0.5, -0.1]))
    expect_close(dx, [0, -20, 30, 0], "Look at the sign of the input, number by number; dy may have any sign.")


@hidden("relu", points=1)
def drawn_relu(answers, rng):
    """Feature maps of drawn size"""
    x, dy = rng.normal(size=(2, 2, 3, *rng.integers(2, 5, size=2)))
    dx = scratch.relu_backward(dy, scratch.relu_forward(x)[1])
    expect_close(answers.relu_backward(dy, x), dx, "Does it work with any number of axes, and with dy of both signs?")


@hidden("relu", points=0.5)
def relu_at_zero(answers, rng):
    """Inputs that are exactly zero"""
    x, dy = rng.permutation(np.repeat([-1.0, 0.0, 2.0], 4)), rng.normal(size=12)
    dx = scratch.relu_backward(dy, scratch.relu_forward(x)[1])
    expect_close(answers.relu_backward(dy, x), dx, "Read once more which of the two slopes we take at the kink.")


# Question 3: softmax and cross-entropy


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


def drawn_scores(rng):
    """A batch of scores around 0 and its labels, at least three images."""
    n, c = int(rng.integers(3, 7)), int(rng.integers(3, 6))
    return 2 * rng.normal(size=(n, c)), rng.integers(c, size=n)


def far_scores(rng):
    """Scores far from 0: images around 1000 and -1000, and with a right class far below or above the others."""
    scores, labels = rng.normal(size=(5, 4)), rng.integers(4, size=5)
    scores += np.array([1000.0, -1000.0, 2000.0, 0.0, 0.0])[:, None] + 50 * rng.random((5, 1))
    scores[3, labels[3]] -= 1000
    scores[4, labels[4]] += 1000
    order = rng.permutation(5)
    return scores[order], labels[order]


@hidden("softmax_cross_entropy", points=1)
def drawn_loss(answers, rng):
    """A drawn batch: the loss"""
    scores, labels = drawn_scores(rng)
    want, _ = scratch.softmax_cross_entropy_forward(scores, labels)
    hint = "One number for the whole batch: what becomes of the losses of the single images?"
    expect_close(answers.softmax_cross_entropy_forward(scores, labels), want, hint)


@hidden("softmax_cross_entropy", points=1)
def drawn_gradient(answers, rng):
    """A drawn batch: the gradient"""
    scores, labels = drawn_scores(rng)
    _, cache = scratch.softmax_cross_entropy_forward(scores, labels)
    hint = "Each image's share of the loss gets smaller as the batch grows; does its gradient?"
    want = scratch.softmax_cross_entropy_backward(1.0, cache)
    expect_close(answers.softmax_cross_entropy_backward(scores, labels), want, hint)


@hidden("softmax_cross_entropy", points=1)
def loss_slopes(answers, rng):
    """The gradient gives the slopes of your own loss"""
    scores, labels = drawn_scores(rng)
    got = answers.softmax_cross_entropy_backward(scores, labels)
    gradient = numbers(got, scores.shape, "This is the gradient by the scores.")
    for _ in range(2):
        direction = rng.normal(size=scores.shape)
        up, down = (
            numbers(answers.softmax_cross_entropy_forward(scores + step * direction, labels), (), "This is the loss.")
            for step in (1e-5, -1e-5)
        )
        hint = "Compare the gradient with numerical_gradient, as in the cell below the question."
        expect(agree((gradient * direction).sum(), (up - down) / 2e-5), hint)


@hidden("softmax_cross_entropy", points=0.5)
def far_loss(answers, rng):
    """Scores far from zero: the loss"""
    scores, labels = far_scores(rng)
    want, _ = scratch.softmax_cross_entropy_forward(scores, labels)
    hint = "Take off each image's own largest score, and take the logarithm before anything has become zero."
    expect_close(answers.softmax_cross_entropy_forward(scores, labels), want, hint)


@hidden("softmax_cross_entropy", points=0.5)
def far_gradient(answers, rng):
    """Scores far from zero: the gradient"""
    scores, labels = far_scores(rng)
    _, cache = scratch.softmax_cross_entropy_forward(scores, labels)
    want = scratch.softmax_cross_entropy_backward(1.0, cache)
    hint = "Take off each image's own largest score before you take powers."
    expect_close(answers.softmax_cross_entropy_backward(scores, labels), want, hint)


# Question 4: a convolution, backward


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


def drawn_conv(rng, stride):
    """dy, x, kernel and the three right gradients; h, w differ, patches overlap, steps above 1 leave pixels over."""
    kh, kw = rng.permutation([stride + 1, stride + 2])
    c_in, filters = rng.permutation([2, 3])
    out = rng.permutation([2, 4])
    h, w = (int(k + stride * (o - 1) + stride - 1) for k, o in zip((kh, kw), out, strict=True))
    x, kernel = rng.normal(size=(5, h, w, c_in)), rng.normal(size=(kh, kw, c_in, filters))
    y, cache = scratch.conv2d_forward(x, kernel, stride=stride)
    dy = rng.normal(size=y.shape)
    return dy, x, kernel, scratch.conv2d_backward(dy, cache)


@hidden("conv2d_backward", points=1.5)
def drawn_conv_dx(answers, rng):
    """A drawn convolution with several channels: dx"""
    dy, x, kernel, (want, _, _) = drawn_conv(rng, 1)
    dx, _, _ = parts(answers.conv2d_backward(dy, x, kernel), "dx", "dkernel", "dbias")
    expect_close(dx, want, "A pixel gets weight times dy from every output it took part in; add up over the filters.")


@hidden("conv2d_backward", points=1.5)
def drawn_conv_dkernel(answers, rng):
    """A drawn convolution with several channels: dkernel"""
    dy, x, kernel, (_, want, _) = drawn_conv(rng, 1)
    _, dkernel, _ = parts(answers.conv2d_backward(dy, x, kernel), "dx", "dkernel", "dbias")
    expect_close(dkernel, want, "A weight gets pixel times dy at every position, in every image; add up, no mean.")


@hidden("conv2d_backward", points=1)
def drawn_conv_dbias(answers, rng):
    """A drawn convolution with several channels: dbias"""
    dy, x, kernel, (_, _, want) = drawn_conv(rng, 1)
    _, _, dbias = parts(answers.conv2d_backward(dy, x, kernel), "dx", "dkernel", "dbias")
    expect_close(dbias, want, "A bias was added once at every position, in every image; add up, no mean.")


@hidden("conv2d_backward", points=1)
def strided_conv_dx(answers, rng):
    """Larger steps, with pixels left over: dx"""
    stride = int(rng.integers(2, 4))
    dy, x, kernel, (want, _, _) = drawn_conv(rng, stride)
    dx, _, _ = parts(answers.conv2d_backward(dy, x, kernel, stride=stride), "dx", "dkernel", "dbias")
    expect_close(dx, want, "Where does the patch of an output begin, and what do pixels get that are in none?")


@hidden("conv2d_backward", points=1)
def strided_conv_dkernel(answers, rng):
    """Larger steps, with pixels left over: dkernel"""
    stride = int(rng.integers(2, 4))
    dy, x, kernel, (_, want, _) = drawn_conv(rng, stride)
    _, dkernel, _ = parts(answers.conv2d_backward(dy, x, kernel, stride=stride), "dx", "dkernel", "dbias")
    expect_close(dkernel, want, "Where does the patch of an output begin?")


# Question 5: two optimisers


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


def drawn_adam(rng):
    """Parameters, gradient, means and settings in the middle of a training; numbers of size about 1."""
    w, g, m = rng.normal(size=(3, 3, 2))
    settings = {
        "learning_rate": rng.uniform(0.1, 0.5),
        "beta_1": rng.uniform(0.7, 0.9),
        "beta_2": rng.uniform(0.9, 0.99),
    }
    return w, g, m, rng.uniform(0.5, 2, size=(3, 2)), int(rng.integers(3, 9)), settings


def right_adam(w, g, m, v, t, **settings):
    """The library's step from the same place: (w, m, v)."""
    (w,), state = scratch.adam([w], [g], scratch.optimizers.AdamState(t - 1, [m], [v]), **settings)
    return w, state.m[0], state.v[0]


@hidden("optimisers", points=1)
def drawn_momentum(answers, rng):
    """A step of momentum from a drawn place, with a drawn velocity"""
    w, g, velocity = rng.normal(size=(3, 2, 3))
    settings = {"learning_rate": rng.uniform(0.1, 0.5), "momentum": rng.uniform(0.3, 0.8)}
    state = scratch.optimizers.MomentumState(1, [velocity])
    (want,), state = scratch.momentum([w], [g], state, **settings)
    got_w, got_velocity = parts(answers.momentum_step(w, g, velocity, **settings), "w", "velocity")
    expect_close(got_w, want, "This is w: it moves by the whole new velocity.")
    expect_close(got_velocity, state.velocity[0], "This is the velocity: does it hold the learning rate and the minus?")


@hidden("optimisers", points=0.5)
def adam_means(answers, rng):
    """The means that a step of Adam hands on"""
    w, g, m, v, t, settings = drawn_adam(rng)
    _, want_m, want_v = right_adam(w, g, m, v, t, **settings)
    _, got_m, got_v = parts(answers.adam_step(w, g, m, v, t, **settings), "w", "m", "v")
    expect_close(got_m, want_m, "This is m: the fading mean of the gradients, handed on without the correction.")
    expect_close(got_v, want_v, "This is v: the fading mean of the squares, handed on without the correction.")


@hidden("optimisers", points=1)
def drawn_adam_step(answers, rng):
    """A step of Adam in the middle of a training"""
    w, g, m, v, t, settings = drawn_adam(rng)
    want, _, _ = right_adam(w, g, m, v, t, epsilon=1e-12, **settings)
    got, _, _ = parts(answers.adam_step(w, g, m, v, t, epsilon=1e-12, **settings), "w", "m", "v")
    expect_close(got, want, "Are both means corrected, each with its own beta and with the number of this step?")


@hidden("optimisers", points=0.5)
def adam_epsilon(answers, rng):
    """A large epsilon, to see where it stands"""
    w, g, m, v, t, settings = drawn_adam(rng)
    want, _, _ = right_adam(w, g, m, v, t, epsilon=0.5, **settings)
    got, _, _ = parts(answers.adam_step(w, g, m, v, t, epsilon=0.5, **settings), "w", "m", "v")
    expect_close(got, want, "Epsilon is added to the root of the corrected mean.")


@hidden("optimisers", points=1)
def adam_walk(answers, rng):
    """Five steps of Adam from the start, each with what the last one returned"""
    w = want = rng.normal(size=4)
    m, v, want_m, want_v = np.zeros((4, 4))
    for t in range(1, 6):
        g = rng.uniform(0.5, 2, size=4) * rng.choice([-1, 1], size=4)
        want, want_m, want_v = right_adam(want, g, want_m, want_v, t, learning_rate=0.1, epsilon=1e-12)
        got = answers.adam_step(w, g, m, v, t, learning_rate=0.1, epsilon=1e-12)
        w, m, v = (numbers(a, 4, "Return arrays of the shape of w.") for a in parts(got, "w", "m", "v"))
    expect_close(w, want, "Go through two steps on paper: what is corrected, and what is handed on?")
