"""AlexNet against the figures of its paper, an independent count, and the same net put together in another way."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import datasets, shapes, training
from course_cnn.layers import LocalResponseNormalization
from course_cnn.zoo import build_alexnet, published
from course_cnn.zoo.alexnet import CONVOLUTIONS

SMALL = {"width": 1 / 16, "input_shape": (67, 71, 3), "num_classes": 5}
WEIGHTED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "output")


def figure(key):
    return published.figure(f"alexnet/{key}").value


def layer_params(model):
    return tuple(model.get_layer(name).count_params() for name in WEIGHTED)


@pytest.fixture(scope="module", params=["full", "grouped"])
def alexnet(request):
    """The net in its full size, 250 MB of weights, built once for each form."""
    yield request.param, build_alexnet(grouped=request.param == "grouped")
    keras.utils.clear_session()


@pytest.mark.slow
def test_published_counts(alexnet):
    form, model = alexnet
    end = "-grouped" if form == "grouped" else ""
    assert model.count_params() == figure(f"params{end}") == sum(figure(f"layer-params{end}"))
    assert layer_params(model) == figure(f"layer-params{end}")
    assert model.count_params() == pytest.approx(figure("params-paper"), rel=0.05)
    assert sum(len(layer.weights) > 0 for layer in model.layers) == 8  # "eight learned layers"


@pytest.mark.slow
def test_published_sizes_and_units(alexnet):
    _, model = alexnet
    outputs = [model.get_layer(name).output.shape[1:] for name in WEIGHTED]
    assert tuple(h for h, *_ in outputs[:5]) == tuple(w for _, w, _ in outputs[:5]) == figure("sizes")
    assert tuple(c for *_, c in outputs[:5]) == figure("filters")
    units = tuple(math.prod(shape) for shape in outputs)
    assert units == (figure("units-conv1"), *figure("units"))
    assert figure("units-conv1-paper") == 55 * 48 * 96  # how the printed number may have come about
    assert sum(units) == pytest.approx(figure("units-paper"), rel=0.02)
    assert model.get_layer("pool5").output.shape == (None, 6, 6, 256)


@pytest.mark.parametrize("grouped", [False, True])
def test_counts_by_the_formulas_alone(grouped):
    """Parameters and multiply-adds from the paper's numbers, written out here, without building anything."""
    halves = 2 if grouped else 1
    layers = [(227, 11, 3, 96, 4, 0, 1), (27, 5, 96, 256, 1, 2, halves), (13, 3, 256, 384, 1, 1, 1),
              (13, 3, 384, 384, 1, 1, halves), (13, 3, 384, 256, 1, 1, halves)]  # fmt: skip
    dense = [(6 * 6 * 256, 4096), (4096, 4096), (4096, 1000)]
    params = [shapes.conv_params(k, i, f, groups=g) for _, k, i, f, _, _, g in layers] + [(i + 1) * o for i, o in dense]
    assert tuple(params) == figure("layer-params-grouped" if grouped else "layer-params")
    convolutions = sum(
        shapes.conv_macs(size, k, i, f, stride=s, padding=p, groups=g) for size, k, i, f, s, p, g in layers
    )
    if grouped:
        assert convolutions == pytest.approx(figure("macs-conv"), abs=0.5e6)
        assert sum(i * o for i, o in dense) == pytest.approx(figure("macs-dense"), abs=0.05e6)
        assert convolutions + sum(i * o for i, o in dense) == pytest.approx(figure("macs-grouped"), abs=0.5e6)
    table = [(k, f, s, p, g if grouped else 1) for _, f, k, s, p, g, _, _ in CONVOLUTIONS]
    assert table == [(k, f, s, p, g) for _, k, _, f, s, p, g in layers]


def test_224_with_two_zeros_is_the_same_net_and_without_is_another():
    small = {"width": 1 / 16, "num_classes": 10}
    paper, padded, bare = (
        build_alexnet(**small, **kw)
        for kw in ({}, {"input_shape": (224, 224, 3), "padding": 2}, {"input_shape": (224, 224, 3)})
    )
    names = ("conv1", "pool1", "pool2", "pool5")
    assert [padded.get_layer(name).output.shape[1] for name in names] == [55, 27, 13, 6]
    assert [bare.get_layer(name).output.shape[1] for name in names] == [54, 26, 12, 5]
    assert layer_params(padded) == layer_params(paper)
    padded.set_weights(paper.get_weights())
    x = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    wide = np.zeros((1, 227, 227, 3), "float32")
    wide[:, 2:-1, 2:-1] = x  # of 228 pixels with zeros the last one is not looked at
    np.testing.assert_allclose(padded(x), paper(wide), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("grouped", [False, True])
def test_outputs_are_those_of_two_gpus(grouped):
    """The halves computed apart, on two "GPUs", and joined where the paper joins them."""
    keras.utils.set_random_seed(0)
    model = build_alexnet(grouped=grouped, **SMALL)
    x = np.random.default_rng(0).normal(size=(2, 67, 71, 3)).astype("float32")
    maps = x
    for name, _, _, stride, zeros, groups, _, pool in CONVOLUTIONS:
        kernel, bias = model.get_layer(name).get_weights()
        groups = groups if grouped else 1
        padded = np.pad(maps, [(0, 0), (zeros, zeros), (zeros, zeros), (0, 0)])
        parts = [
            keras.ops.conv(part, half, strides=stride, padding="valid")
            for part, half in zip(np.split(padded, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True)
        ]
        maps = np.maximum(np.concatenate(parts, axis=-1) + bias, 0)
        if pool:
            maps = np.array(keras.ops.max_pool(maps, 3, 2))
    y = maps.reshape(2, -1)
    for name in WEIGHTED[5:]:
        kernel, bias = model.get_layer(name).get_weights()
        y = y @ kernel + bias
        y = y if name == "output" else np.maximum(y, 0)
    np.testing.assert_allclose(model(x, training=False), y, rtol=1e-4, atol=1e-6)


def test_normalisation_is_where_the_paper_has_it():
    plain, local, batch = (build_alexnet(normalization=kind, **SMALL) for kind in (None, "lrn", "batch"))
    names = {kind: [layer.name for layer in m.layers] for kind, m in (("lrn", local), ("batch", batch))}
    assert names["lrn"][1:7] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    norms = [layer for layer in local.layers if isinstance(layer, LocalResponseNormalization)]
    assert len(norms) == 2
    for norm in norms:
        assert (norm.k, 2 * norm.depth_radius + 1, norm.alpha, norm.beta) == figure("lrn")
    assert local.count_params() == plain.count_params()
    assert names["batch"][1:5] == ["conv1", "norm1", "relu1", "pool1"]
    channels = sum(plain.get_layer(name).filters for name in WEIGHTED[:5])
    assert batch.count_params() == plain.count_params() + (4 - 1) * channels  # four numbers more, one bias less
    assert 4 * sum(figure("filters")) == 5_504


def test_dropout_and_logits():
    model = build_alexnet(dropout=0.3, **SMALL)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    activations = [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")]
    assert activations == ["relu"] * 7 + ["linear"]


@settings(max_examples=15, deadline=None)
@given(
    width=st.floats(0.004, 0.2), grouped=st.booleans(), h=st.integers(60, 90), w=st.integers(60, 90),
    padding=st.integers(0, 3),
)  # fmt: skip
def test_any_width_and_image(width, grouped, h, w, padding):
    arguments = {"width": width, "grouped": grouped, "input_shape": (h, w, 1), "padding": padding, "num_classes": 3}
    if min(h, w) + 2 * padding < 67:
        with pytest.raises(ValueError, match=f"left of the image at pool5: .*at least {67 - 2 * padding} x"):
            build_alexnet(**arguments)
        arguments["input_shape"] = (max(h, 67 - 2 * padding), max(w, 67 - 2 * padding), 1)  # the remedy
    model = build_alexnet(**arguments)
    assert model.output_shape == (None, 3)
    for name, filters, *_ in CONVOLUTIONS:
        got = model.get_layer(name).filters
        assert got % 2 == 0
        assert abs(got - filters * width) <= 1 or got == 2


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize("options", [{"grouped": True, "normalization": "lrn"}, {"normalization": "batch"}])
def test_saved_and_loaded(options, tmp_path):
    model = build_alexnet(padding=2, **options, **{**SMALL, "input_shape": (64, 64, 3)})
    model.save(tmp_path / "alexnet.keras")
    loaded = keras.saving.load_model(tmp_path / "alexnet.keras")
    x = np.random.default_rng(0).uniform(0, 255, size=(2, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(x, training=False), model(x, training=False))


@pytest.mark.parametrize(
    "arguments, message, remedy",
    [
        ({"input_shape": (66, 90, 3)}, r"pool5: images must be at least 67 x 67", {"input_shape": (67, 90, 3)}),
        ({"input_shape": (90, 90)}, r"\(height, width, channels\)", {"input_shape": (90, 90, 1)}),
        ({"input_shape": (64, 64, 3), "padding": -1}, "`padding` must be an integer >= 0", {"padding": 2}),
        ({"grouped": 3}, "`grouped` must be one of False, True", {"grouped": True}),
        ({"normalization": "group"}, "`normalization` must be one of None, 'lrn', 'batch'", {"normalization": "lrn"}),
        ({"num_classes": 0}, "`num_classes` must be an integer >= 1", {"num_classes": 1}),
        ({"width": 0}, "`width` must be a number > 0", {"width": 0.25}),
        ({"dropout": 1.0}, "`dropout` must be a number from 0 to below 1", {"dropout": 0.5}),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, remedy):
    settings = {"width": 1 / 16, "input_shape": (67, 67, 3), **arguments}
    with pytest.raises(ValueError, match=f"build_alexnet: .*{message}"):
        build_alexnet(**settings)
    assert build_alexnet(**{**settings, **remedy}).built


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_it_learns(grouped):
    """A narrow one tells two shapes apart, also in halves, whose gradients need grouped convolutions backwards."""
    keras.utils.set_random_seed(0)
    drawn = datasets.load("shapes", n_train=240, n_test=12, size=64)
    x, y = drawn.x_train, drawn.y_train
    keep = np.isin(y, [0, 5])  # circles and stars
    x, y = x[keep], (y[keep] == 5).astype(int)
    two = type("Two", (), {"x_train": x, "y_train": y})
    model = build_alexnet(grouped=grouped, padding=2, width=1 / 8, input_shape=(64, 64, 3), num_classes=2, dropout=0.0)
    record = training.fit(model, two, epochs=15, batch_size=8, learning_rate=1e-3, validation=None, seed=0)
    assert record.history["loss"][-1] < 0.5 * record.history["loss"][0]
