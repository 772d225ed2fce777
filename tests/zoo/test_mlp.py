"""The multilayer perceptron against LeCun's count and against plain matrix products."""

import keras
import numpy as np
import pytest

from course_cnn.zoo import build_mlp, published


def test_published_counts():
    model = build_mlp()
    assert model.count_params() == published.figure("mlp-300-100/params").value == 785 * 300 + 301 * 100 + 101 * 10
    assert [layer.name for layer in model.layers] == ["flatten", "hidden1", "hidden2", "output"]


@pytest.mark.parametrize("hidden, units", [((300, 100), [150, 50, 10]), (7, [4, 10]), ((), [10]), ([5, 5], [2, 2, 10])])
def test_hidden_layers_and_width(hidden, units):
    model = build_mlp(hidden, width=0.5, input_shape=(3, 4, 2))
    assert [layer.units for layer in model.layers[1:]] == units


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_outputs_are_matrix_products(activation, tmp_path):
    model = build_mlp((6, 5), input_shape=(3, 4, 2), num_classes=3, activation=activation)
    y = x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype("float32")
    y = y.reshape(2, -1)
    *weights, kernel, bias = model.get_weights()
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        y = y @ w + b
        y = np.tanh(y) if activation == "tanh" else np.maximum(y, 0)
    np.testing.assert_allclose(model(x), y @ kernel + bias, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "mlp.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "mlp.keras")(x), model(x))


@pytest.mark.parametrize(
    "arguments, message, remedy",
    [
        ({"hidden": (300, 0)}, "`hidden` must be an integer >= 1", {"hidden": 1}),
        ({"hidden": None}, "`hidden` must be an integer >= 1", {"hidden": ()}),
        ({"input_shape": (28, 28)}, r"\(height, width, channels\)", {"input_shape": (224, 224, 3)}),
        ({"num_classes": 0}, "`num_classes` must be an integer >= 1", {"num_classes": 1}),
        ({"width": -1}, "`width` must be a number > 0", {"width": 0.5}),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, remedy):
    with pytest.raises(ValueError, match=f"build_mlp: .*{message}"):
        build_mlp(**arguments)
    assert build_mlp(**{**arguments, **remedy}).built
