"""The fused batch normalisation layer against Keras's own: same numbers, same weights, same files."""

import numpy as np
import pytest

from course_cnn import training
from course_cnn._tensorflow import tf
from course_cnn.layers import BatchNormalization

# isort: split
import keras

IMAGES, ROWS = (4, 5, 6, 3), (8, 3)
POLICIES = ["float32", "float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16"]


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(3, 2, size=shape).astype("float32")


def pair(shape, **settings):
    """Our layer and Keras's with the same weights, none of them at its starting value."""
    rng, layers = (
        np.random.default_rng(1),
        [BatchNormalization(**settings), keras.layers.BatchNormalization(**settings)],
    )
    for layer in layers:
        layer.build((None, *shape[1:]))
    weights = [rng.uniform(0.5, 2, size=weight.shape) for weight in layers[1].weights]
    for layer in layers:
        layer.set_weights(weights)
    assert [w.name for w in layers[0].weights] == [w.name for w in layers[1].weights]
    return layers


def assert_close(got, want, rtol=1e-5):
    got, want = (np.asarray(keras.ops.cast(array, "float64")) for array in (got, want))
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


def gradients(layer, x, dy, training):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
    return tape.gradient(y, [x, *(w.value for w in layer.trainable_weights)], output_gradients=tf.cast(dy, y.dtype))


@pytest.fixture(autouse=True)
def worth_it(monkeypatch):
    """Let the kernel run on inputs as small as those of a test."""
    monkeypatch.setattr("course_cnn.layers.normalization._WORTH_A_KERNEL", 1)


@pytest.fixture
def kernels(monkeypatch):
    """Whether each call ran the fused kernel: equality with Keras would also hold if it were never used."""
    seen, fused = [], BatchNormalization._fused
    monkeypatch.setattr(BatchNormalization, "_fused", lambda *args: seen.append(fused(*args)) or seen[-1])
    return seen


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [IMAGES, ROWS, (4, 5, 3), (2, 3, 4, 5, 3), (1, 3), (1, 1, 1, 3), (1, 4, 4, 3)])
@pytest.mark.parametrize("settings", [{}, {"center": False}, {"scale": False}, {"center": False, "scale": False},
                                      {"momentum": 0.5, "epsilon": 0.1}])  # fmt: skip
def test_outputs_gradients_and_moving_statistics_are_keras(shape, settings, training, kernels):
    ours, reference = pair(shape, **settings)
    for seed in range(3):
        x, dy = draw(shape, seed), draw(shape, seed + 10)
        assert_close(ours(x, training=training), reference(x, training=training))
        assert_close(ours.moving_mean, reference.moving_mean)
        assert_close(ours.moving_variance, reference.moving_variance)
        for got, want in zip(*(gradients(layer, x, dy, training) for layer in (ours, reference)), strict=True):
            assert_close(got, want, rtol=1e-4)
    assert kernels
    assert all(kernels)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("training", [True, False])
def test_every_precision(policy, training):
    ours, reference = pair(IMAGES, dtype=policy)
    digits = 1e-5 if policy in ("float32", "float64") else 2e-3 if "bf" not in policy else 2e-2
    got, want = (layer(draw(IMAGES), training=training) for layer in (ours, reference))
    assert got.dtype == want.dtype
    assert_close(got, want, rtol=digits)
    for a, b in zip(ours.weights, reference.weights, strict=True):
        assert a.dtype == b.dtype
        assert_close(a, b, rtol=digits)


def test_half_precision_does_not_overflow():
    """The squares of numbers above 256 do not fit in float16; the kernel adds them up in float32, as Keras does."""
    ours, reference = pair(IMAGES, dtype="mixed_float16")
    x = 1000 * draw(IMAGES)
    assert_close(ours(x, training=True), reference(x, training=True), rtol=2e-3)
    assert_close(ours.moving_variance, reference.moving_variance, rtol=1e-4)
    assert np.isfinite(ours.moving_variance).all()


@pytest.mark.parametrize(
    "settings, x, call",
    [
        ({"axis": 1}, draw(IMAGES), {}),
        ({"axis": -2}, draw((*ROWS, 2)), {}),
        ({"dtype": "float64"}, draw(IMAGES), {}),
        ({"autocast": False}, draw(IMAGES).astype("float64"), {}),
        ({}, draw(ROWS).astype("int32"), {}),
        ({}, draw((4, 5, 3)), {"mask": np.arange(20).reshape(4, 5) % 3 > 0}),
        ({}, np.zeros((0, 4, 4, 3), "float32"), {}),
        ({"synchronized": True}, draw(IMAGES), {}),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_where_the_kernel_does_not_apply_the_formulas_do(settings, x, call, training, kernels):
    ours, reference = pair(x.shape, **settings)
    assert_close(ours(x, training=training, **call), reference(x, training=training, **call), rtol=1e-12)
    for a, b in zip(ours.weights, reference.weights, strict=True):
        assert_close(a, b, rtol=1e-12)
    assert not any(kernels)


@pytest.mark.skipif("renorm" not in keras.layers.BatchNormalization().get_config(), reason="new in Keras 3.15")
def test_renorm_is_left_to_keras(kernels):
    ours, reference = pair(IMAGES, renorm=True)
    assert_close(ours(draw(IMAGES), training=True), reference(draw(IMAGES), training=True), rtol=1e-12)
    assert kernels == [False]


def test_on_a_gpu_inference_takes_the_formulas(monkeypatch, kernels):
    monkeypatch.setattr("course_cnn.layers.normalization._gpu", lambda: True)
    ours, reference = pair(IMAGES)
    for learning in (True, False):
        assert_close(ours(draw(IMAGES), training=learning), reference(draw(IMAGES), training=learning))
    assert kernels == [True, False]


@pytest.mark.parametrize(
    "shape, fused", [((64, 64), False), ((4096, 64), True), ((None, 64, 64, 1), True), ((None, 8, 8, 32), False)]
)
def test_small_inputs_are_not_worth_a_kernel(shape, fused, monkeypatch):
    monkeypatch.undo()
    x = tf.TensorSpec(shape, tf.float32)  # all that is looked at: shape and dtype
    assert BatchNormalization()._fused(x, learning=True) is fused


def test_under_another_backend_the_formulas_do_the_work(monkeypatch, kernels):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    ours, reference = pair(IMAGES)
    assert_close(ours(draw(IMAGES), training=True), reference(draw(IMAGES), training=True), rtol=1e-12)
    assert kernels == [False]


def test_a_frozen_layer_is_in_inference_mode():
    ours, reference = pair(IMAGES)
    before = ours.get_weights()
    ours.trainable = reference.trainable = False
    assert_close(ours(draw(IMAGES), training=True), reference(draw(IMAGES), training=True))
    for old, new in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_number_per_channel_gives_beta():
    ours, _ = pair((1, 3))
    for x in (draw((1, 3)), 1e4 * draw((1, 3))):
        np.testing.assert_array_equal(ours(x, training=True), ours.beta.numpy()[None])
    assert np.isfinite(np.concatenate([ours.moving_mean.numpy(), ours.moving_variance.numpy()])).all()


def network(layer, *, wrapped=False, dtype=None):
    """A small network, in the second form with the layer inside TimeDistributed and inside a nested model."""
    keras.utils.set_random_seed(0)
    if wrapped:
        inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), layer(name="inner"), keras.layers.ReLU()])
        stack = [keras.Input((4, 6)), keras.layers.TimeDistributed(inner), keras.layers.TimeDistributed(layer())]
    else:
        stack = [keras.Input((None, None, 2)), keras.layers.Conv2D(4, 3, dtype=dtype),
                 # Keras cannot add a float64 penalty to its float32 loss.
                 layer(gamma_constraint="non_neg", beta_regularizer=None if dtype == "float64" else "l2", dtype=dtype),
                 keras.layers.ReLU(dtype=dtype), keras.layers.GlobalAveragePooling2D(dtype=dtype)]  # fmt: skip
    return keras.Sequential([*stack, keras.layers.Dense(1, dtype=dtype)])


def fitted(layer, jit_compile, **settings):
    """Weights, losses and answers after three epochs of model.fit, the last batch of each smaller than the others."""
    model = network(layer, **settings)
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, size=(21, 4, 6) if settings.get("wrapped") else (21, 6, 5, 2)).astype("float32")
    y = rng.normal(size=(21, *model.output_shape[1:])).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    history = model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(8), epochs=3, verbose=0, shuffle=False)
    return [*model.get_weights(), np.array(history.history["loss"]), model(x, training=False)]


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("jit_compile", ["auto", False, True])
def test_model_fit_learns_the_same(jit_compile, wrapped):
    results = [fitted(l, jit_compile, wrapped=wrapped) for l in (BatchNormalization, keras.layers.BatchNormalization)]
    for got, want in zip(*results, strict=True):
        assert_close(got, want, rtol=1e-3)  # nine steps, each starting from where float32 left the one before


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_model_fit_in_other_precisions(policy):
    results = [fitted(layer, False, dtype=policy) for layer in (BatchNormalization, keras.layers.BatchNormalization)]
    for got, want in zip(*results, strict=True):
        assert_close(got, want, rtol=1e-9 if policy == "float64" else 0.1)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_saved_and_loaded_models(tmp_path):
    """No custom_objects; and weights travel to Keras's layer and back."""
    model, reference = network(BatchNormalization), network(keras.layers.BatchNormalization)
    x = draw((3, 6, 6, 2))
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    norm = loaded.layers[1]
    assert type(norm) is BatchNormalization
    assert norm.get_config() == model.layers[1].get_config()
    assert isinstance(norm.gamma_constraint, keras.constraints.NonNeg)
    np.testing.assert_array_equal(loaded(x), model(x))

    model.save_weights(tmp_path / "ours.weights.h5")
    reference.load_weights(tmp_path / "ours.weights.h5")
    assert_close(reference(x), model(x))
    reference(10 * x, training=True)
    reference.save_weights(tmp_path / "keras.weights.h5")
    model.load_weights(tmp_path / "keras.weights.h5")
    assert_close(model(x), reference(x))


def test_same_arguments_in_the_same_order():
    ours, reference = (
        layer(-1, 0.9, 0.01, False, True) for layer in (BatchNormalization, keras.layers.BatchNormalization)
    )
    theirs = reference.get_config()
    assert {k: v for k, v in ours.get_config().items() if k != "name"} == {
        k: v for k, v in theirs.items() if k != "name"
    }
    assert ours.center is False


def test_a_tensor_in_place_of_an_axis():
    with pytest.raises(
        ValueError, match=r"BatchNormalization: `axis` must be an integer, .*BatchNormalization\(\)\(x\)"
    ):
        BatchNormalization(keras.Input((4,)))


@pytest.mark.parametrize("settings", [{"momentum": 1.0}, {"momentum": -0.1}, {"epsilon": 0}, {"epsilon": float("nan")}])
def test_errors(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=rf"BatchNormalization: `{name}` must be a number .*{name}="):
        BatchNormalization(**settings)


def test_frozen_gradients_after_seed_everything():
    """TensorFlow has no repeatable gradient of the kernel at inference on a GPU; on a CPU it must go through."""
    training.seed_everything(0)  # as other tests do; nothing in TensorFlow's public functions takes it back
    got, want = (gradients(layer, draw(IMAGES), draw(IMAGES, 1), False) for layer in pair(IMAGES))
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, rtol=1e-4)
