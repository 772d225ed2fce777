"""FeatureExtractor against the Keras models its SavedModels were made from, called directly."""

import hashlib
import json
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import savedmodels

from course_cnn import report, transfer
from course_cnn._tensorflow import tf
from course_cnn.transfer import FeatureExtractor, ModelError, backbone, handles

# isort: split
import keras

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__.*copy:DeprecationWarning")  # Keras 3.15 under NumPy 2.4

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 8, 8, 3), "float32")
LABELS = np.arange(6) % 3
FORMATS = {  # name: factory, its settings, settings of the extractor
    "hub": (savedmodels.hub_format, {}, {}),
    "hub, no training argument": (savedmodels.hub_format, {"training_argument": False}, {}),
    "hub, further argument": (savedmodels.hub_format, {"momentum": True}, {}),
    "hub, no batch norm": (savedmodels.hub_format, {"batch_norm": False, "dropout": False}, {}),
    "hub, any size": (savedmodels.hub_format, {"size": None}, {}),
    "hub, two outputs": (savedmodels.hub_format, {"outputs": 2}, {"output": "vector"}),
    "hub, maps": (savedmodels.hub_format, {"outputs": 2}, {"output": "maps"}),
    "keras export": (savedmodels.keras_export, {}, {}),
    "keras export, no batch norm": (savedmodels.keras_export, {"batch_norm": False, "dropout": False}, {}),
    "signature": (savedmodels.signature_only, {}, {}),
    "signature, two outputs": (savedmodels.signature_only, {"outputs": 2}, {"output": "vector"}),
}
CONSTANTS = (savedmodels.signature_only, {"constants": True}, {})


def slow(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that writes a SavedModel once: (its folder, the Keras model it was made from)."""
    root, known = tmp_path_factory.mktemp("models"), {}

    def make(factory, **settings):
        key = (factory.__name__, *sorted(settings.items()))
        if key not in known:
            folder = root / str(len(known))
            known[key] = folder, factory(folder, **settings)
        return known[key]

    return make


@pytest.fixture(params=FORMATS)
def each(request, made):
    """(folder, model, settings of the extractor) for each format."""
    factory, settings, more = FORMATS[request.param]
    return *made(factory, **settings), more


@pytest.fixture
def hub(made):
    return made(savedmodels.hub_format)[0]


def classifier(extractor, kind="sequential", shape=(8, 8, 3)):
    """Put a head on an extractor, in three ways."""
    if kind == "sequential":
        model = keras.Sequential([keras.Input(shape), extractor, keras.layers.Dense(3)])
    else:
        inputs = keras.Input(shape)
        body = keras.Model(inputs, extractor(inputs)) if kind == "nested" else extractor
        model = keras.Model(inputs, keras.layers.Dense(3)(body(inputs)))
    return compiled(model)


def compiled(model, optimizer=None):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.AdamW(0.1, weight_decay=0.1), loss)
    return model


def fit(model, epochs=2):
    model.fit(IMAGES, LABELS, epochs=epochs, batch_size=3, shuffle=False, verbose=0)
    return model


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# Features


def test_features_of_every_format(each):
    folder, model, more = each
    extractor = FeatureExtractor(folder, **more)
    np.testing.assert_allclose(extractor(IMAGES), model(IMAGES), rtol=1e-6, atol=1e-7)
    assert (extractor.features, extractor.compute_output_shape((None, 8, 8, 3))) == (4, (None, 4))
    assert extractor.backbone_params == model.count_params() == extractor.count_params()
    assert extractor.stages == ("stage1", "stage2")
    assert not extractor.trainable
    assert extractor.trainable_weights == []
    assert extractor.size == (None if model.input_shape[1] is None else (8, 8))


def test_weights_as_constants(made):
    folder, model = made(CONSTANTS[0], **CONSTANTS[1])
    extractor = FeatureExtractor(folder)
    np.testing.assert_allclose(extractor(IMAGES), model(IMAGES), rtol=1e-6, atol=1e-7)
    assert (extractor.backbone_params, extractor.stages, extractor.weights) == (0, (), [])


def test_signatures_by_name(made):
    folder, model = made(savedmodels.signature_only, signatures=("serving_default", "double"))
    np.testing.assert_allclose(FeatureExtractor(folder, signature="double")(IMAGES), 2 * model(IMAGES), rtol=1e-6)
    folder, model = made(savedmodels.signature_only, signatures=("mine",))
    with pytest.raises(ValueError, match='of its signatures mine none is "serving_default"') as error:
        FeatureExtractor(folder)
    follow = re.search(r"signature='(\w+)'", str(error.value)).group(1)
    assert FeatureExtractor(folder, signature=follow).features == 4


def test_outputs_by_name(made):
    folder, _ = made(savedmodels.signature_only, outputs=2)
    with pytest.raises(ValueError, match="2 outputs: negative, vector") as error:
        FeatureExtractor(folder)
    follow = re.search(r"output='(\w+)'", str(error.value)).group(1)
    assert FeatureExtractor(folder, output=follow).features == 4
    both = [FeatureExtractor(folder, output=name)(IMAGES) for name in ("negative", "vector")]
    np.testing.assert_allclose(both[0], -both[1], rtol=1e-6)


@pytest.mark.parametrize("name", ["MobileNet_025_32", "vgg16", *slow("mobilenet_v2_035_96", "MobileNetV3Small")])
def test_keras_applications(name):
    """tf, caffe and no preprocessing, against the network and preprocess_input called by hand."""
    size = None if name.endswith("96") else 32
    extractor = FeatureExtractor(f"keras:{name}", weights=None, size=size)
    build, more, _ = backbone.keras_network(f"keras:{name}")
    side = size or 96
    assert extractor.size == (side, side)
    images = RNG.random((2, side, side, 3), "float32")
    network = build(weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3), **more)
    network.set_weights(extractor.get_weights())
    preprocess = sys.modules[build.__module__].preprocess_input
    np.testing.assert_allclose(extractor(images), network(preprocess(images * 255)), rtol=1e-5, atol=1e-6)
    assert extractor.backbone_params == network.count_params()
    assert extractor.stages[:3] == ("stage1", "stage2", "stage3")
    assert extractor.value_range == (0, 255)


def test_multipliers_and_sizes_in_the_name():
    assert backbone.keras_network("keras:mobilenet_v2_035_96")[1:] == ({"alpha": 0.35}, (96, 96))
    assert backbone.keras_network("keras:MobileNetV2")[1:] == ({}, (224, 224))
    assert backbone.keras_network("keras:inception_v3")[1:] == ({}, (299, 299))
    assert backbone.keras_network("keras:resnet50")[0] is keras.applications.ResNet50
    known = {backbone._squeezed(n) for n in dir(keras.applications) if callable(getattr(keras.applications, n))}
    assert backbone.OTHER_SIZES.keys() <= known


# What is done to images


def test_grey_is_repeated(hub):
    extractor, grey = FeatureExtractor(hub), IMAGES[..., :1]
    assert np.array_equal(extractor(grey), extractor(np.repeat(grey, 3, axis=3)))


@pytest.mark.parametrize("shape", [(20, 30), (5, 4), (16, 4)])
def test_resized_bilinearly_and_smoothed_where_that_shrinks(hub, shape):
    images, extractor = RNG.random((3, *shape, 3), "float32"), FeatureExtractor(hub)
    want = tf.image.resize(images, (8, 8), antialias=True)
    np.testing.assert_allclose(extractor(images), extractor(np.clip(want, 0, 1)), rtol=1e-4, atol=1e-6)
    unknown = tf.function(extractor, input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(unknown(images), extractor(images), rtol=1e-5, atol=1e-6)


def test_size_of_a_model_that_takes_any(made):
    folder, model = made(savedmodels.hub_format, size=None)
    extractor = FeatureExtractor(folder, size=(4, 6))
    assert extractor.size == (4, 6)
    np.testing.assert_allclose(extractor(IMAGES), model(tf.image.resize(IMAGES, (4, 6), antialias=True)), rtol=1e-5)


def test_values_are_scaled(hub):
    bare = FeatureExtractor(hub, input_range=(-1, 1), value_range=(-1, 1))
    for given, wanted in [((0, 1), (-1, 1)), ((0, 255), (-1, 1)), ((-1, 1), (0, 1)), ((-0.5, 0.5), (0, 1))]:
        extractor = FeatureExtractor(hub, input_range=given, value_range=wanted)
        images = IMAGES * (given[1] - given[0]) + given[0]
        want = bare(IMAGES * (wanted[1] - wanted[0]) + wanted[0])
        np.testing.assert_allclose(extractor(images), want, rtol=1e-4, atol=1e-5)
        assert extractor.value_range == wanted


def test_facts_come_from_the_card_or_the_table(made, tmp_path, monkeypatch):
    folder = shutil.copytree(made(savedmodels.hub_format, size=None)[0], tmp_path / "model")
    (folder / "model.json").write_text(json.dumps({"size": 12, "value_range": [-1, 1]}))
    extractor = FeatureExtractor(folder)
    assert (extractor.size, extractor.value_range) == ((12, 12), (-1, 1))
    extractor = FeatureExtractor(folder, size=16, value_range=(0, 2))
    assert (extractor.size, extractor.value_range) == ((16, 16), (0, 2))
    address = "https://tfhub.dev/google/imagenet/mobilenet_v2_035_96/feature_vector/5"
    monkeypatch.setattr(handles, "resolve", lambda handle: folder)
    extractor = FeatureExtractor(address)
    assert (extractor.size, extractor.value_range) == ((96, 96), (0, 1))
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json cannot be read.*Mend or remove it"):
        FeatureExtractor(folder)


def test_refuses_values_out_of_range(hub):
    extractor = FeatureExtractor(hub)
    for images in (IMAGES * 255, IMAGES - 0.5, np.where(IMAGES > 0.9, np.nan, IMAGES)):
        with pytest.raises(ValueError, match=r"values from 0 to 1.*smallest=.*input_range=\(0, 255\)"):
            extractor(images)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"images must hold values from 0 to 1"):
            tf.function(extractor)(images)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Divide bytes by 255"):
        classifier(extractor).fit(IMAGES * 255, LABELS, verbose=0)
    np.testing.assert_allclose(FeatureExtractor(hub, input_range=(0, 255))(IMAGES * 255), extractor(IMAGES), rtol=1e-4)
    extractor(np.full((1, 8, 8, 3), 1.005, "float32"))  # what a resize may add


@pytest.mark.parametrize(
    "images, message",
    [
        ((IMAGES * 255).astype("uint8"), r"floating-point numbers \(images.dtype='uint8'\).*astype\('float32'\)"),
        (IMAGES[0], r"\(n, h, w, channels\) with 1 or 3 channels.*x\[None\]"),
        (IMAGES[..., :2], "Pass 3 channels"),
    ],
)
def test_refuses_other_images(hub, images, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(hub)(images)
    with pytest.raises(ValueError, match=message):
        keras.Sequential([keras.Input(images.shape[1:], dtype=images.dtype.name), FeatureExtractor(hub)])


def test_models_of_other_channels(made):
    folder, model = made(savedmodels.hub_format, channels=1)
    extractor, grey = FeatureExtractor(folder), IMAGES[..., :1]
    np.testing.assert_allclose(extractor(grey), model(grey), rtol=1e-6)
    with pytest.raises(ValueError, match=r"with 1 channels.*mean\(axis=3, keepdims=True\)"):
        extractor(IMAGES)
    extractor(IMAGES.mean(axis=3, keepdims=True))
    folder, model = made(savedmodels.hub_format, channels=4)
    with pytest.raises(ValueError, match=r"Pass 4 channels"):
        FeatureExtractor(folder)(IMAGES)
    assert FeatureExtractor(folder)(np.ones((1, 8, 8, 4), "float32")).shape == (1, 4)


# Frozen


@pytest.mark.parametrize(
    "name, kind",
    [("hub", "sequential"), ("hub", "functional"), ("hub", "nested"), ("keras export", "sequential")]
    + [
        pytest.param(name, "sequential", marks=pytest.mark.slow)
        for name in FORMATS
        if name not in ("hub", "keras export")
    ],
)
def test_frozen_weights_do_not_change_by_a_bit(made, name, kind):
    factory, settings, more = FORMATS[name]
    extractor = FeatureExtractor(made(factory, **settings)[0], **more)
    model, before = classifier(extractor, kind), extractor.get_weights()
    key, head = extractor.fingerprint(), model.layers[-1].get_weights()
    fit(model)
    assert same(before, extractor.get_weights())
    assert extractor.fingerprint() == key
    assert not same(head, model.layers[-1].get_weights())
    assert len(model.trainable_weights) == 2


def test_frozen_keras_network_does_not_change_by_a_bit():
    extractor = FeatureExtractor("keras:mobilenet_025_32", weights=None)
    model, before = classifier(extractor), extractor.get_weights()
    fit(model, epochs=1)
    assert same(before, extractor.get_weights())
    assert len(model.trainable_weights) == 2


def test_frozen_means_inference_whatever_training_says(hub):
    for extractor in (FeatureExtractor(hub), FeatureExtractor(hub, train_statistics=True)):
        assert np.array_equal(extractor(IMAGES, training=True), extractor(IMAGES))
    assert np.array_equal(FeatureExtractor(hub, trainable=True)(IMAGES, training=True), extractor(IMAGES))


# Fine-tuned


def trained_by_hand(body, head, training):
    """Steps of gradient descent without `fit` and without our layer."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in range(2):
        for x, y in ((IMAGES[:3], LABELS[:3]), (IMAGES[3:], LABELS[3:])):
            with tf.GradientTape() as tape:
                value = loss(y, head(body(x, training=training)))
            variables = body.trainable_variables + head.trainable_variables
            for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
                variable.assign_sub(0.1 * gradient)


@pytest.mark.parametrize(
    "factory, learning_statistics",
    [
        (savedmodels.hub_format, False),
        (savedmodels.hub_format, True),
        (savedmodels.keras_export, False),
        (savedmodels.signature_only, False),
    ],
)
def test_fine_tuning_equals_that_of_the_model_itself(tmp_path, factory, learning_statistics):
    original = factory(tmp_path / "model", dropout=False)
    before = {v.path.replace("/", "_"): v.numpy() for v in original.weights}
    extractor = FeatureExtractor(tmp_path / "model", trainable=True, train_statistics=learning_statistics)
    model = compiled(classifier(extractor), keras.optimizers.SGD(0.1))
    head = keras.layers.Dense(3)
    head(np.zeros((1, 4)))
    head.set_weights(model.layers[-1].get_weights())
    trained_by_hand(original, head, learning_statistics)
    fit(model)
    assert len(extractor.trainable_weights) == len(original.trainable_weights) == 6
    after = {v.path.replace("/", "_"): v.numpy() for v in original.weights}
    assert {weight.name for weight in extractor.weights} == after.keys()
    for weight in extractor.weights:
        np.testing.assert_allclose(weight.numpy(), after[weight.name], rtol=1e-4, atol=1e-6, err_msg=weight.name)
        assert (before[weight.name] != weight.numpy()).any() == ("moving" not in weight.name or learning_statistics)


def test_dropout_works_only_with_train_statistics(made):
    folder = made(savedmodels.hub_format, batch_norm=False)[0]
    extractor = FeatureExtractor(folder, trainable=True, train_statistics=True)
    assert not np.array_equal(extractor(IMAGES, training=True), extractor(IMAGES))
    assert np.array_equal(extractor(IMAGES), extractor(IMAGES, training=False))
    extractor.train_statistics = False
    assert np.array_equal(extractor(IMAGES, training=True), extractor(IMAGES))


@pytest.mark.parametrize("handle", ["hub", *slow("keras")])
def test_stages_one_by_one(hub, handle):
    extractor = FeatureExtractor(hub) if handle == "hub" else FeatureExtractor(
        "keras:mobilenet_025_32", weights=None
    )  # fmt: skip
    last = extractor.stages[-1]
    extractor.set_trainable_stages((last,))
    stage = dict(zip([v.path for v in extractor._backbone.variables], extractor._backbone.stage_of, strict=True))
    model, before = classifier(extractor), [v.numpy() for v in extractor.weights]
    fit(model, epochs=1)
    changed = {stage[v.path] for v, old in zip(extractor.weights, before, strict=True) if (v.numpy() != old).any()}
    assert changed == {last}
    assert (extractor.trainable, extractor.trainable_stages) == (True, (last,))
    assert 0 < len(extractor.trainable_weights) < len(extractor.weights)
    extractor.trainable = True  # more than now, though it is True already
    assert extractor.trainable_stages == extractor.stages
    everything = len(extractor.trainable_weights)
    assert everything == sum(extractor._backbone.learned)
    extractor.set_trainable_stages(())
    assert (extractor.trainable, extractor.trainable_stages, extractor.trainable_weights) == (False, (), [])
    model.trainable = False
    assert model.trainable_weights == []
    model.trainable = True
    assert len(extractor.trainable_weights) == everything
    assert FeatureExtractor(extractor.handle, weights=None, trainable=extractor.stages[:1]).trainable_stages == (
        extractor.stages[0],
    )


@pytest.mark.slow
def test_statistics_of_a_keras_network_stage_by_stage():
    extractor = FeatureExtractor("keras:mobilenet_025_32", weights=None, train_statistics=True)
    extractor.set_trainable_stages(extractor.stages[-1:])
    stage, before = extractor._backbone.stage_of, [v.numpy() for v in extractor._backbone.variables]
    fit(classifier(extractor), epochs=1)
    moved = {
        where
        for v, where, old in zip(extractor._backbone.variables, stage, before, strict=True)
        if "moving" in v.path and (v.numpy() != old).any()
    }
    assert moved == set(extractor.stages[-1:])


def no_gradient(images, weights):
    """Dilation2DBackpropInput has no gradient registered."""
    y = tf.raw_ops.Dilation2DBackpropInput(
        input=images, filter=weights, out_backprop=images, strides=[1] * 4, rates=[1] * 4, padding="SAME"
    )
    return tf.reduce_mean(y, (1, 2))


def cut_gradient(images, weights):
    """A whole number does not change with the weights."""
    y = tf.reduce_mean(images * weights[0, 0], (1, 2))
    return tf.cast(tf.cast(y, tf.int32), tf.float32)


@pytest.mark.parametrize(
    "source, reason",
    [
        ("constants", "it holds no variables"),
        ("not trainable", "none of its variables is marked as trainable"),
        (no_gradient, "TensorFlow finds no gradient through it: No gradient defined for operation"),
        (cut_gradient, "no gradient reaches its variables"),
    ],
)
def test_fine_tuning_is_refused_where_it_is_impossible(made, tmp_path, source, reason):
    if source == "constants":
        folder, _ = made(CONSTANTS[0], **CONSTANTS[1])
    elif source == "not trainable":
        folder, _ = made(savedmodels.hub_format, trainable=False)
    else:
        folder, weights = tmp_path / "model", tf.Variable(tf.ones((2, 2, 3)), name="stage1/weights")
        images = tf.TensorSpec((None, 8, 8, 3), tf.float32)
        savedmodels.function_of(folder, lambda images: source(images, weights), images, weights=weights)
    with pytest.raises(ValueError, match=f"cannot be fine-tuned: {reason}"):
        FeatureExtractor(folder, trainable=True)
    extractor = FeatureExtractor(folder)
    model = classifier(extractor)
    model.trainable = False
    for part in (extractor, model):
        with pytest.raises(ValueError, match=f"cannot be fine-tuned: {reason}"):
            part.trainable = True
        assert not extractor.trainable
    before = extractor.get_weights()
    fit(classifier(extractor), epochs=1)  # the remedy: a head on its features
    assert same(before, extractor.get_weights())


def test_a_variable_that_no_gradient_reaches_is_left_out(tmp_path):
    kernel = tf.Variable(tf.ones((3, 4)), name="stage1/kernel")
    lost = tf.Variable(tf.ones(4), name="stage1/lost")

    def call(images):
        return tf.reduce_mean(images, (1, 2)) @ kernel + tf.cast(tf.cast(lost, tf.int32), tf.float32)

    images = tf.TensorSpec((None, 8, 8, 3), tf.float32)
    savedmodels.function_of(tmp_path / "model", call, images, kernel=kernel, lost=lost)
    extractor = FeatureExtractor(tmp_path / "model", trainable=True)
    assert [v.name for v in extractor.trainable_weights] == ["stage1_kernel"]
    fit(classifier(extractor))  # Keras would warn of a missing gradient


def test_statistics_are_refused_where_nothing_can_tell_the_model(made, tmp_path):
    for factory in (savedmodels.keras_export, savedmodels.signature_only):
        with pytest.raises(ValueError, match=r"has no `training` argument.*Leave train_statistics=False"):
            FeatureExtractor(made(factory)[0], train_statistics=True)
    module, images = tf.train.Checkpoint(), tf.TensorSpec((None, 8, 8, 3), tf.float32)
    module.__call__ = tf.function(lambda images, training=False: tf.reduce_mean(images, (1, 2)))
    module.__call__.get_concrete_function(images, training=False)
    tf.saved_model.save(module, str(tmp_path / "model"))
    with pytest.raises(ValueError, match="without the part for training=True"):
        FeatureExtractor(tmp_path / "model", train_statistics=True)
    extractor = FeatureExtractor(made(savedmodels.hub_format)[0], train_statistics=True)
    with pytest.raises(ValueError, match="all its stages or of none"):
        extractor.set_trainable_stages(("stage2",))
    extractor.set_trainable_stages(("stage1", "stage2"))
    extractor = FeatureExtractor(made(savedmodels.hub_format)[0], trainable=("stage2",))
    with pytest.raises(ValueError, match="all its stages or of none"):
        extractor.train_statistics = True
    assert not extractor.train_statistics


# Saved and loaded


@pytest.mark.parametrize("kind, trainable", [("sequential", False), ("functional", ("stage2",)), ("nested", True)])
def test_saved_and_reloaded(made, tmp_path, kind, trainable):
    extractor = FeatureExtractor(made(savedmodels.hub_format)[0], trainable=trainable, name="backbone")
    model = fit(classifier(extractor, kind))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(IMAGES), model(IMAGES))
    assert [v.shape for v in again.trainable_weights] == [v.shape for v in model.trainable_weights]
    found = again.layers[1 if kind != "sequential" else 0]
    found = found.layers[1] if kind == "nested" else found
    assert (found.name, found.trainable_stages) == ("backbone", extractor.trainable_stages)
    assert found.fingerprint() == extractor.fingerprint()
    for one in (model, again):
        fit(one, epochs=1)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):  # the optimizer went on as it was
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_every_format_is_saved_and_reloaded(each, tmp_path):
    folder, _, more = each
    model = fit(classifier(FeatureExtractor(folder, trainable=True, input_range=(0, 2), **more)), epochs=1)
    model.save(tmp_path / "model.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "model.keras")(IMAGES), model(IMAGES))


def test_keras_network_is_reloaded_without_fetching_weights(tmp_path, monkeypatch):
    extractor = FeatureExtractor("keras:mobilenet_025_32", weights=None)
    extractor._settings["weights"] = "imagenet"  # as if they had been fetched
    model = fit(classifier(extractor), epochs=1)
    model.save(tmp_path / "model.keras")
    monkeypatch.setattr(keras.applications, "MobileNet", forbidden(keras.applications.MobileNet))
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(IMAGES), model(IMAGES))
    assert again.layers[0].get_config()["weights"] == "imagenet"
    with pytest.raises(ModelError, match="neither in Keras's cache nor to be downloaded"):
        keras.models.clone_model(model)  # a copy is a fresh extractor


def forbidden(build):
    def offline(weights=None, **settings):
        if weights:
            raise Exception("URL fetch failure")
        return build(weights=None, **settings)

    offline.__module__ = build.__module__
    offline.__name__ = build.__name__
    return offline


def test_copy_of_a_keras_network_has_pretrained_weights(tmp_path):
    network = keras.applications.MobileNet(
        weights=None, alpha=0.25, include_top=False, pooling="avg", input_shape=(32, 32, 3)
    )
    network.save_weights(tmp_path / "mine.weights.h5")
    extractor = FeatureExtractor("keras:mobilenet_025_32", weights=str(tmp_path / "mine.weights.h5"))
    assert same(extractor.get_weights(), network.get_weights())
    model = classifier(extractor)
    copy = keras.models.clone_model(model)
    assert np.array_equal(copy.layers[0](IMAGES), extractor(IMAGES))


LOADER = """
import sys
import numpy as np
from course_cnn import transfer
import keras
for path in sys.argv[2:]:
    np.save(path + ".npy", keras.models.load_model(path).predict(np.load(sys.argv[1]), verbose=0))
"""


@pytest.mark.slow
def test_a_fresh_process_gives_identical_outputs(each_kind, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    for number, model in enumerate(each_kind):
        model.save(tmp_path / f"{number}.keras")
    paths = [str(tmp_path / f"{number}.keras") for number in range(len(each_kind))]
    command = [sys.executable, "-c", LOADER, str(tmp_path / "images.npy"), *paths]
    subprocess.run(command, check=True, capture_output=True, text=True)
    for path, model in zip(paths, each_kind, strict=True):
        assert np.array_equal(np.load(path + ".npy"), model.predict(IMAGES, verbose=0)), path


@pytest.fixture
def each_kind(made):
    """Models with each kind of extractor, frozen or fine-tuned, after some training."""
    hub, export, signature = (made(FORMATS[name][0])[0] for name in ("hub", "keras export", "signature"))
    extractors = [
        FeatureExtractor(hub),
        FeatureExtractor(hub, trainable=True, train_statistics=True),
        FeatureExtractor(export, trainable=("stage2",)),
        FeatureExtractor(signature, trainable=True),
        FeatureExtractor("bundled"),
        FeatureExtractor("keras:mobilenet_025_32", weights=None),
    ]
    return [fit(classifier(extractor), epochs=1) for extractor in extractors]


def test_another_graph_under_the_handle_is_refused(tmp_path):
    folder = tmp_path / "model"
    savedmodels.hub_format(folder)
    model = classifier(FeatureExtractor(folder))
    model.save(tmp_path / "model.keras")
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"opened by its handle"):
        keras.models.load_model(tmp_path / "model.keras")
    savedmodels.hub_format(folder, batch_norm=False)
    with pytest.raises(ModelError, match=r"not the one that was saved: its graph differs"):
        keras.models.load_model(tmp_path / "model.keras")


def test_relative_folders_stay_relative(tmp_path, monkeypatch):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    savedmodels.hub_format(tmp_path / "here" / "models" / "mine")
    monkeypatch.chdir(tmp_path / "here")
    model = fit(classifier(FeatureExtractor("models/mine")), epochs=1)
    model.save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(ModelError):
        keras.models.load_model(tmp_path / "model.keras")
    shutil.copytree(tmp_path / "here" / "models", tmp_path / "there" / "models")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].handle == "models/mine"
    assert np.array_equal(again(IMAGES), model(IMAGES))


def test_copies(hub, tmp_path):
    """clone_model gives the weights the model came with, pickle those it has."""
    extractor = FeatureExtractor(hub, trainable=True)
    model, first = classifier(extractor), FeatureExtractor(hub)(IMAGES)
    fit(model)
    assert np.array_equal(keras.models.clone_model(model).layers[0](IMAGES), first)
    assert np.array_equal(pickle.loads(pickle.dumps(model))(IMAGES), model(IMAGES))
    model.export(tmp_path / "export", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(loaded.serve(IMAGES), model(IMAGES), rtol=1e-5)
    np.testing.assert_allclose(FeatureExtractor(tmp_path / "export")(IMAGES), model(IMAGES), rtol=1e-5)


# In models


def test_two_extractors_and_one_called_twice(made, tmp_path):
    folder, model = made(savedmodels.hub_format)
    first, second = FeatureExtractor(folder, trainable=True), FeatureExtractor(folder)
    inputs = keras.Input((8, 8, 3))
    both = keras.layers.Concatenate()([first(inputs), second(inputs), first(keras.ops.flip(inputs, 2))])
    net = compiled(keras.Model(inputs, keras.layers.Dense(3)(both)))
    frozen = second.get_weights()
    fit(net)
    assert same(frozen, second.get_weights())
    assert not same(frozen, first.get_weights())
    assert net.count_params() == 2 * model.count_params() + 12 * 3 + 3
    assert len({v.path for v in net.weights}) == len(net.weights)
    net.save(tmp_path / "net.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "net.keras")(IMAGES), net(IMAGES))


def test_frozen_variables_are_not_watched(hub):
    extractor = FeatureExtractor(hub)
    with tf.GradientTape() as tape:
        extractor(IMAGES)
    assert tape.watched_variables() == ()
    extractor.set_trainable_stages(("stage2",))
    with tf.GradientTape() as tape:
        extractor(IMAGES)
    assert {v.name.split(":")[0] for v in tape.watched_variables()} == {"stage2_conv/kernel", "stage2_conv/bias"}


def test_in_functions_and_pipelines(hub):
    extractor = FeatureExtractor(hub)
    want = extractor(IMAGES).numpy()
    np.testing.assert_allclose(tf.function(extractor)(IMAGES), want, rtol=1e-6)
    pipeline = tf.data.Dataset.from_tensor_slices(IMAGES).batch(2).map(extractor, num_parallel_calls=2)
    np.testing.assert_allclose(np.concatenate(list(pipeline.as_numpy_iterator())), want, rtol=1e-5)
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        y = tf.reduce_sum(extractor(images))
    assert (tape.gradient(y, images).numpy() != 0).any()  # frozen, and a saliency map still works


def test_mixed_precision_and_other_dtypes(hub):
    before = keras.config.dtype_policy()
    want = FeatureExtractor(hub)(IMAGES)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        extractor = FeatureExtractor(hub)
        network = FeatureExtractor("keras:mobilenet_025_32", weights=None)
        features, model = extractor(IMAGES), classifier(extractor)
        fit(model, epochs=1)
    finally:
        keras.config.set_dtype_policy(before)
    assert (features.dtype, {v.dtype for v in extractor.weights + network.weights}) == (tf.float16, {"float32"})
    assert network(IMAGES).dtype == tf.float16
    np.testing.assert_allclose(features, want, rtol=2e-3, atol=1e-4)
    assert FeatureExtractor(hub, dtype="float64")(IMAGES).dtype == tf.float64
    np.testing.assert_allclose(FeatureExtractor(hub)(IMAGES.astype("float64")), want, rtol=1e-6)


def test_fingerprint(hub, made):
    extractor = FeatureExtractor(hub)
    key = extractor.fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert FeatureExtractor(hub, name="other", trainable=True).fingerprint() == key
    others = [
        FeatureExtractor(hub, input_range=(0, 255)),
        FeatureExtractor(hub, value_range=(-1, 1)),
        FeatureExtractor(hub, dtype="float16"),
        FeatureExtractor(made(savedmodels.hub_format, seed=1)[0]),
        FeatureExtractor(made(savedmodels.hub_format, size=None)[0]),
        FeatureExtractor(made(savedmodels.hub_format, size=None)[0], size=4),
        FeatureExtractor(made(savedmodels.hub_format, outputs=2)[0], output="vector"),
    ]
    keys = {key, *(other.fingerprint() for other in others)}
    assert len(keys) == len(others) + 1
    extractor.weights[0].assign_add(np.full(extractor.weights[0].shape, 1e-3))
    assert extractor.fingerprint() not in keys


def test_report_shows_the_parameters(hub):
    summary = report.summarize(classifier(FeatureExtractor(hub)))
    row = next(row for row in summary.rows if row.type == "FeatureExtractor")
    assert (row.params, row.trainable_params, row.macs, row.output_shape) == (344, 0, None, (None, 4))
    assert summary.unknown == (row.name,)
    assert (summary.total_params, summary.trainable_params) == (344 + 15, 15)
    assert "344" in str(summary)
    assert "unknown" in str(summary)
    network = FeatureExtractor("keras:mobilenet_025_32", weights=None)
    inside = report.summarize(classifier(network, shape=(16, 16, 1)))
    plain = report.summarize(network._network)
    assert inside.total_params == network.backbone_params + 3 * 256 + 3
    assert inside.total_macs == plain.total_macs + 3 * 256
    assert inside.unknown == ()


def test_repr(hub):
    extractor = FeatureExtractor(hub, value_range=(-1, 1))
    assert repr(extractor) == (
        f"FeatureExtractor('{hub}': images 8×8×3 in [-1, 1], 4 features, 344 parameters, frozen)"
    )
    extractor.set_trainable_stages(["stage2"])
    assert repr(extractor).endswith("344 parameters, trained: stage2)")


# Bad input


def saved(path, call, *specs):
    savedmodels.function_of(path, call, *specs)
    return path


def mean(x):
    return tf.reduce_mean(x, (1, 2))


@pytest.mark.parametrize(
    "call, specs, message",
    [
        (lambda x: x, [((None, 8), "float32")], r"takes x: \(None, 8\) float32, not one batch of float images"),
        (lambda x: x, [((None,), "string")], "takes x: .* string, not one batch"),
        (lambda x: tf.cast(mean(x), "float32"), [((None, 8, 8, 3), "uint8")], r"uint8, not one batch"),
        (lambda x: mean(x), [((None, 3, 8, None), "float32")], "not one batch"),
        (lambda x: mean(x), [((None, 3, None, 8), "float32")], "fixes one side of the images only"),
        (lambda x: mean(x), [((1, 8, 8, 3), "float32")], "batches of 1 image only"),
        (lambda x, y: mean(x + y), [((None, 8, 8, 3), "float32")] * 2, r"takes x: .*, y: .*, not one batch"),
        (lambda x: tf.cast(mean(x), "int32"), [((None, 8, 8, 3), "float32")], "not one row of features"),
        (lambda x: tf.reduce_mean(x), [((None, 8, 8, 3), "float32")], r"gives \(\) for one image"),
        (lambda x: mean(tf.concat([x, x], 0)), [((None, 8, 8, 3), "float32")], r"gives \(2, 3\) for one image"),
        (lambda x: (mean(x), mean(x)), [((None, 8, 8, 3), "float32")], r"2 outputs: 0, 1.*Use for example output=1"),
    ],
)  # fmt: skip
def test_models_for_something_else(tmp_path, call, specs, message):
    saved(tmp_path / "model", call, *(tf.TensorSpec(shape, dtype) for shape, dtype in specs))
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(tmp_path / "model")


def test_a_model_that_fails(tmp_path):
    images = tf.TensorSpec((None, None, None, 3), tf.float32)
    saved(tmp_path / "model", lambda x: tf.reduce_mean(tf.ensure_shape(x, (None, 17, 17, 3)), (1, 2)), images)
    with pytest.raises(ModelError, match=r"fails on a black image of 96×96×3.*Another size="):
        FeatureExtractor(tmp_path / "model")
    assert FeatureExtractor(tmp_path / "model", size=17).features == 3


def test_a_model_that_cannot_be_called(tmp_path):
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path / "model"))
    with pytest.raises(ValueError, match="the model cannot be called"):
        FeatureExtractor(tmp_path / "model")


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_damaged_models(hub, tmp_path, name):
    folder = shutil.copytree(hub, tmp_path / "model")
    (folder / name).write_bytes((folder / name).read_bytes()[:40])
    with pytest.raises(ModelError, match=r"cannot be read.*copy or export it again"):
        FeatureExtractor(folder)


def test_a_damaged_model_in_the_cache_of_hub(hub, tmp_path, monkeypatch):
    """The remedy, followed by what would be fetched: the same model, whole."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    address = "https://tfhub.dev/somebody/model/1"
    folder = shutil.copytree(hub, tmp_path / hashlib.sha1(address.encode()).hexdigest())
    (folder / "saved_model.pb").write_bytes(b"\x00" * 40)
    with pytest.raises(ModelError, match=r"cannot be read.*delete that folder and try again") as error:
        FeatureExtractor(address)
    assert str(folder) in str(error.value)
    shutil.rmtree(folder)
    shutil.copytree(hub, folder)
    assert FeatureExtractor(address).features == FeatureExtractor(hub).features


def test_modules_of_tf1_hub(tmp_path):
    builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "model"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("v", initializer=1.0)
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["train"])
        builder.add_meta_graph([])
    builder.save()
    with pytest.raises(ModelError, match=r"a module of TF1 Hub.*Take a TF2 version"):
        FeatureExtractor(tmp_path / "model")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"size": 9}, r"takes images of 8×8 pixels only.*Use size=\(8, 8\)"),
        ({"size": 0}, "`size` must be an integer >= 1"),
        ({"size": (8, 8, 3)}, r"an integer or \(h, w\)"),
        ({"signature": "mine"}, r"no such signature; it has serve, serving_default.*Use signature='serving_default'"),
        ({"output": "mine"}, "a single tensor, without a name.*Leave `output` out"),
        ({"input_range": (1, 0)}, r"`input_range` must be two numbers, the lower first.*input_range=\(0, 1\)"),
        ({"value_range": "bytes"}, "`value_range` must be two numbers"),
        ({"trainable": "stage1"}, r"a sequence of names out of stage1, stage2.*\('stage2',\)"),
        ({"trainable": ("stage3",)}, r"a sequence of names out of stage1, stage2.*\('stage2',\)"),
        ({"trainable": 3}, "a sequence of names"),
    ],
)  # fmt: skip
def test_bad_arguments(made, settings, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(
            made(savedmodels.keras_export)[0] if "signature" in settings else made(savedmodels.hub_format)[0],
            **settings,
        )


@pytest.mark.parametrize(
    "handle, settings, message",
    [
        ("keras:mobilnet", {}, 'ConvNeXtBase.*, Xception.*handle="keras:mobilenet_v2"'),
        ("keras:vgg16_100_224", {}, 'only MobileNets.*handle="keras:vgg16", size=224'),
        ("keras:mobilenet_v2_035_96", {"weights": "imagenett"}, "keras.applications refuses: .*imagenet"),
        ("keras:mobilenet_v2_035_96", {"weights": None, "size": 8}, "at least 32x32"),
        ("keras:mobilenet_v2", {"signature": "mine"}, "`signature` is for SavedModels"),
        ("keras:mobilenet_v2", {"output": "mine"}, "`output` is for SavedModels"),
        ("keras:mobilenet_025_32", {"weights": None, "value_range": (0, 1)}, "its own scaling"),
    ],
)
def test_bad_arguments_of_keras_networks(handle, settings, message):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(handle, **settings)


def test_stages_without_names(made, tmp_path):
    weights = tf.Variable(tf.ones((3, 4)), name="kernel")
    images = tf.TensorSpec((None, 8, 8, 3), tf.float32)
    folder = tmp_path / "model"
    savedmodels.function_of(folder, lambda x: tf.reduce_mean(x, (1, 2)) @ weights, images, weights=weights)
    extractor = FeatureExtractor(folder, trainable=True)
    assert (extractor.stages, len(extractor.trainable_weights)) == ((), 1)
    with pytest.raises(ValueError, match=r"tell no stages.*Use trainable=True"):
        extractor.set_trainable_stages(("stage1",))
    model = fit(classifier(extractor))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(IMAGES), model(IMAGES))
    assert again.layers[0].trainable


@pytest.mark.parametrize(
    "names, stages",
    [
        (["conv1_conv/kernel", "stage1_block1_1_conv/kernel"], ["conv1", "stage1"]),
        (["M/Conv/w", "M/expanded_conv/a/w", "M/expanded_conv_1/a/w"], ["Conv", "expanded_conv", "expanded_conv_1"]),
        (["InceptionV1/Conv2d_1a_7x7/weights", "InceptionV1/Mixed_3b/a/weights"], ["Conv2d_1a_7x7", "Mixed_3b"]),
        (["kernel", "stage1/bias"], [None, None]),
        ([], []),
    ],
)  # fmt: skip
def test_stages_by_name(names, stages):
    assert backbone._stages_by_name(names) == stages


def test_bundled():
    extractor = transfer.FeatureExtractor()
    assert (extractor.size, extractor.features, extractor.value_range) == ((32, 32), 128, (0, 1))
    assert extractor.stages == ("conv1", "stage1", "stage2", "stage3")
    direct = tf.saved_model.load(str(handles.BUNDLED))
    images = RNG.random((4, 32, 32, 3), "float32")
    np.testing.assert_allclose(extractor(images), direct(images), rtol=1e-5, atol=1e-6)
    assert extractor.backbone_params == sum(np.prod(v.shape) for v in direct.variables)
