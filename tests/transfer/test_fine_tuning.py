"""The plan's borders and falling rates, and that each phase trains exactly what it says, bit for bit."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from course_cnn import training
from course_cnn._tensorflow import tf  # noqa: F401  (before Keras)
from course_cnn.transfer import FeatureExtractor, Phase, fine_tune, plan, unfreeze

# isort: split
import keras
from savedmodels import hub_format, signature_only

L = keras.layers
RNG = np.random.default_rng(0)
Y = np.arange(24) % 2
X = (RNG.random((24, 8, 8, 3)) * 0.5 + 0.5 * Y[:, None, None, None]).astype("float32")  # dark and light
DATA = SimpleNamespace(x_train=X[:16], y_train=Y[:16], x_test=X[16:], y_test=Y[16:])
HEAD = {"predictions/kernel", "predictions/bias"}


def small_net():
    """Two stages with batch norm, and a head."""
    layers = [L.Conv2D(4, 3, name="stage1_conv"), L.BatchNormalization(name="stage1_bn"), L.MaxPooling2D()]
    layers += [L.Conv2D(4, 2, name="stage2_conv"), L.BatchNormalization(name="stage2_bn"), L.GlobalMaxPooling2D()]
    x = inputs = keras.Input((8, 8, 3))
    for layer in [*layers, L.Dense(2, name="predictions")]:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.fixture
def fits(monkeypatch):
    """What `training.fit` is asked for, without any training."""
    asked = []

    def fit(model, dataset, **settings):
        asked.append((sorted(w.path for w in model.trainable_weights), settings))
        return SimpleNamespace(interrupted=len(asked) == settings.get("stop"))

    monkeypatch.setattr(training, "fit", fit)
    return asked


# plan


@pytest.mark.parametrize(
    "images, classes, thawed",
    [(3, 3, [0]), (15, 3, [0]), (29, 3, [0]), (30, 3, [0, 1]), (299, 3, [0, 1]), (300, 3, [0, 1, "all"]),
     (50_000, 10, [0, 1, "all"])],
)  # fmt: skip
def test_plan_goes_further_the_more_images_there_are(images, classes, thawed):
    phases = plan(images, classes)
    assert [phase.stages for phase in phases] == thawed
    rates = [phase.learning_rate for phase in phases]
    assert rates == pytest.approx([10.0**-n for n in range(2, 2 + len(rates))])
    assert all(5 <= phase.epochs <= 50 for phase in phases)
    assert all(phase.why for phase in phases)
    assert f"{images / classes:.3g} images per class" in phases[-1].why


@pytest.mark.parametrize("batch_size", [1, 16, 128])
def test_plan_counts_steps(batch_size):
    head = plan(200, 10, batch_size=batch_size)[0]
    steps = head.epochs * math.ceil(200 / batch_size)
    assert head.epochs in (5, 50) or 400 <= steps < 400 + math.ceil(200 / batch_size)


def test_plan_refuses():
    with pytest.raises(ValueError, match=r"plan: there must be at least one image per class \(num_images=2, num_cl"):
        plan(2, 3)
    assert len(plan(3, 3)) == 1
    for wrong in ({"num_classes": 1}, {"num_images": 0}, {"num_images": 5.5}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=f"plan: `{next(iter(wrong))}` must be an integer"):
            plan(**{"num_images": 10, "num_classes": 2, **wrong})


@pytest.mark.parametrize("stages", [-1, True, 1.5, None, "stage1", ("stage1", 2)])
def test_phase_refuses_stages(stages):
    with pytest.raises(ValueError, match=r"Phase: `stages` must be .* Use stages=0 for the head alone"):
        Phase(stages, 1, 0.1)
    Phase(0, 1, 0.1)


def test_phase_refuses_epochs_and_rates():
    with pytest.raises(ValueError, match="Phase: `epochs`"):
        Phase(0, 0, 0.1)
    with pytest.raises(ValueError, match="Phase: `learning_rate`"):
        Phase("all", 1, 0)
    assert Phase(("stage1",), 1, ("cosine", 0.1)).why == ""


# fine_tune


class Watch(keras.callbacks.Callback):
    """Compare all weights at the beginning and the end of each training."""

    def __init__(self):
        super().__init__()
        self.moved = []

    def on_train_begin(self, logs=None):
        self.before = [w.numpy() for w in self.model.weights]

    def on_train_end(self, logs=None):
        pairs = zip(self.model.weights, self.before, strict=True)
        self.moved.append({w.path for w, old in pairs if w.numpy().tobytes() != old.tobytes()})


def test_each_phase_trains_what_it_says(tmp_path):
    model, watch = small_net(), Watch()
    phases = [Phase(0, 2, 0.01), Phase(1, 1, 0.005), Phase(("stage1",), 1, ("cosine", 0.004)), Phase("all", 1, 0.001)]
    records = fine_tune(model, DATA, phases, callbacks=[watch], seed=0, batch_size=8)
    stage1, stage2 = ({f"stage{i}_conv/kernel", f"stage{i}_conv/bias"} for i in (1, 2))
    assert watch.moved == [HEAD, HEAD | stage2, HEAD | stage1, HEAD | stage1 | stage2]
    assert [record.epochs for record in records] == [2, 1, 1, 1]
    assert [record.learning_rate for record in records] == pytest.approx([0.01, 0.005, 0.004, 0.001])
    assert all(isinstance(record, training.Record) for record in records)


def test_a_frozen_extractor_learns_with_its_head_and_then_as_a_whole(tmp_path):
    hub_format(tmp_path / "a", size=8)
    extractor, watch = FeatureExtractor(str(tmp_path / "a")), Watch()
    model = keras.Sequential([keras.Input((8, 8, 3)), extractor, L.Dense(2, name="predictions")])
    fingerprint = extractor.fingerprint()
    records = fine_tune(model, DATA, [Phase(0, 20, 0.3)], seed=0, batch_size=8)
    assert records[0].final["val_accuracy"] == 1
    assert extractor.fingerprint() == fingerprint
    fine_tune(model, DATA, [Phase("all", 1, 0.01)], seed=0, callbacks=[watch], train_statistics=True)
    assert extractor.fingerprint() != fingerprint
    assert any("moving_mean" in path for path in watch.moved[0])


def test_the_default_plan_is_by_images_and_logits(fits):
    fine_tune(small_net(), SimpleNamespace(x_train=np.zeros((40, 8, 8, 3))), batch_size=4, optimizer="sgd")
    trained, settings = zip(*fits, strict=True)
    assert [set(paths) for paths in trained] == [HEAD, HEAD | {"stage2_conv/kernel", "stage2_conv/bias"}]
    assert settings == tuple(
        {"epochs": phase.epochs, "learning_rate": phase.learning_rate, "batch_size": 4, "optimizer": "sgd"}
        for phase in plan(40, 2, batch_size=4)
    )


def test_an_interruption_ends_all(fits):
    records = fine_tune(small_net(), DATA, [Phase(0, 1, 0.1)] * 3, stop=2)
    assert [record.interrupted for record in records] == [False, True]


def test_nothing_is_trained_when_a_later_phase_is_refused(fits, tmp_path):
    signature_only(tmp_path / "b", size=8, constants=True)
    model = keras.Sequential([keras.Input((8, 8, 3)), FeatureExtractor(str(tmp_path / "b")), L.Dense(2)])
    with pytest.raises(ValueError, match="cannot be fine-tuned: it holds no variables"):
        fine_tune(model, DATA, [Phase(0, 1, 0.1), Phase("all", 1, 0.1)])
    with pytest.raises(ValueError, match=r"unfreeze: .*stages of the model .*It has 'stage1', 'stage2'"):
        fine_tune(small_net(), DATA, [Phase(0, 1, 0.1), Phase(("stage3",), 1, 0.1)])
    assert fits == []
    fine_tune(model, DATA, [Phase(0, 1, 0.1)])
    assert len(fits) == 1


@pytest.mark.parametrize(
    "wrong, rule",
    [
        ({"epochs": 3}, r"the phases have their own `epochs` \(epochs=3\). Use phases=\[Phase\(0, epochs=5, learning"),
        ({"learning_rate": 3}, "the phases have their own `learning_rate`"),
        ({"optimizer": keras.optimizers.SGD()}, 'cannot serve several phases.*Use its name: optimizer="sgd"'),
        ({"validation": 0.25}, "needs a `seed`.*Use seed=0"),
        ({"phases": []}, "`phases` must be Phase objects, at least one, or None"),
        ({"phases": [3]}, "`phases` must be Phase objects"),
        ({"phases": 3}, r"`phases` must be Phase objects.*for example \[Phase\(0, epochs=5, learning_rate=0.01\)\]"),
    ],
)  # fmt: skip
def test_fine_tune_refuses(fits, wrong, rule):
    with pytest.raises(ValueError, match=f"fine_tune: .*{rule}"):
        fine_tune(small_net(), DATA, **wrong)
    assert fits == []
    remedies = {"optimizer": "sgd", "validation": 0.25, "seed": 0}
    fine_tune(small_net(), DATA, [Phase(0, epochs=5, learning_rate=0.01)], **remedies)
    fine_tune(small_net(), DATA, Phase(0, 1, 0.01))
    assert len(fits) == 2


def test_fine_tune_refuses_a_model_it_cannot_follow():
    with pytest.raises(ValueError, match=r"`model` must be a keras.Sequential or functional"):
        fine_tune(L.Dense(2), DATA)
    with pytest.raises(ValueError, match=r"fine_tune: `dataset` must have x_train.*Pass what datasets.load returns"):
        fine_tune(small_net(), X)


def test_the_last_phase_can_go_on_from_there(fits):
    model = small_net()
    fine_tune(model, DATA, [Phase(1, 1, 0.1), Phase(0, 1, 0.01)])
    assert {w.path for w in unfreeze(model, 2).trainable_weights} > HEAD
