"""Stages against the sizes of the layers' outputs; freezing against what `fit` really changes, bit for bit."""

from itertools import pairwise

import numpy as np
import pytest

from course_cnn import zoo
from course_cnn._tensorflow import tf
from course_cnn.layers import ResidualBlock
from course_cnn.transfer import FeatureExtractor, freeze, freezing, replace_head, stages, unfreeze

# isort: split
import keras
from savedmodels import function_of, hub_format, signature_only

L = keras.layers
IMAGES = np.random.default_rng(0).random((12, 8, 8, 3), "float32")
LABELS = np.arange(12) % 2
converts = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def small_resnet(**settings):
    """Two weighted layers and more per stage, batch norm in each: stage1, stage2, stage3, predictions."""
    model = zoo.build_cifar_resnet(8, input_shape=(8, 8, 3), num_classes=2, width=0.25, **settings)
    rng = np.random.default_rng(0)
    for w in model.weights:
        w.assign(rng.uniform(0.5, 2, w.shape) if "variance" in w.path else rng.normal(size=w.shape) / 3)
    return model


def small_net():
    layers = [L.Conv2D(3, 3, name="stage1_conv"), L.BatchNormalization(name="stage1_bn"), L.MaxPooling2D()]
    layers += [L.Conv2D(3, 2, name="stage2_conv"), L.BatchNormalization(name="stage2_bn"), L.GlobalMaxPooling2D()]
    x = inputs = keras.Input((8, 8, 3))
    for layer in [*layers, L.Dense(2, name="predictions")]:
        x = layer(x)
    return keras.Model(inputs, x)


def nested():
    """The form that Keras's guide teaches: the body called as one layer, with training=False."""
    body = keras.Model((whole := small_resnet()).input, whole.layers[-2].output, name="body")
    inputs = keras.Input((8, 8, 3))
    x = L.Rescaling(2.0, -1.0)(inputs)
    return keras.Model(inputs, L.Dense(2, name="predictions")(body(x, training=False)))


def sequential():
    body = keras.Model((whole := small_resnet()).input, whole.layers[-2].output, name="body")
    return keras.Sequential([keras.Input((8, 8, 3)), body, L.Dropout(0.2), L.Dense(2, name="predictions")])


def with_extractor(path):
    hub_format(path, size=8)
    return keras.Sequential([keras.Input((8, 8, 3)), FeatureExtractor(str(path)), L.Dense(2, name="predictions")])


def compiled(model, optimizer="adam", traced=False):
    """Compile for steps in Python, which start at once; `traced` for steps as they are by default, without XLA."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=not traced, jit_compile=False)
    return model


def paths(model, weights):
    return {w.path.removeprefix(f"{model.name}/") for w in weights}


def moved(model, batch_size=6):
    """Train one epoch and return the paths of all weights of which a single bit changed."""
    before = [w.numpy() for w in model.weights]
    model.fit(IMAGES, LABELS, batch_size=batch_size, verbose=0)
    pairs = zip(model.weights, before, strict=True)
    return paths(model, [w for w, old in pairs if w.numpy().tobytes() != old.tobytes()])


HEAD = {"predictions/kernel", "predictions/bias"}


# stages


@pytest.mark.parametrize(
    "build, names",
    [
        (zoo.build_lenet5, "C1 C3 dense"),
        (zoo.build_mlp, "dense"),
        (lambda: zoo.build_alexnet(width=0.05), "stage1 stage2 stage3 dense"),  # conv3, conv4 and conv5 at one size
        (lambda: zoo.build_vgg16(width=0.05, input_shape=(32, 32, 3)), "block1 block2 block3 block4 block5 dense"),
        (
            lambda: zoo.build_googlenet(width=0.1, auxiliary_heads=False),
            "conv1 conv2 inception_3 inception_4 inception_5",
        ),
        (lambda: zoo.build_resnet(18, width=0.1, input_shape=(64, 64, 3)), "conv1 conv2 conv3 conv4 conv5"),
        (lambda: zoo.build_cifar_resnet(14), "stage1 stage2 stage3"),
        (lambda: zoo.build_cifar_resnet(14, preactivation=True, shortcut="projection"), "stage1 stage2 stage3"),
        (sequential, "stage1 stage2 stage3"),
        (nested, "stage1 stage2 stage3"),
    ],
)  # fmt: skip
def test_stages_have_the_names_of_the_papers(build, names):
    assert stages(build()) == tuple(names.split())


def applications(name, size):
    return getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(size, size, 3))


@pytest.mark.parametrize(
    "name",
    ["MobileNetV2", "ResNet50V2", "MobileNetV3Small"]
    + [pytest.param(name, marks=pytest.mark.slow)
       for name in ("MobileNet", "EfficientNetB0", "DenseNet121", "VGG19")],
)  # fmt: skip
def test_a_stage_is_the_layers_of_one_resolution(name):
    """Sorted by the size of their outputs, for which an image of 128 pixels leaves no two alike."""
    model = applications(name, 128)
    survey = freezing._survey("stages", model)
    sizes = [{part.layer.output.shape[1] for part in parts} - {1} for parts in survey.stages.values()]  # 1: excitation
    assert all(len(found) == 1 for found in sizes), sizes
    sizes = [size for (size,) in sizes]
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(small <= -(-large // 2) for large, small in pairwise(sizes))
    weights = [id(w) for parts in survey.stages.values() for part in parts for w in part.layer.trainable_weights]
    assert sorted(weights) == sorted(id(w) for w in model.trainable_weights)  # each weight in one stage

    anything = applications(name, None)
    theirs = freezing._survey("stages", anything).stages
    counts = [len(parts) for parts in survey.stages.values()]
    assert [len(parts) for parts in theirs.values()] == counts  # strides tell the same as sizes


def test_stages_of_convnext_reach_into_the_models_between():
    model = applications("ConvNeXtTiny", 64)
    survey = freezing._survey("stages", model)
    assert [len(parts) for parts in survey.stages.values()] == [18, 17, 47, 17]
    assert len(survey.models) == 5
    of_layers = dict(zip([layer.name for layer in model.layers], freezing.stage_of_layers(model), strict=True))
    assert of_layers["convnext_tiny_downsampling_block_1"] == "stage3"  # its norm is still in stage2
    assert of_layers["convnext_tiny_stage_2_block_0_depthwise_conv"] == "stage3"
    assert None not in [of_layers[layer.name] for layer in model.layers if layer.weights]
    assert {part.layer.name for parts in survey.stages.values() for part in parts} >= {
        "convnext_tiny_stem_conv", "convnext_tiny_downsampling_conv_1"
    }  # fmt: skip


def test_automatic_names_give_numbers():
    layers = [L.Conv2D(2, 3, strides=2), L.Conv2D(2, 3, strides=2), L.Flatten(), L.Dense(3), L.Dense(2)]
    assert stages(keras.Sequential([keras.Input((16, 16, 1)), *layers])) == ("stage1", "stage2", "dense")


def test_a_way_up_again_stays_in_the_last_stage():
    x = inputs = keras.Input((16, 16, 1))
    early = L.Conv2D(2, 3, padding="same", name="down1")(x)
    x = L.Conv2D(2, 3, padding="same", name="down2")(L.MaxPooling2D()(early))
    x = L.Conv2DTranspose(2, 2, strides=2, name="up")(x)
    x = L.Conv2D(2, 1, name="last")(L.Concatenate()([early, x]))
    survey = freezing._survey("stages", keras.Model(inputs, x))
    assert [[part.layer.name for part in parts] for parts in survey.stages.values()] == [
        ["down1"], ["down2", "up", "last"]
    ]  # fmt: skip


def test_a_gate_over_the_channels_does_not_end_a_stage():
    """Squeeze and excitation by a pooling of the whole image: what it is multiplied with stays at its resolution."""
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, padding="same", name="before")(inputs)
    gate = L.Conv2D(4, 1, activation="sigmoid", name="gate")(L.AveragePooling2D(8)(x))
    x = L.Conv2D(4, 3, padding="same", name="after")(L.Multiply()([gate, x]))
    survey = freezing._survey("stages", keras.Model(inputs, x))
    assert [part.layer.name for part in survey.stages["stage1"]] == ["before", "after"]


def test_stages_counts_a_shared_layer_once():
    shared = L.Conv2D(3, 3, padding="same", name="shared")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, shared(L.MaxPooling2D()(shared(inputs))))
    assert [len(parts) for parts in freezing._survey("stages", model).stages.values()] == [1]


def test_stages_of_extractors(tmp_path):
    model = with_extractor(tmp_path / "a")
    assert stages(model) == ("stage1", "stage2")
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(3, 1, name="colors")(inputs)
    x = L.Activation("sigmoid")(x)
    both = [FeatureExtractor(str(tmp_path / "a"), name=name)(x) for name in ("left", "right")]
    x = L.Dense(4, name="hidden")(L.Concatenate()(both))
    model = keras.Model(inputs, L.Dense(2, name="predictions")(x))
    assert stages(model) == ("stage1", "left/stage1", "left/stage2", "right/stage1", "right/stage2", "dense")
    freeze(model)
    unfreeze(model, ["left/stage2"])
    paths = [w.path.split("/")[0] for w in model.trainable_weights]
    assert sorted(set(paths)) == ["left", "predictions"]
    assert model.get_layer("left").trainable_stages == ("stage2",)
    assert model.get_layer("right").trainable_stages == ()


def test_stages_refuses_what_it_cannot_follow():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"stages: `model` must be a keras.Sequential or functional"):
        stages(Own())
    with pytest.raises(ValueError, match=r"freeze: `model` must be .*put the layer into a keras.Sequential"):
        freeze(L.Dense(2))
    model = keras.Sequential([L.Conv2D(2, 3), L.Flatten(), L.Dense(2)], name="late")
    with pytest.raises(ValueError, match=r"stages: the model late has no input size yet.*call it on a batch of images"):
        stages(model)
    model(IMAGES)
    assert stages(model) == ("stage1",)


# freeze and unfreeze


@pytest.mark.parametrize("build", [small_resnet, nested, sequential, "extractor"])
def test_a_frozen_body_keeps_every_bit(build, tmp_path):
    model = with_extractor(tmp_path / "a") if build == "extractor" else build()
    assert freeze(model) is model
    assert paths(model, model.trainable_weights) == HEAD
    assert moved(compiled(model, traced=True)) == HEAD
    if build is not sequential:  # which has dropout in front of its head
        np.testing.assert_array_equal(model(IMAGES, training=True), model(IMAGES, training=False))


def test_unfreeze_moves_a_stage_but_for_its_batch_norm():
    model = unfreeze(freeze(small_resnet()))
    changed = moved(compiled(model))
    assert changed == {w.path for w in model.weights if w.path.startswith("stage3") and "_conv" in w.path} | HEAD
    np.testing.assert_array_equal(model(IMAGES, training=True), model(IMAGES, training=False))
    assert unfreeze(model, 2) is model
    assert {path.split("_")[0] for path in moved(compiled(model)) - HEAD} == {"stage2", "stage3"}


def test_unfreeze_with_statistics_moves_all_of_a_stage():
    model = unfreeze(freeze(small_resnet()), ["stage2"], train_statistics=True)
    assert moved(compiled(model)) == {w.path for w in model.weights if w.path.startswith("stage2")} | HEAD
    unfreeze(model, "stage2")
    assert not any("_bn" in path for path in moved(compiled(model)))


def test_unfreeze_reaches_through_models_that_were_frozen_as_a_whole():
    """Keras: nothing trains in a model whose own flag is down, whatever its layers say."""
    model = nested()
    body = model.get_layer("body")
    body.trainable = model.trainable = False
    assert not model.trainable_weights
    unfreeze(model, "all")
    assert moved(compiled(model)) == {w.path for w in body.weights if "_bn" not in w.path} | HEAD
    freeze(model)
    assert not body.trainable  # so that it shows what holds
    assert model.trainable


def test_freeze_some_stages_and_leave_the_others():
    model = freeze(small_resnet(), 1)
    assert {path.split("_")[0] for path in moved(compiled(model)) - HEAD} == {"stage2", "stage3"}
    model = freeze(small_resnet(), ["stage2"])
    assert {path.split("_")[0] for path in moved(compiled(model)) - HEAD} >= {"conv1", "stage1", "stage3"}
    assert not any("stage2" in path for path in moved(model))
    assert {w.path for w in freeze(small_resnet(), "all").trainable_weights} == HEAD


def test_blocks_that_are_one_layer():
    inputs = keras.Input((8, 8, 3))
    x = ResidualBlock(4, name="stage1_block1")(inputs)
    x = ResidualBlock(4, strides=2, name="stage2_block1")(x)
    model = keras.Model(inputs, L.Dense(2, name="predictions")(L.GlobalAveragePooling2D()(x)))
    assert stages(model) == ("stage1", "stage2")
    freeze(model)
    assert moved(compiled(model)) == HEAD
    unfreeze(model)
    changed = moved(compiled(model)) - HEAD
    assert changed
    assert all("stage2" in path and "conv" in path for path in changed)
    unfreeze(model, train_statistics=True)
    assert any("moving_mean" in path for path in moved(compiled(model)))


def test_a_model_without_a_head_is_frozen_as_a_whole():
    whole = small_resnet()
    body = freeze(keras.Model(whole.input, whole.layers[-2].output))
    assert not body.trainable_weights
    assert not body.trainable
    assert {w.path.split("_")[0] for w in unfreeze(body).trainable_weights} == {"stage3"}


def test_all_heads_of_googlenet_train():
    model = freeze(zoo.build_googlenet(width=0.1, num_classes=2))
    assert sorted({w.path.split("/")[0] for w in model.trainable_weights}) == ["aux1", "aux2", "output"]


def test_extractor_stages_thaw_from_the_end(tmp_path):
    model = unfreeze(freeze(with_extractor(tmp_path / "a")))
    extractor = model.layers[0]
    assert extractor.trainable_stages == ("stage2",)
    changed = moved(compiled(model)) - HEAD
    assert changed
    assert all("stage2" in path for path in changed)
    unfreeze(model, "all", train_statistics=True)
    assert extractor.train_statistics
    assert any("moving" in path for path in moved(compiled(model)))
    with pytest.raises(ValueError, match="all its stages or of none"):
        unfreeze(freeze(model), 1, train_statistics=True)
    unfreeze(model, 1)  # the remedy
    assert (extractor.trainable_stages, extractor.train_statistics) == (("stage2",), False)
    freeze(model)
    assert moved(compiled(model)) == HEAD


def test_an_extractor_that_refuses_is_left_as_it_was(tmp_path):
    hub_format(tmp_path / "a", size=8, training_argument=False)
    extractor = FeatureExtractor(str(tmp_path / "a"))
    model = compiled(freeze(keras.Sequential([keras.Input((8, 8, 3)), extractor, L.Dense(2, name="predictions")])))
    with pytest.raises(ValueError, match="no `training` argument"):
        unfreeze(model, train_statistics=True)
    assert (extractor.trainable, extractor.train_statistics) == (False, False)
    assert moved(model) == HEAD  # still compiled
    signature_only(tmp_path / "b", size=8, constants=True)
    model = keras.Sequential([keras.Input((8, 8, 3)), FeatureExtractor(str(tmp_path / "b")), L.Dense(2)])
    with pytest.raises(ValueError, match="cannot be fine-tuned: it holds no variables"):
        unfreeze(freeze(model))


def test_an_extractor_of_unknown_stages_is_one(tmp_path):
    kernel = tf.Variable(tf.ones((192, 3)), name="kernel")
    images = tf.TensorSpec((None, 8, 8, 3), tf.float32)
    function_of(tmp_path / "a", lambda x: tf.reshape(x, (-1, 192)) @ kernel, images, kernel=kernel)
    extractor = FeatureExtractor(str(tmp_path / "a"), name="whole")
    model = keras.Sequential([keras.Input((8, 8, 3)), extractor, L.Dense(2, name="predictions")])
    assert stages(model) == ("whole",)
    assert moved(compiled(freeze(model))) == HEAD
    with pytest.raises(ValueError, match="no `training` argument"):
        unfreeze(model, train_statistics=True)
    assert not extractor.trainable
    assert moved(compiled(unfreeze(model))) > HEAD
    with pytest.raises(ValueError, match="no `training` argument"):
        unfreeze(model, train_statistics=True)
    assert extractor.trainable
    assert moved(compiled(freeze(model, "whole"))) == HEAD


def test_unfreeze_refuses_stages_that_are_not_there():
    model = small_resnet()
    with pytest.raises(ValueError, match=r"unfreeze: the model has 3 stages.*\(stages=4\). It has 'stage1', 'stage2'"):
        unfreeze(model, 4)
    for wrong in (0, True, 1.5, None, "stage4", ["stage1", "body"], {"stage1": 1}):
        with pytest.raises(ValueError, match="unfreeze: "):
            unfreeze(model, wrong)
    with pytest.raises(ValueError, match=r"freeze: `stages` must be a number of stages, \"all\", or names"):
        freeze(model, "stage7")
    with pytest.raises(ValueError, match="`train_statistics` must be one of False, True"):
        unfreeze(model, train_statistics=None)
    head = keras.Sequential([keras.Input((3,)), L.Dense(2)])
    assert stages(freeze(head)) == ()
    with pytest.raises(ValueError, match="It has none: its head trains alone"):
        unfreeze(head)


# A model that is compiled already


def flags(model, value):
    for layer in model.layers[:-1]:
        layer.trainable = value


@converts
def test_keras_ignores_a_change_after_training_has_begun():
    """Why `freeze` resets the model. Should Keras mend this, the reset can go."""
    model = compiled(small_net(), traced=True)
    moved(model)
    flags(model, False)
    assert moved(model) > HEAD  # the step was traced before: nothing is frozen, and nobody says so
    assert moved(model, batch_size=4) == HEAD  # a new trace
    model = compiled(model, traced=True)
    assert moved(model) == HEAD
    flags(model, True)
    assert moved(model) == HEAD
    with pytest.raises((ValueError, NotImplementedError)):  # "Unknown variable"; Keras 3.12 stumbles over its wording
        moved(model, batch_size=4)


@pytest.mark.parametrize("change", [freeze, unfreeze])
def test_a_change_asks_for_compile(change):
    model = small_net()
    if change is unfreeze:
        freeze(model)
    moved(compiled(model, traced=True))
    change(model)
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        moved(model)
    assert (moved(compiled(model, traced=True)) == HEAD) is (change is freeze)


def test_no_change_keeps_the_optimizer():
    model = compiled(freeze(small_net()))
    moved(model)
    optimizer = model.optimizer
    freeze(model)
    unfreeze(freeze(model, "all"), "all")
    assert not model.compiled
    model = compiled(freeze(small_net()), optimizer := keras.optimizers.Adam())
    moved(model)
    assert freeze(model).optimizer is optimizer
    moved(model)
    assert int(optimizer.iterations) == 4


@converts
def test_a_reset_model_saves_and_loads_as_it_is(tmp_path):
    model = compiled(small_net(), traced=True)
    moved(model)
    unfreeze(freeze(model))
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
    assert [w.path for w in again.trainable_weights] == [w.path for w in model.trainable_weights]
    assert "stage2_conv/kernel" in moved(compiled(again))
    assert stages(again) == stages(model)


# replace_head


def with_dropout(**dense):
    """Features, dropout, head, softmax."""
    x = inputs = keras.Input((8, 8, 3))
    for layer in (L.Conv2D(4, 3, name="conv"), L.GlobalAveragePooling2D(), L.Dropout(0.5, name="drop")):
        x = layer(x)
    x = L.Dense(5, name="predictions", **dense)(x)
    return keras.Model(inputs, L.Softmax(name="softmax")(x), name="old")


@pytest.mark.parametrize("build", [small_resnet, nested, sequential, with_dropout])
def test_the_new_head_reads_what_the_old_one_read(build):
    old = build()
    new = replace_head(old, 4, name="mine")
    assert type(new) is type(old)
    assert (new.output_shape, new.name) == ((None, 4), old.name)
    head = new.layers[-1]
    assert (head.name, head.units, head.activation) == ("mine", 4, keras.activations.linear)
    dense = next(layer for layer in reversed(old.layers) if isinstance(layer, L.Dense))
    rng = np.random.default_rng(0)
    dense.set_weights([rng.normal(size=w.shape) for w in dense.weights])
    head.set_weights([w[..., [1, 0, 1, 1]] for w in dense.get_weights()])  # classes of the old head in another order
    logits = np.asarray((old if old.layers[-1] is dense else keras.Model(old.input, dense.output))(IMAGES))
    np.testing.assert_allclose(new(IMAGES), logits[:, [1, 0, 1, 1]], rtol=1e-5, atol=1e-6)
    assert {id(w) for w in new.weights[:-2]} == {id(w) for w in old.weights[:-2]}  # shared
    assert [layer.name for layer in new.layers[:-1]] == [layer.name for layer in old.layers[: old.layers.index(dense)]]


def test_the_new_head_is_drawn_by_the_seed():
    old = small_resnet()
    first, again, other = (replace_head(old, 3, seed=seed).layers[-1].get_weights()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    assert np.abs(first).max() <= np.sqrt(6 / (16 + 3))  # Glorot & Bengio 2010, equation 16


def test_the_new_head_keeps_how_the_old_one_was_held():
    old = with_dropout(use_bias=False, kernel_regularizer=keras.regularizers.L2(0.1), dtype="float64")
    head = replace_head(old, 3).layers[-1]
    assert not head.use_bias
    assert head.kernel_regularizer.l2 == pytest.approx(0.1)
    assert head.compute_dtype == "float64"


def test_a_head_inside_a_model_inside():
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(7), L.Dense(5), L.Softmax()], name="inner")
    old = keras.Model(inputs, L.Activation("linear")(inner(L.Rescaling(2.0)(inputs))))
    new = replace_head(old, 3)
    assert new.output_shape == (None, 3)
    assert [layer.name for layer in new.layers[-1].layers[1:]] == ["dense" + inner.layers[1].name[5:], "predictions"]
    assert old.output_shape == (None, 5)
    inner.layers[1].set_weights([np.ones((192, 7)), np.arange(7)])
    kernel = new.layers[-1].layers[-1].get_weights()[0]
    want = (2.0 * IMAGES.reshape(12, -1).sum(axis=1, keepdims=True, dtype=float) + np.arange(7)) @ kernel
    np.testing.assert_allclose(new(IMAGES), want, rtol=1e-4)
    assert {w.path.split("/")[-2] for w in freeze(new).trainable_weights} == {"predictions"}


@converts
def test_a_new_head_on_an_extractor_trains_saves_and_loads(tmp_path):
    old = with_extractor(tmp_path / "a")
    new = freeze(replace_head(old, 3))
    assert isinstance(new, keras.Sequential)
    assert moved(compiled(new)) == HEAD
    new.save(tmp_path / "b.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "b.keras")(IMAGES), new(IMAGES))


def test_replace_head_refuses_and_its_remedies_work():
    body = keras.Model((whole := small_resnet()).input, whole.layers[-3].output)
    with pytest.raises(ValueError, match=r"does not come from a Dense layer \(output_shape=.*Sequential\(\[model, "):
        replace_head(body, 3)
    mended = keras.Sequential([body, L.GlobalAveragePooling2D(), L.Dense(3)])
    assert replace_head(mended, 4).output_shape == (None, 4)
    with pytest.raises(ValueError, match="does not come from a Dense layer"):
        replace_head(keras.Model(whole.input, L.BatchNormalization()(whole.output)), 3)
    both = L.Add()([L.Dense(2)(whole.layers[-2].output), whole.output])
    with pytest.raises(ValueError, match="does not come from a Dense layer"):
        replace_head(keras.Model(whole.input, both), 3)
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="does not come from a Dense layer"):
        replace_head(keras.Model(inputs, L.Softmax()(inputs)), 3)

    two = zoo.build_googlenet(width=0.1, num_classes=2)
    with pytest.raises(ValueError, match=r"3 outputs.*keras.Model\(model.input, model.outputs\[0\]\)"):
        replace_head(two, 3)
    assert replace_head(keras.Model(two.input, two.outputs[0]), 3).output_shape == (None, 3)
    with pytest.raises(ValueError, match=r'name of another layer of the model.*Use for example name="new_avg_pool"'):
        replace_head(whole, 3, name="avg_pool")
    assert replace_head(whole, 3, name="new_avg_pool").layers[-1].name == "new_avg_pool"
    for wrong in ({"num_classes": 0}, {"num_classes": 3, "seed": -1}):
        with pytest.raises(ValueError, match="replace_head: `"):
            replace_head(whole, **wrong)
