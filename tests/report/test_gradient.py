"""The measured receptive field: what the gradient reaches, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from course_cnn import report


def linear(*parts, size=(21, 25, 2)):
    return keras.Sequential([keras.Input(size), *parts])


def positive(filters, kernel_size, **kwargs):
    return layers.Conv2D(filters, kernel_size, kernel_initializer=keras.initializers.RandomUniform(0.5, 1.5), **kwargs)


def test_the_gradient_of_a_convolution_is_its_kernel():
    model = linear(positive(3, (3, 5), name="conv"))
    field = report.gradient_field(model, unit=(4, 2))
    assert field.shape == (21, 25)
    assert field.dtype == np.float64
    kernel = model.get_layer("conv").kernel.numpy()  # 3, 5, 2 channels, 3 filters
    np.testing.assert_allclose(field[4:7, 2:7], kernel.sum(axis=(2, 3)), rtol=1e-6)
    assert field.sum() == pytest.approx(kernel.sum(), rel=1e-6)


def test_channels_that_pull_apart_do_not_cancel():
    model = linear(layers.Conv2D(1, 1, name="conv"), size=(5, 5, 2))
    model.get_layer("conv").set_weights([np.array([[[[2.0], [-2.0]]]]), np.zeros(1)])
    assert report.gradient_field(model, images=1)[2, 2] == 4


def test_the_field_is_as_large_as_the_report_says():
    model = linear(positive(2, 3), layers.AveragePooling2D(2), positive(2, (3, 2), dilation_rate=2), size=(31, 35, 2))
    axes = report.summarize(model).receptive_field
    field = report.gradient_field(model)
    assert report.reach(field) == tuple(axis.size for axis in axes)
    rows = np.flatnonzero(field.any(axis=1))
    row = model.output_shape[1] // 2  # the central unit
    assert (rows[0] + rows[-1]) / 2 == axes[0].start + row * axes[0].jump


def test_layers_on_the_way_can_be_asked():
    first, second = positive(1, 3, name="first"), positive(1, 3, name="second")
    model = linear(first, second, layers.Flatten(), layers.Dense(2))
    assert report.reach(report.gradient_field(model)) == (5, 5)  # the last layer with an image
    assert report.reach(report.gradient_field(model, "first")) == (3, 3)
    assert report.reach(report.gradient_field(model, first)) == (3, 3)
    inputs = keras.Input((9, 9, 1))
    other = keras.Model(inputs, first.__class__(1, 3, name="other")(layers.Conv2D(2, 1)(inputs)))
    assert report.gradient_field(keras.Model(inputs, other.layers[1](inputs))).shape == (9, 9)  # called elsewhere first
    nested = keras.Model(inputs, keras.Sequential([keras.Input((9, 9, 1)), positive(1, 3)], name="inside")(inputs))
    assert report.reach(report.gradient_field(nested, "inside")) == (3, 3)


def test_the_mean_is_over_the_images():
    model = linear(positive(4, 5, activation="relu", bias_initializer=keras.initializers.Constant(-5)))
    images = np.random.default_rng(1).normal(size=(3, 21, 25, 2))
    together = report.gradient_field(model, images=images)
    alone = [report.gradient_field(model, images=image[None]) for image in images]
    np.testing.assert_allclose(together, np.mean(alone, axis=0))
    np.testing.assert_array_equal(report.gradient_field(model, seed=3), report.gradient_field(model, seed=3))


def test_what_max_pooling_passes_depends_on_the_image():
    """One image reaches one pixel per window; the mean over many finds the whole window."""
    model = linear(layers.MaxPooling2D(3), size=(9, 9, 1))
    assert np.count_nonzero(report.gradient_field(model, images=1)) == 1
    assert report.reach(report.gradient_field(model, images=100)) == (3, 3)


def test_batch_norm_is_that_of_inference():
    model = linear(positive(1, 3), layers.BatchNormalization(), layers.Dropout(0.5))
    assert report.reach(report.gradient_field(model, images=1)) == (3, 3)
    assert np.allclose(model.layers[1].moving_mean, 0)  # nothing was learned by asking


def test_the_field_is_strongest_in_the_middle():
    """Luo et al.: many paths lead to the centre, few to the rim; most of the field hardly counts."""
    model = linear(*(positive(1, 3) for _ in range(8)), size=(33, 33, 1))
    field = report.gradient_field(model)
    assert report.reach(field) == (17, 17)
    assert np.unravel_index(field.argmax(), field.shape) == (16, 16)
    assert max(report.reach(field, threshold=0.1)) <= 13
    assert report.reach(np.zeros((3, 4))) == (0, 0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"layer": "missing"}, r"`layer` must be one of .*Use for example layer='conv'"),
        ({"layer": "dense"}, r"`layer` must be one of .*with an image as output"),
        ({"layer": "input"}, r"`layer` must be one of"),
        ({"images": 0}, r"`images` must be an integer >= 1"),
        ({"images": np.zeros((9, 9, 1))}, r"`images` must be a number of images, or an array"),
        ({"images": np.zeros((2, 9, 8, 1))}, r"`images` must be a number of images, or an array"),
        ({"unit": (7, 0)}, r"`unit` must lie among the 7 x 7 units of the layer .*Use unit=\(3, 3\)"),
        ({"unit": (0, -1)}, r"`unit` must be an integer >= 0"),
        ({"unit": (1, 2, 3)}, r"one per axis \(2\)"),
        ({"unit": 3}, r"one per axis \(2\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    inputs = keras.Input((9, 9, 1), name="input")
    x = layers.Conv2D(1, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="dense")(layers.Flatten()(x)))
    with pytest.raises(ValueError, match=f"gradient_field: .*{message}"):
        report.gradient_field(model, **arguments)
    assert report.gradient_field(model, layer="conv", unit=(3, 3), images=1).shape == (9, 9)


def test_models_it_cannot_ask_are_refused():
    a, b = keras.Input((9, 9, 1)), keras.Input((9, 9, 1))
    two = keras.Model([a, b], layers.Add()([a, b]))
    for model in (two, keras.Sequential([layers.Conv2D(1, 3)]), layers.Conv2D(1, 3), "model"):
        with pytest.raises(ValueError, match=r"gradient_field: `model` must be .*with one input"):
            report.gradient_field(model)
    with pytest.raises(
        ValueError, match=r"`layer` must be .*Use for example a model with a convolution or pooling layer"
    ):
        report.gradient_field(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))


def test_of_a_shared_layer_the_first_call_is_asked():
    shared = positive(1, 3, padding="same", name="twice")
    x = keras.Input((9, 9, 1))
    model = keras.Model(x, layers.ReLU(name="relu")(shared(shared(x))))
    assert report.reach(report.gradient_field(model, "twice")) == (3, 3)
    assert report.reach(report.gradient_field(model, "relu", images=20)) == (5, 5)


def test_sizes_that_are_not_known_come_with_the_images():
    model = linear(positive(1, 3), size=(None, None, 2))
    with pytest.raises(ValueError, match=r"size of the images must be known .*size=\(8, 64, 64, 2\)"):
        report.gradient_field(model)
    assert report.reach(report.gradient_field(model, images=np.ones((1, 64, 64, 2)))) == (3, 3)


@pytest.mark.parametrize("threshold", [-0.1, 1, "half"])
def test_reach_refuses_what_is_no_share(threshold):
    with pytest.raises(ValueError, match="reach: `threshold` must be a number from 0 to below 1"):
        report.reach(np.ones((3, 3)), threshold=threshold)
    with pytest.raises(ValueError, match=r"reach: `field` must have 2 axes \(h, w\)"):
        report.reach(np.ones((3, 3, 1)))
