"""Checks of assignment 4. Networks cross as structure, weights and predictions; losses are compared with each other."""

import itertools

import numpy as np

from course_cnn import scratch
from course_cnn.grading import expect, expect_close, expect_equal, expect_raises, hidden, visible


def network(got, hint):
    """Return an answer that is a Keras model, or fail."""
    expect(hasattr(got, "kinds"), f"No Keras model came back. {hint}")
    return got


def one_block(answers, *settings):
    got = answers.one_block(*settings)
    return network(got, "Does `residual_block` return a tensor? Is `one_block` as it was given?")


def resnet(answers, *settings):
    return network(answers.build_resnet(*settings), "Does `build_resnet` return a `keras.Model`?")


def kind(layer):
    """The kind of a layer; both ways to write a ReLU are one kind, any other activation goes by its name."""
    if layer.kind == "Activation":
        return "ReLU" if layer.config.get("activation") == "relu" else f"Activation {layer.config.get('activation')}"
    return layer.kind


def way(model, name):
    """The layers from the input to the layer `name`, in order, where each reads just one other."""
    layers, found = {layer.name: layer for layer in model.layers}, []
    while True:
        expect(name in layers, "Make every step a layer of its own: Conv2D, BatchNormalization, ReLU, Add.")
        if layers[name].kind == "InputLayer":
            return found[::-1]
        expect(len(layers[name].inputs) == 1, "Follow the arrows of the drawing: which layer reads which?")
        expect(len(found) < len(layers), "Follow the arrows of the drawing: which layer reads which?")
        found.append(layers[name])
        name = layers[name].inputs[0]


def two_ways(model):
    """Both ways to the addition that ends a block: the layers of F(x), and those of the shortcut."""
    expect(len(model.layers) > 2, "The block has hardly any layers. Does `residual_block` return its last tensor?")
    hint = "The block ends with the addition and one ReLU after it."
    expect(kind(model.layers[-1]) == "ReLU" and kind(model.layers[-2]) == "Add", hint)
    expect(model.layers[-1].inputs == [model.layers[-2].name], hint)
    expect(len(model.layers[-2].inputs) == 2, "Two things are added: F(x) and the shortcut.")
    ways = [way(model, name) for name in model.layers[-2].inputs]
    return sorted(ways, key=len, reverse=True)


def convolution(layer):
    """What decides the shape and the parameters of a convolution: filters, kernel, strides, padding, bias."""
    return [layer.config.get(key) for key in ("filters", "kernel_size", "strides", "padding", "use_bias")]


def learning_path(model):
    """The 3×3 convolutions of a network, from the input on."""
    return [layer for layer in model.layers if layer.kind == "Conv2D" and layer.config.get("kernel_size") == [3, 3]]


def draw_int(rng, low, high):
    """A whole number from low to high, both included, as Python's own int."""
    return int(rng.integers(low, high + 1))


def draw_batch(rng):
    """x with another range per channel, gamma, beta, and moving averages, all float64."""
    n, h, w, c = draw_int(rng, 2, 4), draw_int(rng, 2, 5), draw_int(rng, 6, 8), draw_int(rng, 2, 5)
    x = rng.normal(rng.uniform(-5, 5, c), rng.uniform(0.5, 3, c), (n, h, w, c))
    x += rng.normal(0, 2, (n, 1, 1, c))  # images differ from each other
    gamma, beta = rng.uniform(0.5, 2, c), rng.normal(0, 1, c)
    return x, gamma, beta, rng.normal(0, 3, c), rng.uniform(1, 9, c)


def three(got):
    """What batch_norm_train returned, if it is three things."""
    expect(isinstance(got, list | tuple) and len(got) == 3, "Return three arrays: y, moving mean, moving variance.")
    return got


def pair(got):
    """What count_params returned, if it is two things."""
    got = got.tolist() if isinstance(got, np.ndarray) else got
    expect(isinstance(got, list | tuple) and len(got) == 2, "Return two numbers: all parameters, and the trained ones.")
    return got


def losses(got, depths):
    """The rows of the experiment as an array (depths, 2), or fail."""
    rows = got.tolist() if isinstance(got, np.ndarray) else got
    expect(isinstance(rows, list | tuple) and len(rows) == len(depths), "Return a list with one tuple per depth.")
    whole = all(isinstance(row, list | tuple) and len(row) == 2 for row in rows)
    expect(whole, "A row holds two losses: of the plain network, and of the residual one.")
    number = all(isinstance(loss, int | float | np.number) for row in rows for loss in row)
    expect(number, "Each loss is a number, as `train` returns it.")
    rows = np.array(rows, dtype="float64")
    expect(np.isfinite(rows).all() and (rows > 0).all(), "A cross-entropy is finite and above 0.")
    return rows


# batch_norm


@visible("batch_norm", points=1)
def four_numbers(answers, rng):
    """Two images of two pixels, one channel: 1, 2, 3 and 6"""
    x = np.array([1.0, 2.0, 3.0, 6.0]).reshape(2, 1, 2, 1)
    got = answers.batch_norm_train(x, np.array([2.0]), np.array([1.0]), np.zeros(1), np.ones(1), epsilon=0.5)
    expect(isinstance(got, list | tuple) and len(got) == 3, "Return three arrays: y, moving mean, moving variance.")
    hint = "All four share one mean and one variance. Epsilon goes to the variance, and the root comes after that."
    expect_close(got[0], np.array([-1.0, 0.0, 1.0, 4.0]).reshape(2, 1, 2, 1), hint)


@hidden("batch_norm", points=1)
def per_channel(answers, rng):
    """Images with several channels, gamma and beta"""
    x, gamma, beta, mean, variance = draw_batch(rng)
    epsilon = float(rng.uniform(0.01, 1))
    want, _ = scratch.batch_norm_forward(x, gamma, beta, epsilon=epsilon)
    got = three(answers.batch_norm_train(x, gamma, beta, mean, variance, epsilon=epsilon))
    hint = "Each channel has one mean, over images, rows and columns. Gamma and beta come after the normalisation."
    expect_close(got[0], want, hint)


@hidden("batch_norm", points=1.5)
def averages_move(answers, rng):
    """The moving averages after one batch"""
    x, gamma, beta, mean, variance = draw_batch(rng)
    for settings in ({}, {"momentum": float(rng.uniform(0.6, 0.9))}):
        _, kept = scratch.batch_norm_forward(x, gamma, beta, mean, variance, **settings)
        got = three(answers.batch_norm_train(x, gamma, beta, mean, variance, **settings))
        hint = "Which share stays, which is new? And is the batch's mean taken over all but the channels?"
        expect_close(got[1], kept.moving_mean, hint)
        hint = "Which share stays, which is new? And by what is the sum of squares divided: the count, or one less?"
        expect_close(got[2], kept.moving_variance, hint)


@hidden("batch_norm", points=1.5)
def inference(answers, rng):
    """At inference: the averages, and no company"""
    x, gamma, beta, mean, variance = draw_batch(rng)
    epsilon = float(rng.uniform(0.01, 1))
    want, _ = scratch.batch_norm_forward(x, gamma, beta, mean, variance, training=False, epsilon=epsilon)
    got = answers.batch_norm_inference(x, gamma, beta, mean, variance, epsilon=epsilon)
    hint = "At inference the statistics of the batch play no part. Is epsilon under the root?"
    expect_close(got, want, hint)
    got = answers.batch_norm_inference(x[:1], gamma, beta, mean, variance, epsilon=epsilon)
    expect_close(got, want[:1], "The answer for an image must not depend on the images beside it.")


# residual_block


@visible("residual_block", points=1)
def same_shape(answers, rng):
    """A block whose output has the shape of its input: which layer follows which"""
    model = answers.one_block(8, 6, 6)
    expect(hasattr(model, "kinds"), "No Keras model came back. Does `residual_block` return a tensor?")
    kinds = ["ReLU" if name == "Activation" else name for name in model.kinds]
    want = ["Conv2D", "BatchNormalization", "ReLU", "Conv2D", "BatchNormalization", "Add", "ReLU"]
    hint = "Compare with the drawing, from top to bottom. The shortcut is x itself here and has no layer."
    expect_equal(kinds, want, hint)


@visible("residual_block", points=1)
def output_shapes(answers, rng):
    """The shape that comes out: more filters, strides, both, and an odd number of pixels"""
    for size, filters, strides, out in ((8, 12, 1, 8), (8, 6, 2, 4), (8, 12, 2, 4), (7, 6, 2, 4)):
        model = answers.one_block(size, 6, filters, strides)
        expect(hasattr(model, "kinds"), "No Keras model came back. Does `residual_block` return a tensor?")
        hint = f"It was a block for {size}×{size} pixels and 6 channels, with {filters} filters and strides {strides}."
        expect_equal(model.output_shape, [None, out, out, filters], hint)


@hidden("residual_block", points=1)
def convolutions(answers, rng):
    """The two convolutions of F(x): filters, kernel, strides, padding, bias"""
    channels, strides = draw_int(rng, 3, 9), draw_int(rng, 2, 3)
    filters = channels + draw_int(rng, 1, 4)
    model = one_block(answers, 12, channels, filters, strides)
    found = learning_path(model)
    expect(len(found) == 2, "F(x) has two 3×3 convolutions.")
    for layer, s in zip(found, (strides, 1), strict=True):
        want = [filters, [3, 3], [s, s], "same", False]
        expect(convolution(layer) == want, "Look at filters, strides, padding and `use_bias` of the 3×3 convolutions.")


@hidden("residual_block", points=1.5)
def projection(answers, rng):
    """The shortcut where the shapes differ, and where they do not"""
    channels, strides = draw_int(rng, 3, 9), draw_int(rng, 2, 3)
    cases = [(channels, strides), (channels + 2, 1), (2 * channels, strides), (channels, 1)]
    for filters, s in cases:
        longer, shorter = two_ways(one_block(answers, 12, channels, filters, s))
        kinds = [kind(layer) for layer in longer]
        hint = "One way to the addition is F(x). Compare it with the drawing, from top to bottom."
        expect(kinds == ["Conv2D", "BatchNormalization", "ReLU", "Conv2D", "BatchNormalization"], hint)
        if (filters, s) == (channels, 1):
            expect(not shorter, "Where the shapes agree, x itself is added: no layer on the shortcut.")
            continue
        hint = "Where strides or channels change, the shortcut is a projection and a batch normalisation, and no more."
        expect([kind(layer) for layer in shorter] == ["Conv2D", "BatchNormalization"], hint)
        got = [shorter[0].config.get(key) for key in ("filters", "kernel_size", "strides", "use_bias")]
        hint = "Look at filters, kernel, strides and `use_bias` of the projection."
        expect(got == [filters, [1, 1], [s, s], False], hint)


@hidden("residual_block", points=0.5)
def plain_block(answers, rng):
    """The plain block, with and without strides"""
    channels, filters = draw_int(rng, 3, 9), draw_int(rng, 3, 9)
    for strides in (1, 2):
        model = one_block(answers, 8, channels, filters, strides, False)
        want = ["Conv2D", "BatchNormalization", "ReLU", "Conv2D", "BatchNormalization", "ReLU"]
        hint = "With shortcut=False: the same layers, but no projection and no addition."
        expect([kind(layer) for layer in way(model, model.layers[-1].name)] == want, hint)
        expect(len(model.kinds) == len(want), hint)


@hidden("residual_block", points=1)
def block_computes(answers, rng):
    """What comes out of the block, for images drawn anew"""
    channels = draw_int(rng, 3, 6)
    for filters, strides in ((channels, 1), (channels + 3, 2)):
        model, x = one_block(answers, 8, channels, filters, strides), rng.normal(size=(3, 8, 8, channels))
        expect("Add" in model.kinds, "Where is the addition?")
        y = model.predict(x)
        expect(y.shape[-1:] == (filters,) and y.min() >= 0 and y.max() > 0, "What comes last, the ReLU or the sum?")
        hint = "The block computes something else than its layers say."
        expect_close(y, model.recompute(x), hint, rtol=1e-3, atol=1e-3)


# build_resnet


@visible("build_resnet", points=1)
def eight_layers(answers, rng):
    """The smallest network: its input, its output, its blocks, its layers with weights"""
    model = answers.build_resnet(8, 4)
    expect(hasattr(model, "kinds"), "No Keras model came back. Does `build_resnet` return a `keras.Model`?")
    expect_equal(model.input_shape, [None, 16, 16, 3], "This is the input: the batch, rows, columns, channels.")
    expect_equal(model.output_shape, [None, 10], "The last table row: one number per class.")
    expect_equal(model.kinds.count("Add"), 3, "Count the additions: one per block. How many blocks are in a stage?")
    counted = [layer for layer in model.layers if layer.kind == "Dense"]
    counted += [layer for layer in model.layers if layer.kind == "Conv2D" and layer.config.get("kernel_size") == [3, 3]]
    expect_equal(len(counted), 8, "Count the 3×3 convolutions and the dense layer.")


@hidden("build_resnet", points=1)
def stages(answers, rng):
    """A deeper network: filters and strides of all convolutions on the main way"""
    n, width = draw_int(rng, 2, 3), draw_int(rng, 3, 8)
    model = resnet(answers, 6 * n + 2, width)
    got = [convolution(layer) for layer in learning_path(model)]
    want = [[width, [3, 3], [1, 1], "same", False]]
    for stage in range(3):
        for i in range(2 * n):
            strides = 2 if stage and i == 0 else 1
            want.append([width * 2**stage, [3, 3], [strides, strides], "same", False])
    expect(len(got) == len(want), "Count blocks: each of the three stages has as many as the table says.")
    expect(got == want, "Where do the filters double? Which convolutions have larger strides, or a bias?")
    kinds = [kind(layer) for layer in model.layers]
    hint = "Look at the first and at the last row of the table: what stands before and behind the blocks?"
    expect(kinds[1:4] == ["Conv2D", "BatchNormalization", "ReLU"], hint)
    expect(kinds[-2:] == ["GlobalAveragePooling2D", "Dense"], hint)


@hidden("build_resnet", points=0.5)
def no_such_depth(answers, rng):
    """Depths that no such network has"""
    hint = "Which depths are of the form 6n + 2? For all others raise a ValueError."
    for depth in (6 * draw_int(rng, 1, 5) + draw_int(rng, 3, 7), 2):
        text = f"The depth was {depth}. {hint}"
        expect_raises(lambda depth=depth: answers.build_resnet(depth, 2), "ValueError", text)


@hidden("build_resnet", points=0.5)
def plain_network(answers, rng):
    """The plain network: the same convolutions, no additions"""
    n, width = 1, draw_int(rng, 2, 6)
    plain, residual = resnet(answers, 6 * n + 2, width, False), resnet(answers, 6 * n + 2, width)
    hint = "Hand `shortcut` on to every block. Only additions and projections go."
    expect("Add" in residual.kinds, "With shortcuts there is an addition in every block. Are there any blocks?")
    expect("Add" not in plain.kinds, hint)
    same = [[convolution(layer) for layer in learning_path(model)] for model in (plain, residual)]
    expect(same[0] == same[1], hint)
    expect(plain.kinds.count("Conv2D") == len(same[0]), hint)


@hidden("build_resnet", points=1)
def logits(answers, rng):
    """What the network says about images drawn anew, and how many parameters it has"""
    width = draw_int(rng, 2, 5)
    model, x = resnet(answers, 8, width), rng.normal(size=(3, 16, 16, 3))
    hint = "Compare the numbers of parameters with question 4: biases, batch normalisations, projections, dense layer."
    expect((model.params, model.trainable_params) == counted_by_list(8, width), hint)
    hint = "The network ends in logits: no softmax."
    expect(model.layers[-1].config.get("activation") in ("linear", None), hint)
    expect_equal(model.output_shape, [None, 10], "One number per class.")
    hint = "The network computes something else than its layers say."
    expect_close(model.predict(x), model.recompute(x), hint, rtol=1e-3, atol=1e-3)


def counted_by_list(depth, width):
    """(total, trained) of the network, out of a list of all convolutions (kernel, channels, filters)."""
    n = (depth - 2) // 6
    sizes = [width] + [width * 2**stage for stage in range(3) for _ in range(2 * n)]
    listed = [(3, 3, width)] + [(3, a, b) for a, b in itertools.pairwise(sizes)]
    listed += [(1, width, 2 * width), (1, 2 * width, 4 * width)]
    weights = sum(k * k * a * b for k, a, b in listed) + 4 * width * 10 + 10
    filters = sum(b for _, _, b in listed)
    return weights + 4 * filters, weights + 2 * filters


# count_params


@visible("count_params", points=1)
def narrowest(answers, rng):
    """8 layers and a single filter in the first stage"""
    hint = "Write down layer by layer what it has, on paper, and add up. Are the projections among them?"
    expect_equal(answers.count_params(8, 1), (459, 417), hint)


@hidden("count_params", points=1)
def all_parameters(answers, rng):
    """All parameters of a deep network"""
    for _ in range(4):
        depth, width = 6 * draw_int(rng, 2, 30) + 2, draw_int(rng, 2, 32)
        got = pair(answers.count_params(depth, width))
        hint = f"That was for {depth} layers and a width of {width}. Does it agree with Keras for 14 layers?"
        expect_equal(got[0], counted_by_list(depth, width)[0], hint)


@hidden("count_params", points=1)
def trained_parameters(answers, rng):
    """The trained ones among them"""
    for _ in range(4):
        depth, width = 6 * draw_int(rng, 2, 30) + 2, draw_int(rng, 2, 32)
        got = pair(answers.count_params(depth, width))
        hint = f"That was for {depth} layers and a width of {width}. What does no gradient reach?"
        expect_equal(got[1], counted_by_list(depth, width)[1], hint)


# depth_experiment. 20 layers, 32 images of noise, 52 seeds of the reference: after five steps every plain loss is above
# 1.7, every residual one below 1.0


@visible("depth_experiment", points=1)
def one_row_per_depth(answers, rng):
    """Two losses for the one depth asked for"""
    x, y = rng.normal(size=(16, 16, 16, 3)), np.arange(16) % 10
    got = answers.depth_experiment([8], x, y, 1, steps=1)
    got = got.tolist() if isinstance(got, np.ndarray) else got
    expect(isinstance(got, list | tuple) and len(got) == 1, "Return a list with one tuple per depth.")
    expect(isinstance(got[0], list | tuple) and len(got[0]) == 2, "A row holds two losses: plain, residual.")
    good = all(isinstance(loss, int | float | np.number) and 0 < loss < 100 for loss in got[0])
    expect(good, "Each loss is the number that `train` returned for images and labels as given.")


@hidden("depth_experiment", points=1)
def same_start(answers, rng):
    """A network's loss depends on its seed, not on what was built before it"""
    x, y = rng.normal(size=(16, 16, 16, 3)), rng.permutation(16) % 10
    seed = draw_int(rng, 0, 9999)
    first, second = losses(answers.depth_experiment([8, 8], x, y, seed, steps=1), [8, 8])
    hint = "The same depth twice in a list gave different losses. Where do you set the seed?"
    expect(np.allclose(first, second, rtol=2e-3, atol=1e-4), hint)
    (other,) = losses(answers.depth_experiment([8], x, y, seed + 1, steps=1), [8])
    expect(not np.allclose(first, other, rtol=2e-3, atol=1e-4), "Another seed must give other first weights.")


@hidden("depth_experiment", points=1)
def deep_networks(answers, rng):
    """Twenty layers, plain and residual"""
    x, y = rng.normal(size=(32, 16, 16, 3)), rng.integers(10, size=32)
    ((plain, residual),) = losses(answers.depth_experiment([20], x, y, draw_int(rng, 0, 9999), steps=5), [20])
    hint = "Which network is which? Is it the loss after training, and are both 8 filters wide?"
    expect(residual < plain, f"The first loss was {plain:.2f}, the second {residual:.2f}. {hint}")
