"""The benchmarks: what they compute from times, on shapes small enough to time in the test itself."""

import contextlib
import json

import numpy as np
import pytest

from benchmarks import __main__ as cli
from benchmarks import measure, worker

TINY = (2, 6, 6, 2, 3, 4)
TINY_RESIDUAL = (2, 8, 8, 4, 1)


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
    ],
)
def test_verdicts(rule, target, met):
    assert row(rule, target).met is met


def test_both_sides_compute_the_same():
    ours, reference = worker.scratch_pass(TINY)(), worker.tensorflow_pass(TINY)()
    for got, want in zip(ours, reference, strict=False):  # ours also has dbias
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(worker.forward(TINY)(), worker.loops(TINY)(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_residual_network_is_resnet_20_and_learns_the_same_with_both_layers():
    model, x, labels = worker.residual_network(worker._norm(True), measure.RESIDUAL)
    convolutions = [layer for layer in model.layers if "conv" in layer.name]
    assert sum(layer.kernel_size == (3, 3) for layer in convolutions) == 19  # and one dense layer; 1x1 are shortcuts
    assert (x.shape, labels.shape) == ((128, 32, 32, 3), (128,))
    fused, keras = (worker.CALLS[f"train_{side}"](TINY_RESIDUAL) for side in ("fused", "keras"))
    losses = np.array([(fused(), keras()) for _ in range(3)])
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-4)
    assert len(set(losses[:, 0])) == 3
    np.testing.assert_allclose(worker.infer_fused(TINY_RESIDUAL)(), worker.infer_keras(TINY_RESIDUAL)(), atol=1e-5)
    modules = {type(layer).__module__.split(".")[0] for layer in model.layers if "batch_norm" in layer.name}
    assert modules == {"course_cnn"}


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
    monkeypatch.setattr(measure, "RESIDUAL", TINY_RESIDUAL)
    for pin in measure.PINS:
        monkeypatch.delenv(pin, raising=False)


@pytest.mark.slow
def test_json(tiny, capsys):
    assert cli.main(["--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"processor", "cores", "load", "pins", "threads", "python", "numpy", "tensorflow", "blas"} <= set(report)
    assert [line["against"] for line in report["rows"]] == [
        "TensorFlow", "seven loops", "Keras's layer", "Keras's layer", "bare Python",
    ]  # fmt: skip
    assert [line["target"] for line in report["rows"]] == [1.5, 300, 1.2, 1, 0.1]
    for line in report["rows"]:
        assert line["ours_s"] > 0
        assert line["reference_s"] > 0
        faster = line["rule"] == "times faster"
        pair = line["reference_s"], line["ours_s"]
        assert line["ratio"] == (pair[0] / pair[1] if faster else pair[1] / pair[0])
        assert line["ratio_min"] <= line["ratio"] <= line["ratio_max"]


@pytest.mark.slow
def test_table_with_a_pinned_blas(tiny, capsys, monkeypatch):
    monkeypatch.setenv(measure.PINS[0], "Haswell")
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "OPENBLAS_CORETYPE=Haswell" in printed
    assert "NumPy" in printed
    for word in ("ours", "reference", "ratio", "target", "verdict", "BLAS as set here", "≤ 1.5", "< 100 ms"):
        assert word in printed, word


def test_strict(monkeypatch, capsys):
    for target, code in ((1.9, 1), (2, 0), (None, 0)):
        monkeypatch.setattr(cli, "run", lambda *_, target=target: ({}, [row("at most", target)]))
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
