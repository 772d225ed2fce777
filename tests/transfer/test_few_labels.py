"""The few-labels experiment: what it draws, how it learns, how it sums up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from course_cnn import datasets, plots, training, transfer, zoo
from course_cnn.transfer import few_labels

# isort: split
import keras

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    """Images and weights of a test must not hang on which tests ran before it."""
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state
    keras.utils.set_random_seed(0)


def dense(classes=2, shape=(4, 4, 1)):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    return keras.Sequential(layers)


def extractor(shape=(4, 4, 1), features=5):
    """A body with batch norm and dropout inside, as real ones have."""
    layers = [keras.Input(shape), keras.layers.Conv2D(3, 3), keras.layers.BatchNormalization(), keras.layers.Flatten(),
              keras.layers.Dropout(0.5), keras.layers.Dense(features, activation="relu")]  # fmt: skip
    return keras.Sequential(layers)


def images(n=12, classes=2, shape=(4, 4, 1)):
    """Images whose brightness tells the class."""
    y = np.arange(n) % classes
    x = RNG.random((n, *shape)) / 4 + y[:, None, None, None] / classes
    return x.astype("float32"), y


# ----------------------------------------------------------------------------------------------------------- drawing


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(5, 9), min_size=2, max_size=4))
def test_draws_are_balanced_nested_and_repeatable(seed, counts):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    before = np.array([], int)
    for k in (1, 2, 5):
        drawn = transfer.draw_labels(y, k, seed)
        assert (np.bincount(y[drawn]) == k).all()
        assert len(set(drawn)) == len(drawn)
        np.testing.assert_array_equal(drawn[: len(before)], before)
        np.testing.assert_array_equal(drawn, transfer.draw_labels(y, k, seed))
        before = drawn


def test_another_seed_draws_other_images_and_all_come_up():
    y = np.repeat([0, 1], 20)
    draws = [set(transfer.draw_labels(y, 2, seed)) for seed in range(100)]
    assert len({frozenset(draw) for draw in draws}) > 90
    assert set.union(*draws) == set(range(40))


def test_every_set_of_the_lecture_has_enough_images():
    for name in ("faces", "digits", "shapes"):
        data = datasets.load(name)
        assert len(transfer.draw_labels(data.y_train, max(transfer.LABELS))) == 50 * len(data.class_names)


@pytest.mark.parametrize(
    "y, per_class, message, remedy",
    [
        ([0, 0, 1], 2, "each class must have 2 images, and class 1 has 1 .*Use per_class=1 or less", ([0, 0, 1], 1)),
        ([0, 0, 1], 0, "`per_class` must be an integer >= 1", ([0, 0, 1], 1)),
        ([], 1, "there is no image to draw .*Pass the labels of the training images", ([0, 1], 1)),
        ([0.0, 1.0], 1, "`y` must hold whole numbers", ([0, 1], 1)),
        ([[0, 1]], 1, "`y` must have 1 axes", ([0, 1], 1)),
    ],
)
def test_what_cannot_be_drawn_is_refused(y, per_class, message, remedy):
    with pytest.raises(ValueError, match=message):
        transfer.draw_labels(np.array(y, int if y == [] else None), per_class)
    assert len(transfer.draw_labels(np.array(remedy[0]), remedy[1])) == 2
    with pytest.raises(ValueError, match="`seed` must be an integer >= 0"):
        transfer.draw_labels(np.array([0, 1]), 1, -1)


# -------------------------------------------------------------------------------------------------------- classifier


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("features", [7, 50])  # fewer than rows, and more
def test_the_head_is_scikit_learns_logistic_regression(classes, features):
    x, y = RNG.normal(size=(30, features)) * 5 + 3, np.arange(30) % classes
    kernel, bias = transfer.fit_head(x, y, C=10)
    assert (kernel.shape, bias.shape) == ((features, classes), (classes,))
    logits = x @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    centred = x - x.mean(axis=0)
    scaled = centred / np.sqrt((centred**2).sum(axis=1).mean())
    assert np.square(scaled).sum(axis=1).mean() == pytest.approx(1)
    want = LogisticRegression(C=10, max_iter=2000).fit(scaled, y).predict_proba(scaled)
    atol = 1e-9 if features == 7 else 2e-3  # other coordinates: scikit-learn stops at another place, tol=1e-4
    np.testing.assert_allclose(probabilities, want, rtol=1e-6, atol=atol)


def test_the_head_does_not_mind_units_and_offsets():
    x, y, fresh = RNG.normal(size=(20, 5)), np.arange(20) % 4, RNG.normal(size=(50, 5))
    want = transfer.learn_linear(x, y, fresh)
    np.testing.assert_array_equal(transfer.learn_linear(1000 * x + 7, y, 1000 * fresh + 7), want)


def test_one_image_per_class_and_even_the_same_image_twice():
    x = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(transfer.learn_linear(x, np.array([0, 1]), x), [0, 1])
    kernel, bias = transfer.fit_head(np.ones((2, 3)), np.array([0, 1]))
    assert np.isfinite(kernel).all()
    assert np.isfinite(bias).all()


def test_the_classifier_takes_images_and_lays_them_out():
    x, y = images(20)
    np.testing.assert_array_equal(
        transfer.learn_linear(x, y, x, seed=3), transfer.learn_linear(x.reshape(20, -1), y, x.reshape(20, -1))
    )
    np.testing.assert_array_equal(transfer.learn_linear(x, y, x), y)


def test_what_the_head_cannot_learn_from_is_refused():
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"class 1 has none \(classes=\[0, 2\]\).*number the classes from 0"):
        transfer.fit_head(x, np.array([0, 2, 2]))
    transfer.fit_head(x, np.unique([0, 2, 2], return_inverse=True)[1])
    with pytest.raises(ValueError, match="class 1 has none"):
        transfer.fit_head(x, np.zeros(3, int))
    with pytest.raises(ValueError, match="one label for each of the 3 rows"):
        transfer.fit_head(x, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"must have 2 axes \(n, d\)"):
        transfer.fit_head(x[..., None], np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="must hold floating-point numbers"):
        transfer.fit_head(x.astype(int), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="finite numbers"):
        transfer.fit_head(np.full((3, 2), np.nan), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="`C` must be a number > 0"):
        transfer.fit_head(x, np.array([0, 1, 1]), C=0)


# ---------------------------------------------------------------------------------------------------------- networks


def test_from_scratch_is_keras_own_training():
    x, y = images(5)
    learn = transfer.FromScratch(dense, steps=4, batch_size=8, learning_rate=0.01)
    learn(x, y, x, seed=7)  # five images, one step on all of them each
    training.seed_everything(7)
    model = dense()
    rate = keras.optimizers.schedules.CosineDecay(0.01, 4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    for _ in range(4):
        model.train_on_batch(x, y)
    np.testing.assert_allclose(learn.model.get_weights()[0], model.get_weights()[0], rtol=1e-4, atol=1e-6)


def test_every_call_of_from_scratch_starts_anew():
    """A second call must not go on from the first: neither weights, nor Adam's memory, nor its falling rate."""
    x, y = images()
    learn = transfer.FromScratch(dense, steps=5, batch_size=4, learning_rate=0.05)
    learn(x, y, x, seed=1)
    first = learn.model.get_weights()
    learn(x[::-1], y[::-1], x, seed=2)
    assert not np.allclose(learn.model.get_weights()[0], first[0])
    learn(x, y, x, seed=1)
    for one, again in zip(first, learn.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, again)


def test_every_image_comes_once_before_any_comes_again(monkeypatch):
    x, y = images(10)
    x[:, 0, 0, 0] = np.arange(10)
    learn, seen = transfer.FromScratch(dense, steps=7, batch_size=4), []
    learn(x, y, x)
    monkeypatch.setattr(learn.model, "train_on_batch", lambda x, y: seen.append(x[:, 0, 0, 0].astype(int)))
    learn(x, y, x)
    assert [len(batch) for batch in seen] == [4] * 7
    drawn = np.concatenate(seen)
    assert sorted(drawn[:10]) == sorted(drawn[10:20]) == list(range(10))
    assert list(drawn[:10]) != list(drawn[10:20])


@pytest.mark.slow
def test_the_untrained_network_is_that_of_the_bundled_extractor():
    model = transfer.build_untrained(10)
    assert model.layers[-1].count_params() == zoo.build_cifar_resnet(14, width=2).count_params()
    rates = {layer.momentum for layer in model.layers[-1].layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert rates == {0.9}
    grey = np.full((1, 32, 32, 3), 0.5, "float32")
    want = (0.5 - np.array(few_labels.MEAN)) / np.array(few_labels.DEVIATION)
    np.testing.assert_allclose(np.asarray(model.layers[0](grey))[0, 0, 0], want, rtol=1e-5)
    training.seed_everything(0)
    data = datasets.load("faces", size=32)
    few = transfer.draw_labels(data.y_train, 2)
    colours = data.x_train[few].repeat(3, axis=-1)
    learn = transfer.FromScratch(lambda: transfer.build_untrained(2), steps=12, batch_size=4, learning_rate=0.003)
    np.testing.assert_array_equal(learn(colours, data.y_train[few], colours), data.y_train[few])


def test_fine_tuning_begins_with_the_fitted_head_and_the_pretrained_weights():
    x, y = images(20)
    body = extractor()
    learn = transfer.FineTuned(body, 2, (4, 4, 1), steps=1, learning_rate=1e-12)
    features = np.asarray(body(x, training=False))
    kernel, bias = transfer.fit_head(features, y)
    fresh, _ = images(
        30
    )  # clear ones: the one step moves the moving statistics by a hundredth, and doubtful ones with it
    frozen = (np.asarray(body(fresh, training=False)) @ kernel + bias).argmax(axis=1)
    learn(x, y, x)
    np.testing.assert_allclose(learn.head.get_weights()[0], kernel, rtol=1e-4, atol=1e-6)
    before = [variable.numpy() for variable in body.trainable_variables]
    assert len(before) == 6
    for variable in body.variables:
        if variable.dtype == "float32":
            variable.assign(variable + 1)
    np.testing.assert_array_equal(learn(x, y, fresh), frozen)
    for variable, value in zip(body.trainable_variables, before, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-6)


def test_fine_tuning_moves_the_extractor_and_repeats():
    x, y = images(20)
    body = extractor()
    learn = transfer.FineTuned(body, 2, (4, 4, 1), steps=5, batch_size=6, learning_rate=0.01)
    before = body.get_weights()
    first_answer = learn(x, y, x, seed=3)
    first = body.get_weights()
    assert not np.allclose(before[0], first[0])
    learn(x, y, x, seed=4)
    np.testing.assert_array_equal(learn(x, y, x, seed=3), first_answer)
    np.testing.assert_array_equal(first[0], body.get_weights()[0])


def test_networks_refuse_what_they_cannot_learn():
    x, y = images()
    with pytest.raises(ValueError, match=r"`build` must be a function that returns a new model.*Write lambda"):
        transfer.FromScratch(dense())
    transfer.FromScratch(lambda: dense())
    for wrong, message in [
        ({"steps": 0}, "`steps` must be an integer >= 1"), ({"batch_size": 0}, "`batch_size` must be an integer >= 1"),
        ({"learning_rate": 0}, "`learning_rate` must be a number > 0"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"FromScratch: {message}"):
            transfer.FromScratch(dense, **wrong)
        with pytest.raises(ValueError, match=f"FineTuned: {message}"):
            transfer.FineTuned(extractor(), 2, (4, 4, 1), **wrong)
    body = extractor()
    body.trainable = False
    with pytest.raises(ValueError, match=r"nothing in `extractor` can be trained.*Use FeatureExtractor"):
        transfer.FineTuned(body, 2, (4, 4, 1))
    with pytest.raises(ValueError, match="`num_classes` must be an integer >= 2"):
        transfer.FineTuned(extractor(), 1, (4, 4, 1))
    with pytest.raises(ValueError, match="`C` must be a number > 0"):
        transfer.FineTuned(extractor(), 2, (4, 4, 1), C=0)
    learn = transfer.FromScratch(dense)
    with pytest.raises(ValueError, match="must have the shape that the model takes"):
        learn(x[:, :2], y, x)
    with pytest.raises(ValueError, match="must count classes from 0: at least 0 and below 2"):
        learn(x, y + 1, x)
    with pytest.raises(ValueError, match="one label for each of the 12 rows"):
        learn(x, y[:5], x)


# ------------------------------------------------------------------------------------------------------------ curves


def test_a_curve_is_what_the_calls_one_by_one_give():
    data, asked = datasets.load("digits"), []

    def learn(x, y, x_test, seed):
        asked.append(seed)
        return transfer.learn_linear(x, y, x_test)

    kept = []
    runs = transfer.learning_curve(learn, data, labels=(1, 5), seeds=(4, 2), each=kept.append)
    assert runs == kept
    assert asked == [4, 4, 2, 2]
    assert [(run["labels"], run["seed"]) for run in runs] == [(1, 4), (5, 4), (1, 2), (5, 2)]
    for run in runs:
        few = transfer.draw_labels(data.y_train, run["labels"], run["seed"])
        right = transfer.learn_linear(data.x_train[few], data.y_train[few], data.x_test) == data.y_test
        assert run["accuracy"] == right.mean()
        assert 0 < run["seconds"] < 10
    assert runs[1]["accuracy"] > runs[0]["accuracy"] + 0.1


def test_the_curve_refuses_before_it_learns_anything():
    data, called = datasets.load("faces"), []
    with pytest.raises(ValueError, match="each class must have 100 images"):
        transfer.learning_curve(lambda *given: called.append(given), data, labels=(1, 100))
    assert not called
    with pytest.raises(ValueError, match=r"`learn` must be a function .*Use learn_linear"):
        transfer.learning_curve("frozen", data)
    with pytest.raises(ValueError, match=r"`learn` must return one class per test image, 50 in all \(returned=\(50, 2"):
        transfer.learning_curve(lambda x, y, x_test, seed: np.zeros((50, 2)), data, labels=[1], seeds=[0])


RUNS = [
    {"data": data, "method": method, "labels": k, "seed": seed, "accuracy": base + k / 100 + seed / 1000, "seconds": 1}
    for data in ("faces", "digits")
    for method, base in (("scratch", 0.3), ("frozen", 0.5))
    for k in (1, 5)
    for seed in range(3 if k == 5 else 2)
]


def test_the_table_holds_mean_band_and_count():
    table = transfer.curve_table(RUNS)
    assert len(table) == 8
    row = table.loc["digits", "frozen", 5]
    accuracies = [0.55, 0.551, 0.552]
    assert row["mean"] == pytest.approx(np.mean(accuracies))
    assert (row["low"], row["high"], row["seeds"]) == (pytest.approx(0.55), pytest.approx(0.552), 3)
    assert list(transfer.curve_table([{"labels": 5, "seed": 0, "accuracy": 0.5}]).index) == [5]


def test_arrays_for_the_band_leave_incomplete_seeds_out():
    runs = [run for run in RUNS if run["method"] == "frozen" and run["data"] == "faces"]
    labels, accuracies = transfer.curve_array(runs[::-1])
    np.testing.assert_array_equal(labels, [1, 5])
    np.testing.assert_allclose(accuracies, [[0.51, 0.55], [0.511, 0.551]])
    ax = plots.plot_bands(labels, {"frozen": accuracies})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), accuracies.mean(axis=0))
    with pytest.raises(ValueError, match=r"must be of one kind, and some seeds come twice.*Choose some"):
        transfer.curve_array(RUNS)
    with pytest.raises(ValueError, match="no seed was run at every number of labels"):
        transfer.curve_array([runs[0], runs[-1]])


def test_methods_are_compared_seed_by_seed():
    runs = [dict(run) for run in RUNS]
    runs[-1]["accuracy"] = 0.0  # frozen on digits, 5 labels, seed 2: worse than scratch there
    table = transfer.compare_methods(runs, "frozen", over="scratch")
    assert table.loc["faces", 5]["gain"] == pytest.approx(0.2)
    assert table.loc["faces", 5]["error"] == pytest.approx(0, abs=1e-9)
    row, gains = table.loc["digits", 5], [0.2, 0.2, -0.352]
    assert row["gain"] == pytest.approx(np.mean(gains))
    assert row["error"] == pytest.approx(np.std(gains, ddof=1) / np.sqrt(3))
    assert (row["better"], row["seeds"]) == (pytest.approx(2 / 3), 3)
    fewer = [run for run in runs if run["method"] == "frozen" or run["seed"] == 0]
    assert (transfer.compare_methods(fewer, "frozen", over="scratch")["seeds"] == 1).all()


def test_comparing_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"`method` must be one of 'frozen', 'scratch' \(method='froz'\)"):
        transfer.compare_methods(RUNS, "froz", over="scratch")
    with pytest.raises(ValueError, match=r"`method` must be one of .*they have none"):
        transfer.compare_methods([{"labels": 5, "seed": 0, "accuracy": 0.5}], "frozen", over="scratch")
    apart = [run for run in RUNS if (run["method"] == "frozen") == (run["seed"] == 0)]
    with pytest.raises(ValueError, match="share no seed"):
        transfer.compare_methods(apart, "frozen", over="scratch")
    for function in (transfer.curve_table, transfer.curve_array):
        with pytest.raises(ValueError, match=r"there is no 'labels'.*Pass its list of dict"):
            function([])


# ------------------------------------------------------------------------------------------------------------ stages


def test_the_last_stage_is_what_the_extractor_gives_and_the_middle_one_is_on_a_grid():
    extractor = transfer.FeatureExtractor("bundled")
    x = datasets.load("shapes", n_train=5, n_test=1).x_train
    found = transfer.stage_features(extractor, x, batch_size=2)
    assert (found.shape, found.dtype) == ((5, 4 * 4 * 64 + 128), np.float32)
    np.testing.assert_allclose(found[:, -128:] ** 2, np.asarray(extractor(x)), rtol=1e-3, atol=1e-4)
    middle = few_labels._unpacked(extractor).get_layer("stage2_block2_out")
    assert middle.output.shape == (None, 16, 16, 64)
    below = x.copy()
    below[:, 28:, 28:] = 1 - below[:, 28:, 28:]  # the change is seen in the lower right corner, not in the upper left
    change = np.abs(transfer.stage_features(extractor, below) - found)[:, :1024].reshape(5, 4, 4, 64).mean(axis=(0, 3))
    assert change[3, 3] > 20 * change[0, 0]
    grey = datasets.load("faces", size=32).x_train[:2]
    colours = transfer.stage_features(extractor, grey.repeat(3, axis=3))
    np.testing.assert_allclose(transfer.stage_features(extractor, grey), colours, rtol=1e-6)


def test_stages_of_other_extractors_and_images_are_refused():
    extractor = transfer.FeatureExtractor("bundled")
    with pytest.raises(ValueError, match=r"32×32 pixels, grey or in colours .*Load them with size=32"):
        transfer.stage_features(extractor, datasets.load("faces").x_train)
    with pytest.raises(ValueError, match=r"must have 4 axes \(n, h, w, c\)"):
        transfer.stage_features(extractor, np.zeros((32, 32, 1)))
    with pytest.raises(ValueError, match="floating-point numbers"):
        transfer.stage_features(extractor, np.zeros((1, 32, 32, 1), np.uint8))
    with pytest.raises(ValueError, match="`batch_size` must be an integer >= 1"):
        transfer.stage_features(extractor, np.zeros((1, 32, 32, 1)), batch_size=0)
    for other in (dense(), "bundled"):
        with pytest.raises(ValueError, match=r'the bundled one.*Use FeatureExtractor\("bundled"\)'):
            transfer.stage_features(other, np.zeros((1, 32, 32, 1)))
