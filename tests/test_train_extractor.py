"""The bundled extractor: the script that makes it, and what it has made."""

import hashlib
import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from course_cnn import layers, training  # noqa: F401  (Keras must know their classes to load models)
from course_cnn._tensorflow import tf

# isort: split
import keras

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "data" / "bundled_extractor"
SMALL = ("--depth", 8, "--width", 0.25, "--batch-size", 32)
CYCLES = ("--epochs", 1, 2, "--learning-rate", 0.1, 0.05, "--weight-decay", 0.005, 0.002)
pytestmark = pytest.mark.filterwarnings("ignore:.*__array__.*copy:DeprecationWarning")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("train_extractor", ROOT / "tools" / "train_extractor.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def few_images(tmp_path, monkeypatch):
    """A stand-in for CIFAR-10: 64 + 40 images of noise."""
    rng, labels = np.random.default_rng(0), np.arange(104) % 10
    images = rng.integers(256, size=(104, 32, 32, 3)).astype("uint8")
    np.savez(tmp_path / "cifar10.npz", x_train=images[:64], y_train=labels[:64], x_test=images[64:], y_test=labels[64:])
    monkeypatch.setenv("COURSE_CNN_DATA", str(tmp_path))
    return images[64:].astype("float32") / 255


def read(folder):
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


def sums(folder):
    files = [folder / name for name in read(folder)["sha256"]]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_training_export_and_check(tool, few_images, tmp_path, capsys):
    """One small training, stopped after its first and second epoch and gone on with, against one not stopped."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert tool.main([*SMALL, *CYCLES, "--work", straight, "--out", straight / "model"]) == 0

    keep = tool._keep

    def keep_and_interrupt(work, model, log, drop):
        keep(work, model, log, drop)
        raise KeyboardInterrupt

    tool._keep = keep_and_interrupt
    try:
        for _ in range(2):
            assert tool.main([*SMALL, *CYCLES, "--work", stopped, "--out", stopped / "model"]) == 130
            assert "the same command goes on from there" in capsys.readouterr().err
            assert not (stopped / "model").exists()
    finally:
        tool._keep = keep
    assert tool.main([*SMALL, *CYCLES, "--work", stopped, "--out", stopped / "model"]) == 0
    assert sorted(path.name for path in stopped.glob("*.keras")) == ["epoch2.keras", "epoch3.keras"]  # to average
    check_average(tool, straight, stopped)

    models = [tf.saved_model.load(str(folder / "model")) for folder in (straight, stopped)]
    one, other = (model(few_images, training=False).numpy() for model in models)
    assert one.shape == (40, 16)
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4)
    assert all(model.variables for model in models)
    check_format(models[0], straight / "model", few_images)

    with pytest.raises(SystemExit, match="Choose another --work"):
        tool.main([*SMALL, *CYCLES, "--seed", 1, "--work", stopped, "--out", stopped / "model"])

    by_cycle = [
        f"{right:.2%} of the test" for right in json.loads((straight / "log.json").read_text())["test_accuracy"]
    ]
    card = (straight / "model" / "README.md").read_text(encoding="utf-8")
    assert len(by_cycle) == 2
    assert str(tmp_path) not in card
    assert all(words in card for words in by_cycle)

    capsys.readouterr()
    assert tool.main(["--check", "--out", straight / "model"]) == 0
    right = (models[0].classify(few_images).numpy().argmax(1) == np.arange(64, 104) % 10).mean()
    assert f"{right:.4f} measured, {right:.4f} stated" in capsys.readouterr().out
    facts = read(straight / "model")
    (straight / "model" / "model.json").write_text(json.dumps({**facts, "test_accuracy": facts["test_accuracy"] + 0.1}))
    assert tool.main(["--check", "--out", straight / "model"]) == 1


def check_average(tool, straight, stopped):
    """The exported kernels are the mean of those after the second and the third epoch."""
    after = [keras.models.load_model(straight / f"epoch{i}.keras").layers[-1].get_layer("conv1_conv") for i in (2, 3)]
    exported = {v.name: v for v in tf.saved_model.load(str(stopped / "model")).variables}["conv1_conv/kernel:0"]
    one, other = (layer.kernel.numpy() for layer in after)
    assert abs(one - other).max() > 1e-3
    np.testing.assert_allclose(exported.numpy(), (one + other) / 2, atol=1e-4)


def check_format(model, folder, images):
    """What TF2 Hub asks for, and what tensorflow-hub itself makes of it."""
    trainable = {variable.name for variable in model.trainable_variables}
    assert trainable == {v.name for v in model.variables if v.trainable} != {v.name for v in model.variables}
    assert list(model.regularization_losses) == []
    at_inference = model(images, training=False).numpy()
    np.testing.assert_array_equal(model.signatures["serving_default"](tf.constant(images))["output_0"], at_inference)
    before = [variable.numpy() for variable in model.variables]
    in_training = model(images, training=True).numpy()
    assert abs(in_training - at_inference).max() > 0.01  # the batch's own statistics
    assert any((v.numpy() != old).any() for v, old in zip(model.variables, before, strict=True))  # and they are kept
    assert sums(folder) == read(folder)["sha256"]

    hub = pytest.importorskip("tensorflow_hub")
    again = hub.KerasLayer(str(folder), trainable=False)
    np.testing.assert_allclose(again(images), at_inference, atol=1e-6)


def test_one_number_for_each_cycle(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(["--work", "unused", "--epochs", 3])
    assert "one number for each cycle" in capsys.readouterr().err


def test_without_cifar10(tool, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("COURSE_CNN_DATA", str(tmp_path / "empty"))
    from course_cnn import datasets

    def unavailable(name):
        raise datasets.DataError(f"{name}: no network, no copy")

    monkeypatch.setattr(datasets, "load", unavailable)
    assert tool.main(["--work", tmp_path / "work"]) == 1
    assert tool.main(["--check"]) == 1
    assert capsys.readouterr().err.count("no network, no copy") == 2
    assert not (tmp_path / "work").exists()


def test_images_are_moved_and_turned_over_and_nothing_else(tool):
    rng = np.random.default_rng(1)
    images = rng.random((300, 12, 12, 1), "float32")
    changed = tool.moved_and_mirrored(images, np.random.default_rng(2))
    assert changed.shape == images.shape
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    seen = set()
    for before, after in zip(padded, changed, strict=True):
        found = [(top, left, turned) for top in range(9) for left in range(9) for turned in (1, -1)
                 if (before[top : top + 12, left : left + 12][:, ::turned] == after).all()]  # fmt: skip
        assert len(found) == 1
        seen.add(found[0])
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(9))
    assert {turned for _, _, turned in seen} == {1, -1}


def test_the_stored_extractor_is_what_its_card_says():
    facts, card = read(BUNDLED), (BUNDLED / "README.md").read_text(encoding="utf-8")
    assert sums(BUNDLED) == facts["sha256"]
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*")) < 4e6
    assert facts["test_accuracy"] >= 0.88
    assert f"{facts['test_accuracy']:.2%}" in card
    assert all(number in card for number in facts["sha256"].values())
    assert (facts["size"], facts["value_range"], facts["features"]) == (32, [0, 1], 128)
    assert re.search(r"```\npython tools/train_extractor\.py --work FOLDER .*\n```", card)


def test_the_stored_extractor_is_a_residual_network_and_sees_the_same_everywhere(tmp_path):
    model = tf.saved_model.load(str(BUNDLED))
    images = np.random.default_rng(0).random((3, 32, 32, 3), "float32")
    features = model(images, training=False).numpy()
    assert features.shape == (3, 128)
    assert features.min() >= 0  # behind a ReLU
    assert {v.name.split("_")[0].split("/")[0] for v in model.variables} == {"conv1", "stage1", "stage2", "stage3"}
    assert sum(np.prod(v.shape) for v in model.variables) == read(BUNDLED)["params"]
    assert model.classify(images).shape == (3, 10)
    copy = shutil.copytree(BUNDLED, tmp_path / "elsewhere")
    np.testing.assert_array_equal(tf.saved_model.load(str(copy))(images, training=False), features)
