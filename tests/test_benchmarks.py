"""The benchmarks: what they compute from times, on shapes small enough to time in the test itself."""

import contextlib
import json

import numpy as np
import pytest

from benchmarks import __main__ as cli
from benchmarks import measure, pytorch, worker

TINY = (2, 6, 6, 2, 3, 4)
TRAINING = (("ResNet-8", 2, {"stock Keras": 1.2, "PyTorch": 1.0}), ("LeNet 20-50", 2, {"PyTorch": 1.1}))
needs_torch = pytest.mark.skipif(not pytorch.available(), reason="PyTorch is not installed")


def row(rule, target, ours=(2.0, 3.0, 9.0), reference=(1.0, 2.0, 1.0)):
    return measure.Row("x", "y", list(ours), list(reference), rule, target)


def test_ratios_are_what_the_times_give():
    assert row("at most", 2).ratios == [2, 1.5, 9]
    assert row("times faster", 2).ratios == [1 / 2, 2 / 3, 1 / 9]
    shown = row("at most", 2).as_json()
    assert (shown["ratio_min"], shown["ratio"], shown["ratio_max"]) == (1.5, 2, 9)
    assert shown["ratio"] == shown["ours_s"] / shown["reference_s"]
    assert shown["rounds"] == {"ours_s": [2, 3, 9], "reference_s": [1, 2, 1]}


@pytest.mark.parametrize(
    "rule, target, met",
    [
        ("at most", 2, True),
        ("at most", 1.9, False),
        ("times faster", 0.5, True),
        ("times faster", 0.6, False),
        ("seconds more", 1.1, True),
        ("seconds more", 1.0, False),
        ("at most", None, None),
        ("seconds", 3, True),
        ("seconds", 2.9, False),
        ("seconds", None, None),
    ],
)
def test_verdicts(rule, target, met):
    assert row(rule, target, reference=() if rule == "seconds" else (1.0, 2.0, 1.0)).met is met


def test_both_sides_compute_the_same():
    ours, reference = worker.scratch_pass(TINY)(), worker.tensorflow_pass(TINY)()
    for got, want in zip(ours, reference, strict=False):  # ours also has dbias
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(worker.forward(TINY)(), worker.loops(TINY)(), rtol=1e-4, atol=1e-5)


def test_a_row_without_a_reference_has_no_verdict():
    without = measure.Row("x", "y", [2.0, 3.0, 9.0], [], "times faster", 1, images=6, flops=12, peak=8.0)
    assert without.met is None
    assert without.ratios == without.differences == []
    shown = without.as_json()
    assert (shown["ours_s"], shown["ours_images_per_s"], shown["ours_share_of_peak"]) == (3, 2, 12 / 3 / 8)
    assert shown["ratio"] is shown["reference_s"] is shown["reference_images_per_s"] is None


def test_operations_of_a_training_step_by_hand():
    """LeNet: two convolutions, two dense layers; the first convolution passes no gradient on to the images."""
    first, others = 28 * 28 * 25 * 20, 14 * 14 * 25 * 20 * 50 + 7 * 7 * 50 * 500 + 500 * 10
    assert worker.count("LeNet 20-50") == {"params": 1_256_080, "flops": 2 * (2 * first + 3 * others)}
    assert worker.keras_network("ResNet-20").count_params() == worker.count("ResNet-20")["params"]


@pytest.mark.slow
def test_stock_keras_trains_the_same_network():
    ours, stock = worker.keras_network("ResNet-8"), worker.keras_network("ResNet-8", "stock")
    kinds = [[f"{type(layer).__module__.split('.')[0]}.{type(layer).__name__}" for layer in model.layers]
             for model in (ours, stock)]  # fmt: skip
    assert [kind.replace("course_cnn.Batch", "keras.Batch") for kind in kinds[0]] == kinds[1]
    assert "course_cnn.BatchNormalization" in kinds[0]
    steps = [worker.CALLS[f"train_{side}"](TRAINING[0][:2]) for side in ("ours", "stock")]
    losses = np.array([[step() for step in steps] for _ in range(3)])
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-3)
    assert len(set(losses[:, 0])) == 3
    answers = [worker.CALLS[f"infer_{side}"](TRAINING[0][:2]) for side in ("ours", "stock")]
    assert answers[0]().shape == answers[1]().shape == (2, 10)


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet-8", "ResNet-20", "LeNet 20-50"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_pytorch_trains_the_same_network(name, channels_last):
    """The same number of weights, and from the same weights the same losses, step after step."""
    model, data = worker.compiled(name, "ours"), worker.batch(name, 8)
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert sum(weight.numel() for weight in pytorch.network(name).parameters()) == trained
    step = pytorch.train(name, *data, channels_last=channels_last, weights=model.get_weights())
    theirs = np.array([step() for _ in range(3)])
    ours = np.array([float(model.train_on_batch(*data)[0]) for _ in range(3)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert len(set(theirs)) == 3


def test_pytorch_runs_in_the_fastest_of_its_ways():
    asked = []

    def side(speeds):
        def ask(request):
            asked.append(request.get("call"))
            return {"seconds": speeds.get(request.get("call"), 1.0), "flops": 100}

        return ask

    torch = {"": side({"train_torch_channels_last": 3.0, "train_torch_contiguous": 5.0}),
             "\npassive": side({"train_torch_channels_last": 4.0, "train_torch_contiguous": 2.0})}  # fmt: skip
    settings = dict(rounds=5, seconds=0.1)
    rows = list(measure.training("net", 10, TRAINING[0][2], side({}), torch, 1000.0, **settings))
    assert [row.against for row in rows] == ["stock Keras", "PyTorch\ncontiguous\npassive"]
    assert [row.ratios for row in rows] == [[1.0] * 5, [2.0] * 5]
    assert [row.met for row in rows] == [False, True]
    assert (rows[0].images, rows[0].flops, rows[0].share_of_peak(1.0)) == (10, 1000, 1.0)
    assert asked.count("train_ours") == asked.count("train_stock") == 5
    rows = list(measure.training("net", 10, TRAINING[1][2], side({}), {}, 1000.0, **settings))
    assert [(row.against, row.reference, row.met) for row in rows] == [("PyTorch\nnot installed", [], None)]


def test_the_loops_get_fewer_rows_when_patience_is_short():
    asked = []

    def ask(request):
        asked.append(request)
        return {"seconds": 10.0 if request["call"] == "loops" else 0.01}

    assert "first 4 of 6 rows" in measure.against_loops(TINY, ask, rounds=1, seconds=1, patience=25).what
    assert [request["shape"][1] for request in asked] == [3, 4, 4]
    assert "first" not in measure.against_loops(TINY, ask, rounds=1, seconds=1, patience=1000).what


@pytest.fixture
def tiny(monkeypatch):
    """The whole run, on one tiny shape and in this process; only the two bare Python starts are processes."""

    @contextlib.contextmanager
    def in_process(library, **_):
        yield worker.answer

    def import_time(*, rounds, step):
        return measured(rounds=1, step=step)

    measured = measure.import_time
    monkeypatch.setattr(measure, "worker", in_process)
    monkeypatch.setattr(measure, "import_time", import_time)
    monkeypatch.setattr(measure, "SHAPES", (TINY,))
    monkeypatch.setattr(measure, "TRAINING", TRAINING)
    monkeypatch.setattr(measure, "PEAK_SIZE", 64)
    monkeypatch.setattr(pytorch, "available", lambda: False)
    for pin in measure.PINS:
        monkeypatch.delenv(pin, raising=False)


@pytest.mark.slow
def test_json(tiny, capsys):
    assert cli.main(["--quick", "--json", "--only", "library"]) == 0
    report = json.loads(capsys.readouterr().out)
    head = {"processor", "cores", "load", "pins", "threads", "python", "numpy", "tensorflow", "keras", "blas"}
    assert head | {"notes"} <= set(report)
    assert set(report["matmul_flops"]) == {"numpy", "tensorflow"}
    assert [line["against"] for line in report["rows"]] == [
        "TensorFlow", "seven loops", "stock Keras", "PyTorch not installed", "PyTorch not installed", "stock Keras",
        "bare Python",
    ]  # fmt: skip
    assert [line["target"] for line in report["rows"]] == [1.5, 300, 1.2, 1, 1.1, 1, 0.1]
    for line in report["rows"]:
        assert line["ours_s"] > 0
        if "training" in line["what"]:
            work = worker.count(line["what"].partition(" training")[0])["flops"] * 2
            share = work / line["ours_s"] / max(report["matmul_flops"].values())
            assert line["ours_share_of_peak"] == pytest.approx(share)
            assert line["ours_images_per_s"] == 2 / line["ours_s"]
        if "not installed" in line["against"]:
            assert line["ratio"] is line["met"] is line["reference_s"] is None
            continue
        assert line["reference_s"] > 0
        faster = line["rule"] == "times faster"
        pair = line["reference_s"], line["ours_s"]
        assert line["ratio"] == (pair[0] / pair[1] if faster else pair[1] / pair[0])
        assert line["ratio_min"] <= line["ratio"] <= line["ratio_max"]


@pytest.mark.slow
def test_table_with_a_pinned_blas(tiny, capsys, monkeypatch):
    monkeypatch.setenv(measure.PINS[0], "Haswell")
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["--quick", "--only", "library"]) == 0
    printed = capsys.readouterr().out
    assert "OPENBLAS_CORETYPE=Haswell" in printed
    assert "NumPy" in printed
    for word in ("ours", "reference", "ratio", "target", "verdict", "BLAS as set here", "≤ 1.5", "< 100 ms",
                 "% peak", "not installed", pytorch.INSTALL):  # fmt: skip
        assert word in printed, word


@needs_torch
@pytest.mark.slow
def test_the_rows_with_pytorch(tiny, capsys, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(measure, "TRAINING", TRAINING)
    with measure.worker("torch", threads=1, passive=True) as torch:
        assert torch({})["torch"]
        assert torch({"call": "matmul_torch", "shape": (64,), "seconds": 0})["best"] > 0
        rows = list(measure.training("ResNet-8", 2, {"PyTorch": 1.0}, worker.answer, {"": torch}, 1e9, rounds=1,
                                     seconds=0))  # fmt: skip
    assert rows[0].against.startswith("PyTorch")
    assert rows[0].ratios[0] > 0


def test_strict(monkeypatch, capsys):
    for target, code in ((1.9, 1), (2, 0), (None, 0)):
        rows = [row("at most", target), row("times faster", 1, reference=())]
        monkeypatch.setattr(cli, "run", lambda _, rows=rows: ({}, rows))
        assert cli.main(["--json", "--strict"]) == code
        assert cli.main(["--json"]) == 0
    with pytest.raises(SystemExit) as stop:
        cli.main(["--threads", "0"])
    assert stop.value.code == 2


def test_a_worker_process_answers_and_explains_its_errors(monkeypatch):
    monkeypatch.setenv(measure.PINS[0], "Haswell")
    with measure.worker("numpy", threads=1) as ask:
        assert ask({})["numpy"] == np.__version__
        assert ask({"call": "forward", "shape": TINY, "seconds": 0})["seconds"] > 0
        with pytest.raises(RuntimeError, match=r"in the numpy process:(.|\n)*KeyError: 'backward'"):
            ask({"call": "backward", "shape": TINY, "seconds": 0})
