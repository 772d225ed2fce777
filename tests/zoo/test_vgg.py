"""VGG-16 and VGG-19 against keras.applications and the figures of the paper."""

import gc

import keras
import numpy as np
import pytest

from course_cnn import shapes
from course_cnn.zoo import build_vgg16, build_vgg19, published, vgg

BUILDERS = {"vgg16": build_vgg16, "vgg19": build_vgg19}


@pytest.fixture(scope="module", params=["vgg16", pytest.param("vgg19", marks=pytest.mark.slow)])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    """The full-size network, half a gigabyte: built once."""
    yield BUILDERS[name]()
    keras.utils.clear_session()
    gc.collect()


def weight_layers(model):
    return [layer for layer in model.layers if layer.weights]


def test_counts_are_the_published_ones(name, model):
    figure = lambda key: published.figure(f"{name}/{key}").value  # noqa: E731
    assert model.count_params() == figure("params")
    assert round(model.count_params() / 1e6) * 1e6 == figure("params-paper")
    assert len(weight_layers(model)) == figure("weight-layers")
    conv = sum(layer.count_params() for layer in model.layers if "conv" in layer.name)
    assert conv == figure("params-conv")
    assert model.count_params() - conv == published.figure("vgg/params-dense").value


def test_sizes_halve_at_the_poolings_only(model):
    pools = [layer for layer in model.layers if layer.name.endswith("_pool")]
    assert tuple(layer.output.shape[1] for layer in pools) == published.figure("vgg/sizes").value
    assert tuple(layer.output.shape[3] for layer in pools) == published.figure("vgg/filters").value
    for layer in model.layers:
        if "conv" in layer.name:
            assert layer.output.shape[1:3] == layer.input.shape[1:3]


def test_multiply_adds(name, model):
    """15.3 and 19.6 billion (He et al.) are not counted alike: one without the dense layers, one with them."""
    conv = dense = 0
    for layer in weight_layers(model):
        if "conv" in layer.name:
            *_, before = layer.input.shape
            conv += shapes.conv_macs(layer.input.shape[1], 3, before, layer.filters, padding="same")
        else:
            dense += layer.input.shape[1] * layer.units
    assert dense == 123_633_664
    counted = {"vgg16": conv, "vgg19": conv + dense}[name]
    assert round(counted / 1e9, 1) * 1e9 == published.figure(f"{name}/macs").value


def test_names_are_those_of_keras_applications(name, model):
    theirs = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}[name](
        weights=None, input_shape=(32, 32, 3), classes=2
    )
    ours = [layer.name for layer in model.layers if not layer.name.startswith("drop")]
    assert ours == [layer.name for layer in theirs.layers[1:]]


@pytest.mark.slow
def test_takes_the_weights_of_keras_applications(name, model):
    theirs = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}[name](
        weights=None, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for weight in theirs.weights:  # variance kept from layer to layer, biases that are seen when they go astray
        fan_in = np.prod(weight.shape[:-1])
        scale = np.sqrt(2 / fan_in) if len(weight.shape) > 1 else 0.1
        weight.assign(rng.standard_normal(weight.shape, dtype="float32") * np.float32(scale))
    model.set_weights(theirs.get_weights())
    x = rng.standard_normal((1, 224, 224, 3), dtype="float32")
    want = theirs(x, training=False).numpy()
    assert want.std() > 0.1
    np.testing.assert_allclose(model(x, training=False), want, atol=1e-5 * np.abs(want).max())


def test_width_and_dropout():
    model = build_vgg16(input_shape=(40, 33, 1), num_classes=7, width=1 / 32)
    filters = [layer.filters for layer in model.layers if "conv" in layer.name]
    assert filters == [2] * 2 + [4] * 2 + [8] * 3 + [16] * 6
    assert [layer.units for layer in model.layers if layer.name in ("fc1", "fc2")] == [128, 128]
    assert [layer.rate for layer in model.layers if layer.name.startswith("drop")] == [0.5, 0.5]
    assert model(np.zeros((2, 40, 33, 1))).shape == (2, 7)
    assert model.layers[-1].activation.__name__ == "linear"  # logits
    plain = build_vgg16(input_shape=(40, 33, 1), num_classes=7, width=1 / 32, dropout=0)
    assert len(plain.layers) == len(model.layers) - 2
    plain.set_weights(model.get_weights())  # dropout does not change the weights


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_saves_and_loads(tmp_path):
    model = build_vgg19(input_shape=(32, 32, 3), num_classes=5, width=1 / 32)
    model.save(tmp_path / "vgg.keras")
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "vgg.keras")(x), model(x))


def test_table_has_a_row_per_block():
    assert [sum(blocks) + 3 for blocks in vgg.TABLE.values()] == [16, 19]
    assert published.figure("vgg/filters").value == vgg.FILTERS


@pytest.mark.parametrize("function", ["build_vgg16", "build_vgg19"])
def test_wrong_arguments_are_refused(function):
    build = {"build_vgg16": build_vgg16, "build_vgg19": build_vgg19}[function]
    small = {"width": 1 / 64, "num_classes": 2}
    with pytest.raises(ValueError, match=rf"{function}: nothing is left .*block5_pool.*at least 32 x 32") as error:
        build(input_shape=(31, 64, 3), **small)
    assert "input_shape=(32, 64, 3)" in str(error.value)
    assert build(input_shape=(32, 64, 3), **small).output_shape == (None, 2)
    for wrong, message in (
        ({"num_classes": 0}, "`num_classes` must be an integer >= 1"),
        ({"width": 0}, "`width` must be a number > 0"),
        ({"dropout": 1}, "`dropout` must be a number from 0 to below 1"),
        ({"input_shape": (224, 224)}, r"\(height, width, channels\)"),
    ):
        with pytest.raises(ValueError, match=f"{function}: .*{message}"):
            build(**{"input_shape": (32, 32, 3), **small, **wrong})
