"""A Keras model as an answer: its description, and the NumPy recomputation that makes the description binding."""

import json

import keras
import numpy as np
import pytest

from course_cnn import zoo
from course_cnn.grading import wire
from course_cnn.grading.checks import Failed
from course_cnn.grading.models import ModelAnswer, describe


def answer(model, **changes):
    """The model as a check sees it, after a journey as plain data; `changes` forge the description."""
    told = {"keras model": 0, **describe(model), **changes}
    frame = wire.pack(told, limit=1_000_000)
    crossed = wire.unpack(frame[wire.LENGTHS.size :], wire.LENGTHS.unpack(frame[: wire.LENGTHS.size])[0])

    def ask(operation, *, model=None, x=None):
        return [w.numpy() for w in kept.weights] if operation == "weights" else np.asarray(kept(x, training=False))

    kept = model
    return ModelAnswer(ask, crossed)


def shuffled(model, seed=0):
    """Give a model weights in which no number is where it usually is, moving statistics too."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.uniform(0.2, 1, w.shape) * rng.choice([-1, 1], w.shape)
            if "variance" not in v.path
            else rng.uniform(0.5, 2, w.shape)
            for v, w in zip(model.weights, model.get_weights(), strict=True)
        ]
    )
    return model


def residual():
    x = inputs = keras.Input((9, 9, 3))
    x = keras.layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
    x = y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(scale=False)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2)(x)
    x = keras.layers.Add()([x, y])
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))


MODELS = {
    "lenet": lambda: zoo.build_lenet5(),
    "lenet 20-50": lambda: zoo.build_lenet5("20-50", width=0.2),
    "resnet": lambda: zoo.build_cifar_resnet(8, input_shape=(16, 16, 3), width=0.25, shortcut="projection"),
    "residual": residual,
    "sequential": lambda: keras.Sequential([
        keras.Input((8, 8, 2)), keras.layers.Rescaling(2.0, 1.0),
        keras.layers.Conv2D(3, 3, strides=2, activation="sigmoid"), keras.layers.AveragePooling2D(2),
        keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Activation("tanh"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_recomputed_in_numpy(name):
    model = shuffled(MODELS[name]())
    seen = answer(model)
    x = np.random.default_rng(1).uniform(size=(3, *model.input_shape[1:])).astype("float32")
    want = seen.predict(x)
    np.testing.assert_allclose(
        seen.recompute(x), want, rtol=1e-4, atol=1e-4 * np.abs(want).max()
    )  # float32 against float64
    assert seen.params == model.count_params()
    assert seen.trainable_params == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert seen.output_shape == list(model.output_shape)
    assert sum(layer.params for layer in seen.layers) == model.count_params()


def test_what_a_check_reads():
    seen = answer(zoo.build_lenet5())
    assert "InputLayer" in [layer.kind for layer in seen.layers]
    assert "InputLayer" not in seen.kinds
    conv = next(layer for layer in seen.layers if layer.kind == "Conv2D")
    assert (conv.config["filters"], conv.config["kernel_size"], conv.params, conv.output_shape) == (
        6,
        [5, 5],
        156,
        [None, 28, 28, 6],
    )
    json.dumps([layer.config for layer in seen.layers])


@pytest.mark.parametrize(
    "forge",
    [
        lambda layers: layers[2]["config"].update(activation="relu"),
        lambda layers: layers[2].update(kind="Dense", config={"activation": "linear"}),
        lambda layers: layers.pop(3),
        lambda layers: layers[1]["config"].update(padding="valid"),
        lambda layers: layers[6].update(inputs=[layers[5]["name"]]),
    ],
    ids=range(5),
)
def test_a_forged_structure_does_not_compute_what_the_model_does(forge):
    model = shuffled(residual())
    layers = describe(model)["layers"]
    forge(layers)
    seen = answer(model, layers=layers)
    x = np.random.default_rng(1).uniform(size=(2, 9, 9, 3)).astype("float32")
    try:
        again, said = seen.recompute(x), None
    except Failed as error:
        again, said = None, str(error)
    if said is not None:
        assert "does not compute what it says" in said
    else:
        assert again.shape != (2, 5) or not np.allclose(again, seen.predict(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "layer, why",
    [
        (keras.layers.LayerNormalization(), "is a LayerNormalization, which has no place"),
        (keras.layers.Lambda(lambda x: x), "is a Lambda, which has no place"),
        (keras.layers.Dense(2, activation="gelu"), "activation 'gelu' has no place"),
    ],
)
def test_layers_without_a_place(layer, why):
    model = keras.Sequential([keras.Input((3,)), layer])
    with pytest.raises(Failed, match=why):
        answer(model).recompute(np.ones((1, 3)))


def test_a_layer_used_twice():
    shared = keras.layers.Dense(3)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(Failed, match="is used 2 times"):
        answer(model).recompute(np.ones((1, 3)))


@pytest.mark.parametrize("kernel, strides", [((3, 5), 1), (3, (1, 2))])
def test_uneven_settings_are_said(kernel, strides):
    model = keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Conv2D(2, kernel, strides=strides)])
    seen = answer(model)
    if strides == 1:  # an uneven kernel is no problem
        np.testing.assert_allclose(
            seen.recompute(np.ones((1, 9, 9, 1))), seen.predict(np.ones((1, 9, 9, 1))), rtol=1e-4
        )
    else:
        with pytest.raises(Failed, match="Use the same size along both axes"):
            seen.recompute(np.ones((1, 9, 9, 1)))


def test_what_is_no_description():
    for told in ({"keras model": 0}, {"keras model": 0, "layers": 5}, {"keras model": 0, "layers": [{}], "params": 1}):
        with pytest.raises(Failed, match="looks like a Keras model but is none"):
            ModelAnswer(None, told)
    broken = answer(residual())
    broken._ask = lambda *_, **__: 5
    with pytest.raises(Failed, match="weights of your model could not be read"):
        broken.recompute(np.ones((1, 9, 9, 3)))
    with pytest.raises(Failed, match="something other than one array"):
        broken.predict(np.ones((1, 9, 9, 3)))
