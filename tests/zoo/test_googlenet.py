"""GoogLeNet against the paper's table, row by row, against other counts, and as something that trains."""

import keras
import numpy as np
import pytest

from course_cnn import shapes, training
from course_cnn.zoo import build_googlenet, googlenet, published

ROWS = ["conv1", "conv2", *(f"inception_{row}" for row in googlenet.TABLE), "output"]
SMALL = {"input_shape": (65, 65, 3), "num_classes": 4, "width": 1 / 16}


@pytest.fixture(scope="module")
def model():
    return build_googlenet()


def figure(key):
    return published.figure(f"googlenet/{key}").value


def costs(layer):
    """Weights without biases and multiply-adds of a layer that has weights."""
    weights = int(np.prod(layer.kernel.shape))
    if isinstance(layer, keras.layers.Dense):
        return weights, weights
    _, h, w, before = layer.input.shape
    same = shapes.conv_macs((h, w), layer.kernel_size, before, layer.filters, stride=layer.strides, padding="same")
    return weights, same


def per_row(model):
    """Sums of weights and multiply-adds over each row of the paper's table, heads left out."""
    table = dict.fromkeys(ROWS, (0, 0))
    for layer in model.layers:
        row = next((row for row in ROWS if layer.name.startswith(row)), None)
        if row and layer.weights:
            table[row] = tuple(a + b for a, b in zip(table[row], costs(layer), strict=True))
    return table


def longest_way(model, counts):
    """Most layers that `counts` says yes to, on any way from the input to "output"."""
    depth = {}
    for layer in model.layers:  # in the order of the graph
        sources = [tensor._keras_history.operation for tensor in keras.tree.flatten(layer.input)]
        before = max((depth[source.name] for source in sources if source is not layer), default=0)
        depth[layer.name] = before + bool(counts(layer))
    return depth["output"]


def test_counts_are_the_published_ones(model):
    assert model.count_params() == figure("params-heads")
    heads = [layer.count_params() for layer in model.layers if layer.name.startswith("aux")]
    assert model.count_params() - sum(heads) == figure("params")
    assert len([layer for layer in model.layers if layer.weights]) == 64
    assert longest_way(model, lambda layer: layer.weights) == figure("weight-layers-deep")
    # 27 with the poolings between the modules; those inside are one branch of four, and shorter than the others.
    assert figure("weight-layers-deep") + len([la for la in model.layers if la.name.startswith("pool")]) == 27
    assert figure("layers-deep") == 27


def test_plain_classifier_has_the_published_parameters():
    model = build_googlenet(auxiliary_heads=False)
    assert model.count_params() == figure("params")
    assert model.output_shape == (None, 1000)


def test_sizes_and_channels(model):
    names = ["conv1", "pool1", "pool2", "pool3", "pool4"]
    assert tuple(model.get_layer(name).output.shape[1] for name in names) == figure("sizes")
    outputs = [model.get_layer(f"inception_{row}_output").output.shape for row in googlenet.TABLE]
    assert tuple(shape[3] for shape in outputs) == figure("channels")
    heads = [model.get_layer(f"aux{i}_pool").output.shape for i in (1, 2)]
    assert [shape[1:3] for shape in heads] == [figure("head-sizes")] * 2
    assert [shape[3] for shape in heads] == [512, 528]


def test_multiply_adds_row_by_row(model):
    """The column "ops" agrees to 1 million but for conv1 and 5a; as printed it adds up to the budget of 1.5 billion."""
    counted = [macs / 1e6 for _, macs in per_row(model).values()]
    paper = figure("row-macs-paper")
    differing = {row for row, got, want in zip(ROWS, counted, paper, strict=True) if abs(got - want) > 1}
    assert differing == {"conv1", "inception_5a"}
    assert round(sum(paper) / 1000, 1) * 1e9 == figure("macs-paper")
    assert round(sum(counted)) == 1583  # 1,582,671,872
    separable = shapes.conv_macs(224, 7, 3, 24, stride=2, padding="same", groups=3) + shapes.conv_macs(112, 1, 24, 64)
    assert round(separable / 1e6) == paper[0] == 34


def test_parameters_row_by_row(model):
    """The column "params" counts in units of 1024, and agrees with the table's own filters in five rows only."""
    counted = [weights / 1024 for weights, _ in per_row(model).values()]
    paper = figure("row-params-paper")
    agreeing = {row for row, got, want in zip(ROWS, counted, paper, strict=True) if abs(got - want) <= 1}
    assert agreeing == {"conv2", "inception_3a", "inception_3b", "inception_4b", "output"}
    separable = shapes.conv_params(7, 3, 24, groups=3, use_bias=False) + shapes.conv_params(1, 24, 64, use_bias=False)
    assert separable == 2_712  # 2.7 thousand


def test_torchvision_differs_by_batch_norm_and_5x5(model):
    """3x3 for 5x5, and two trained numbers per filter in place of one bias: then the counts agree."""
    count = figure("params")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and not layer.name.startswith("aux"):
            count += layer.filters
            if layer.kernel_size == (5, 5):
                count -= 16 * layer.kernel.shape[2] * layer.filters
    assert count == figure("params-torchvision")


def test_lrn_stands_where_the_paper_has_it(model):
    names = [layer.name for layer in model.layers]
    assert names[:8] == ["input_layer", "conv1", "pool1", "norm1", "conv2_reduce", "conv2", "norm2", "pool2"] or (
        names[1:8] == ["conv1", "pool1", "norm1", "conv2_reduce", "conv2", "norm2", "pool2"]
    )
    assert not any("norm" in layer.name for layer in build_googlenet(normalization=None, **SMALL).layers)


def test_dropout():
    model = build_googlenet(**SMALL)
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert rates == {"drop": 0.4, "aux1_drop": 0.7, "aux2_drop": 0.7}
    model = build_googlenet(dropout=0, **SMALL)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)


def test_one_training_step_weighs_the_losses_as_in_the_docstring():
    training.seed_everything(0)
    model, weights = build_googlenet(dropout=0, **SMALL), googlenet.LOSS_WEIGHTS
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=dict.fromkeys(weights, loss), loss_weights=weights, run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(8, 65, 65, 3)).astype("float32"), np.arange(8) % 4
    logits = model(x)
    assert list(logits) == list(weights) == ["output", "aux1", "aux2"]
    want = sum(weights[name] * float(loss(y, logits[name])) for name in weights)
    watched = [model.get_layer(name).kernel for name in ("conv1", "output", "aux1", "aux1_conv", "aux2", "aux2_conv")]
    before = [weight.numpy() for weight in watched]
    logs = model.train_on_batch(x, dict.fromkeys(weights, y), return_dict=True)
    assert float(logs["loss"]) == pytest.approx(want, rel=1e-4)
    assert all(np.abs(weight - old).max() > 0 for weight, old in zip(watched, before, strict=True))
    classifier = keras.Model(model.input, model.output["output"])
    assert not any(layer.name.startswith("aux") for layer in classifier.layers)
    np.testing.assert_array_equal(classifier(x), model(x)["output"])


def test_heads_change_only_the_gradient():
    """Same weights in the trunk: the same answer with and without heads."""
    whole, plain = build_googlenet(**SMALL), build_googlenet(auxiliary_heads=False, **SMALL)
    for layer in plain.layers:
        layer.set_weights(whole.get_layer(layer.name).get_weights() if layer.weights else [])
    x = np.random.default_rng(0).normal(size=(2, 65, 65, 3))
    np.testing.assert_array_equal(whole(x)["output"], plain(x))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_saves_and_loads(tmp_path):
    model = build_googlenet(**SMALL)
    model.save(tmp_path / "googlenet.keras")
    loaded = keras.saving.load_model(tmp_path / "googlenet.keras")
    x = np.random.default_rng(0).normal(size=(2, 65, 65, 3))
    for name, logits in model(x).items():
        np.testing.assert_array_equal(loaded(x)[name], logits)


def test_too_small_images():
    small = {**SMALL, "input_shape": (64, 80, 3)}
    with pytest.raises(ValueError, match=r"nothing is left of the image at aux1_pool: .* at least 65 x 65") as error:
        build_googlenet(**small)
    assert "input_shape=(65, 80, 3)" in str(error.value)
    assert build_googlenet(**{**small, "input_shape": (65, 80, 3)}).output["aux2"].shape == (None, 4)
    assert build_googlenet(auxiliary_heads=False, **{**small, "input_shape": (8, 8, 3)}).output_shape == (None, 4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_classes": 0}, "`num_classes` must be an integer >= 1"),
        ({"width": -1}, "`width` must be a number > 0"),
        ({"dropout": 1.0}, "`dropout` must be a number from 0 to below 1"),
        ({"normalization": "batch"}, "`normalization` must be one of 'lrn', None"),
        ({"auxiliary_heads": 2}, "`auxiliary_heads` must be one of True, False"),
        ({"input_shape": (65, 65)}, r"\(height, width, channels\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"build_googlenet: .*{message}"):
        build_googlenet(**{**SMALL, **arguments})
