"""Local response normalisation against TensorFlow's kernel, the paper's formula in loops, and central differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_cnn import scratch
from course_cnn._tensorflow import tf
from course_cnn.layers import LocalResponseNormalization

# isort: split
import keras


def draw(shape, scale=1.0, seed=0, dtype="float32"):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def by_the_paper(x, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """b_i = a_i / (k + alpha * sum over j = max(0, i - n/2) ... min(N - 1, i + n/2) of a_j ** 2) ** beta."""
    y, maps = np.empty_like(x), x.shape[-1]
    for i in range(maps):
        low, high = max(0, i - n // 2), min(maps - 1, i + n // 2)
        y[..., i] = x[..., i] / (k + alpha * (x[..., low : high + 1] ** 2).sum(axis=-1)) ** beta
    return y


@settings(max_examples=40, deadline=None)
@given(
    radius=st.integers(0, 4), channels=st.integers(1, 9), k=st.floats(0.1, 3), alpha=st.floats(1e-5, 2),
    beta=st.floats(0.1, 1.5), seed=st.integers(0, 99),
)  # fmt: skip
def test_tensorflow_and_the_paper_agree(radius, channels, k, alpha, beta, seed):
    x = draw((2, 3, 4, channels), scale=3, seed=seed)
    y = LocalResponseNormalization(radius, k=k, alpha=alpha, beta=beta)(x).numpy()
    want = tf.nn.local_response_normalization(x, depth_radius=radius, bias=k, alpha=alpha, beta=beta).numpy()
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-6)
    wide = x.astype("float64")
    y = LocalResponseNormalization(radius, k=k, alpha=alpha, beta=beta, dtype="float64")(wide).numpy()
    np.testing.assert_allclose(y, by_the_paper(wide, 2 * radius + 1, k, alpha, beta), rtol=1e-10)


def test_the_defaults_are_the_papers():
    x = draw((1, 2, 2, 7), scale=100, dtype="float64")
    y = LocalResponseNormalization(dtype="float64")(x).numpy()
    np.testing.assert_allclose(y, by_the_paper(x), rtol=1e-12)
    assert abs(y / x - 2**-0.75).max() > 0.1  # with images of 0 to 255 it does something,
    small = LocalResponseNormalization(dtype="float64")(x / 100).numpy()
    np.testing.assert_allclose(small / (x / 100), 2**-0.75, rtol=1e-2)  # with 0 to 1 it divides by 1.68


def test_gradient():
    x, dy = draw((2, 2, 3, 6), scale=3, dtype="float64"), draw((2, 2, 3, 6), seed=1, dtype="float64")
    layer = LocalResponseNormalization(alpha=0.1, dtype="float64")
    with tf.GradientTape() as tape:
        v = tf.constant(x)
        tape.watch(v)
        y = layer(v)
    dx = tape.gradient(y, v, output_gradients=tf.constant(dy)).numpy()
    assert scratch.check_gradient(lambda x: (dy * layer(x).numpy()).sum(), x, dx, tolerance=1e-7).passed


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16"])
def test_half_precision_does_not_overflow(policy):
    x = draw((1, 2, 2, 6), scale=500)  # squares of 250,000; float16 ends at 65,504
    y = LocalResponseNormalization(dtype=policy)(x)
    assert y.dtype == keras.DTypePolicy(policy).compute_dtype
    np.testing.assert_allclose(np.asarray(keras.ops.cast(y, "float64")), by_the_paper(x), rtol=0.02, atol=0.5)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # Keras 3.15 under NumPy 2.4
def test_saved_and_loaded_in_a_model(tmp_path):
    layer = LocalResponseNormalization(1, k=1.5, alpha=0.3, beta=0.6, name="norm1")
    model = keras.Sequential([keras.Input((None, None, 4)), layer])
    model.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    x = draw((2, 5, 3, 4), scale=2)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.get_layer("norm1").get_config() == layer.get_config()
    assert model.count_params() == 0
    assert model.output_shape == (None, None, None, 4)


def test_inside_tf_function_with_unknown_sizes():
    layer = LocalResponseNormalization()
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, None))])
    x = draw((2, 3, 4, 5), scale=50)
    np.testing.assert_allclose(traced(x), layer(x), rtol=1e-6)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"depth_radius": -1}, "`depth_radius` must be an integer >= 0"),
        ({"depth_radius": 2.5}, "`depth_radius` must be an integer >= 0"),
        ({"k": 0}, "`k` must be a number > 0"),
        ({"alpha": -1e-4}, "`alpha` must be a number > 0"),
        ({"beta": float("nan")}, "`beta` must be a number > 0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"LocalResponseNormalization: {message}"):
        LocalResponseNormalization(**settings)


def test_a_single_image_is_refused_and_the_remedy_works():
    image = draw((4, 4, 3))
    with pytest.raises(ValueError, match=r"must have 4 axes \(n, h, w, c\).*x\[None\]"):
        LocalResponseNormalization()(image)
    assert LocalResponseNormalization()(image[None]).shape == (1, 4, 4, 3)
