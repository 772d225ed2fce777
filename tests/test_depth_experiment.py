"""The depth experiment of lecture 18: its script, and what it has stored."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from course_cnn import training, zoo
from course_cnn._tensorflow import tf  # noqa: F401

# isort: split
import keras

ROOT = Path(__file__).resolve().parents[1]
STORED = sorted((ROOT / "data" / "experiments").glob("depth_*.json"))
SMALL = ("--images", 60, "--epochs", 2, "--width", 0.25)


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("depth_experiment", ROOT / "tools" / "depth_experiment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def built(monkeypatch):
    """Quick networks in place of deep ones; gives the list of what was asked for."""
    asked = []

    def stand_in(kind):
        def build(depth, *, input_shape, num_classes, width):
            asked.append((kind, depth, input_shape, num_classes, width))
            layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
            return keras.Sequential(layers)

        return build

    monkeypatch.setattr(zoo, "build_cifar_plain", stand_in("plain"))
    monkeypatch.setattr(zoo, "build_cifar_resnet", stand_in("residual"))
    return asked


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def runs(path):
    return [(run["depth"], run["kind"], run["seed"]) for run in read(path)["runs"]]


@pytest.mark.slow
def test_it_trains_the_networks_of_the_zoo(tool, tmp_path):
    out = tmp_path / "x.json"
    assert tool.main(["--depths", 8, "--seeds", 1, "--out", out, *SMALL]) == 0
    record = read(out)
    plain, residual = record["runs"]
    assert (
        plain["params"]
        == residual["params"]
        == zoo.build_cifar_plain(8, input_shape=(8, 8, 1), width=0.25).count_params()
    )
    assert (len(plain["loss"]), len(residual["val_accuracy"])) == (2, 2)
    assert plain["loss"] != residual["loss"]


def test_it_stores_what_was_asked_and_what_came_of_it(tool, built, tmp_path, capsys):
    out = tmp_path / "new" / "x.json"
    assert tool.main(["--depths", 14, 8, "--seeds", 2, "--out", out, *SMALL]) == 0
    kinds = ("plain", "residual")
    assert runs(out) == [(depth, kind, seed) for depth in (8, 14) for kind in kinds for seed in (0, 1)]
    assert set(built) == {(kind, depth, (8, 8, 1), 10, 0.25) for depth in (8, 14) for kind in kinds}
    record = read(out)
    assert record["data"] == {"train": 60, "test": 450, "shape": [8, 8, 1]}
    assert (record["settings"]["epochs"], record["settings"]["width"]) == (2, 0.25)
    assert record["commands"][0].startswith("python tools/depth_experiment.py --depths 14 8 --seeds 2 --out ")
    assert record["versions"]["keras"] == keras.__version__
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert re.match(r"\[8/8\] residual 8 layers, seed 1: training loss \d.\d{3}, accuracy", lines[-1])


def test_a_run_is_what_fit_gives(tool, built, tmp_path):
    out = tmp_path / "x.json"
    tool.main(["--depths", 8, "--kinds", "plain", "--seeds", 2, "--out", out, "--schedule", "cosine", *SMALL])
    from course_cnn import datasets

    data = tool._some(datasets.load("digits"), 60)
    training.seed_everything(1)
    model = zoo.build_cifar_plain(8, input_shape=(8, 8, 1), num_classes=10, width=1)
    rate = training.schedule("cosine", 0.03, 2)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    record = training.fit(model, data, epochs=2, batch_size=113, optimizer=optimizer, seed=1)
    np.testing.assert_allclose(read(out)["runs"][1]["loss"], record.history["loss"], atol=1e-5)


def test_it_goes_on_where_it_stopped(tool, built, tmp_path, capsys):
    out = tmp_path / "x.json"
    tool.main(["--depths", 8, "--seeds", 1, "--out", out, *SMALL])
    first = read(out)["runs"]
    tool.main(["--depths", 8, 14, "--kinds", "plain", "--seeds", 2, "--out", out, *SMALL])
    assert runs(out) == [(8, "plain", 0), (8, "plain", 1), (8, "residual", 0), (14, "plain", 0), (14, "plain", 1)]
    assert all(run in read(out)["runs"] for run in first)
    assert len(read(out)["commands"]) == 2
    before, _ = out.read_bytes(), capsys.readouterr()
    tool.main(["--depths", 8, 14, "--kinds", "plain", "--seeds", 2, "--out", out, *SMALL])
    assert (out.read_bytes(), capsys.readouterr().out) == (before, "")


def test_ctrl_c_keeps_what_was_finished(tool, built, tmp_path, capsys, monkeypatch):
    out, real, calls = tmp_path / "x.json", training.fit, []

    def fit(*args, **kwargs):
        calls.append(args)
        stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt if len(calls) == 3 else None)
        return real(*args, callbacks=[stop], **kwargs)

    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", fit)
    command = ["--depths", 8, "--seeds", 2, "--out", out, *SMALL]
    assert tool.main(command) == 130
    assert runs(out) == [(8, "plain", 0), (8, "plain", 1)]
    assert f"What was finished is in {out}" in capsys.readouterr().err
    assert tool.main(command) == 0
    assert len(runs(out)) == 4
    calls[:] = [0, 0]
    assert tool.main([*command[:-2], "--width", 1, "--out", tmp_path / "y.json"]) == 130
    assert "Nothing was finished yet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_write_that_fails_leaves_the_old_file(tool, built, tmp_path, monkeypatch):
    out = tmp_path / "x.json"
    tool.main(["--depths", 8, "--seeds", 1, "--out", out, *SMALL])
    before = out.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(tool.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        tool.write(out, {"runs": [], "settings": {}})
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_it_refuses_another_experiment_and_other_files(tool, built, tmp_path):
    out = tmp_path / "x.json"
    tool.main(["--depths", 8, "--seeds", 1, "--out", out, *SMALL])
    with pytest.raises(SystemExit, match=r"holds another experiment: images 60 there, 70 here\. Choose another --out"):
        tool.main(["--depths", 8, "--out", out, *SMALL, "--images", 70])
    out.write_text("{}")
    with pytest.raises(SystemExit, match="is no file of this experiment"):
        tool.main(["--depths", 8, "--out", out, *SMALL])


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--depths", "21"], "21 is not 6n + 2 with n >= 1; the nearest is 20"),
        (["--depths", "2"], "2 is not 6n + 2 with n >= 1; the nearest is 8"),
        (["--seeds", "0"], "0 is not a whole number >= 1"),
        (["--images", "-1"], "-1 is not a whole number >= 0"),
        (["--learning-rate", "0"], "0 is not a number > 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(tool, wrong, message, capsys):
    with pytest.raises(SystemExit):
        tool.main(wrong)
    assert message in capsys.readouterr().err


def test_data_that_cannot_be_had_is_one_clear_line(tool, built, tmp_path, capsys):
    assert tool.main(["--data", "shapes", "--size", 8, "--out", tmp_path / "x.json"]) == 1
    assert "`size` must be an integer >= 16" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_needs_no_tensorflow():
    code = "import sys; sys.argv[1:] = ['--help']; import runpy\n"
    code += f"try: runpy.run_path({str(ROOT / 'tools' / 'depth_experiment.py')!r}, run_name='__main__')\n"
    code += "except SystemExit: sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--depths" in done.stdout


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_stored_experiments_say_where_they_come_from(path):
    record = read(path)
    assert record["commands"]
    for command in record["commands"]:
        assert command.startswith("python tools/depth_experiment.py ")
        assert (
            f"--out data/experiments/{path.name}" in command or path.name == f"depth_{record['settings']['data']}.json"
        )
    assert set(record["versions"]) == {"python", "course-cnn", "keras", "numpy", "tensorflow"}
    assert len(runs(path)) == len(set(runs(path)))
    for run in record["runs"]:
        assert len(run["loss"]) == len(run["val_accuracy"]) == record["settings"]["epochs"]
    assert not re.search(r'"/|\\\\|home|tmp', path.read_text(encoding="utf-8"))


def test_the_stored_digits_show_what_lecture_18_says():
    ends = {}
    for run in read(ROOT / "data" / "experiments" / "depth_digits.json")["runs"]:
        ends.setdefault((run["kind"], run["depth"]), []).append(run["loss"][-1])
    assert {depth for _, depth in ends} == {8, 20, 32, 44, 56}
    assert all(len(losses) == 3 for losses in ends.values())
    plain, residual = ([np.mean(ends[kind, depth]) for depth in (8, 20, 32, 44, 56)] for kind in ("plain", "residual"))
    assert plain == sorted(plain)
    assert plain[-1] > 20 * plain[0]
    assert max(residual[1:]) < residual[0]
