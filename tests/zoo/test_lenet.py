"""LeNet-5 against the figures its paper and the course print, and trained on real digits."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest

from course_cnn import datasets, shapes, training
from course_cnn.zoo import build_lenet5, published


@pytest.mark.parametrize(
    "variant, name, named",
    [
        ("1998", "lenet5-1998", ["C1", "S2", "C3", "S4", "flatten", "C5", "F6", "output"]),
        ("20-50", "lenet-20-50", ["C1", "S2", "C3", "S4", "flatten", "F5", "output"]),
    ],
)
def test_layers_are_the_published_ones(variant, name, named):
    model = build_lenet5(variant)
    outputs = [layer.output.shape for layer in model.layers]
    assert [layer.name for layer in model.layers] == named
    assert tuple(shape[1] for shape in outputs[:4]) == published.figure(f"{name}/sizes").value
    assert tuple(shape[2] for shape in outputs[:4]) == published.figure(f"{name}/sizes").value
    assert tuple(shape[1] for shape in outputs[4:]) == published.figure(f"{name}/units").value
    assert model.count_params() == published.figure(f"{name}/params").value


def test_1998_counts_layer_by_layer():
    model = build_lenet5()
    counted = tuple(layer.count_params() for layer in model.layers if layer.count_params())
    assert counted == published.figure("lenet5-1998/layer-params").value
    paper = dict(
        zip(("C1", "S2", "C3", "S4", "C5", "F6"), published.figure("lenet5-1998/layer-params-paper").value, strict=True)
    )
    assert sum(paper.values()) == published.figure("lenet5-1998/params-paper").value
    # The remake differs where its docstring says: C3 reads every map, pooling learns nothing, logits replace RBF units.
    assert model.count_params() == 60_000 + (2_416 - paper["C3"]) - paper["S2"] - paper["S4"] + 850
    kernel, bias = (weights.size for weights in model.get_layer("C3").get_weights())
    assert kernel == published.figure("lenet5-1998/s2-c3-weights").value
    assert kernel + bias == published.figure("lenet5-1998/s2-c3-params").value
    pairs = 6 * 3 + 6 * 4 + 3 * 4 + 6  # table I: six maps read 3, six read 4, three read 4, one reads all 6
    assert pairs * 25 + 16 == published.figure("lenet5-1998/s2-c3-params-paper").value == paper["C3"]
    macs = shapes.conv_macs(32, 5, 1, 6) + 6 * 28 * 28
    assert macs == published.figure("lenet5-1998/c1-connections").value


def test_20_50_weights():
    weights = tuple(w.size for w in build_lenet5("20-50").get_weights() if w.ndim > 1)
    assert weights == published.figure("lenet-20-50/layer-weights").value
    assert sum(weights) == published.figure("lenet-20-50/weights").value


def test_activations_and_pooling_are_those_of_the_variant():
    for variant, activation, pooling in (("1998", "tanh", "AveragePooling2D"), ("20-50", "relu", "MaxPooling2D")):
        model = build_lenet5(variant)
        assert {layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")} == {
            activation,
            "linear",
        }
        assert type(model.get_layer("S2")).__name__ == type(model.get_layer("S4")).__name__ == pooling
        assert model.layers[-1].activation.__name__ == "linear"  # logits


def test_other_inputs_and_classes():
    model = build_lenet5(input_shape=(28, 40, 3), num_classes=4)
    assert model(np.zeros((2, 28, 40, 3))).shape == (2, 4)
    for variant, smallest in (("1998", 16), ("20-50", 4)):
        match = rf"at least {smallest} x {smallest} .*input_shape=\({smallest}, {smallest + 8}, 1\)"
        with pytest.raises(ValueError, match=match):
            build_lenet5(variant, input_shape=(smallest - 1, smallest + 8, 1))
        assert build_lenet5(variant, input_shape=(smallest, smallest + 8, 1)).output_shape == (None, 10)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "1989"}, "`variant` must be one of '1998', '20-50'"),
        ({"input_shape": (32, 32)}, r"\(height, width, channels\)"),
        ({"input_shape": (32, None, 1)}, "`input_shape` must be an integer >= 1"),
        ({"num_classes": 0}, "`num_classes` must be an integer >= 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"build_lenet5: .*{message}"):
        build_lenet5(**arguments)


def test_published_figures():
    keys = [figure.key for figure in published.FIGURES]
    assert len(set(keys)) == len(keys)
    assert all(figure.what and figure.source for figure in published.FIGURES)
    with pytest.raises(ValueError, match="figure: `key` must be one of 'lenet5-1998/sizes'"):
        published.figure("lenet5")


def test_zoo_and_published_load_no_tensorflow():
    code = "from course_cnn.zoo import published; import sys\n"
    code += "from course_cnn import zoo; dir(zoo); print({'tensorflow', 'keras'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.slow
def test_lenet5_learns_digits():
    training.seed_everything(0)
    record = training.fit(build_lenet5(), datasets.load("digits", size=32), epochs=4)
    assert record.final["val_accuracy"] > 0.93  # measured 0.95 to 0.97; the slow test trains to the end


@pytest.mark.slow
def test_lenet5_reaches_97_percent_on_every_seed():
    """Lecture 13's recipe: inputs of mean 0 and variance 1, as in the paper, and a learning rate that falls to 0.

    97 % of 450 digits allow 13 mistakes. Measured with this recipe on 30 seeds: 13 at most. The defaults of `fit`, a
    constant 0.002 on raw inputs, gave 9 to 12 on seeds 0 to 11 and 15 on one of ten others.
    """
    digits = datasets.load("digits", size=32)
    mean, std = digits.x_train.mean(), digits.x_train.std()
    x_train, x_test = (digits.x_train - mean) / std, (digits.x_test - mean) / std
    digits, mistakes = dataclasses.replace(digits, x_train=x_train, x_test=x_test), []
    for seed in range(5):
        training.seed_everything(seed)
        model, steps = build_lenet5(), 12 * -(-len(x_train) // 32)
        falling = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps))
        training.fit(model, digits, epochs=12, batch_size=32, optimizer=falling, validation=None)
        mistakes.append(len(training.evaluate(model, x_test, digits.y_test).wrong))
    assert max(mistakes) <= 0.03 * len(x_test), mistakes
