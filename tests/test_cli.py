"""The doctor: what it says about a machine that works, and about machines that lack this or that."""

import json
import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

import course_cnn
from course_cnn import cli, doctor

WORKING = {"works": True, "gpus": [], "cuda_build": True, "log": "I0000 x.cc:31] Cannot dlopen some GPU libraries."}


@pytest.fixture(scope="module")
def report():
    return doctor.examine()


@pytest.fixture
def told(monkeypatch, report):
    """Let `doctor` print this report, changed, and return (exit code, what it printed)."""

    def tell(capsys, *words, **changes):
        monkeypatch.setattr(doctor, "examine", lambda: {**report, **changes})
        code = cli.main(["doctor", *words])
        return code, capsys.readouterr().out

    return tell


def test_this_machine_can_run_the_course(report):
    assert report["ok"]
    assert report["tensorflow"]["works"]
    assert {package["name"] for package in report["packages"]} >= {"tensorflow", "keras", "numpy", "rich"}
    for package in report["packages"]:
        assert package["ok"]
        assert package["version"] == metadata.version(package["name"])
    assert report["hardware"]["cores"] >= 1
    assert {one["name"]: one["state"] for one in report["data"]["sets"]}["digits"] == "embedded"


def test_text_is_readable_at_80_columns(told, capsys):
    code, text = told(capsys)
    assert code == 0
    for line in text.splitlines():
        assert len(line) <= 80 or len(line.split()) == 1, line  # a long path or address stays whole
    assert "\x1b" not in text  # no colours in a file
    for title in ("Packages", "TensorFlow", "GPU", "Data sets", "What to do", "The course can run."):
        assert title in text


def test_json_is_the_report(told, capsys, report):
    code, text = told(capsys, "--json")
    assert (code, json.loads(text)) == (0, report)


def test_what_is_missing_is_printed(told, capsys):
    changes = {
        "ok": False, "todo": ["First this."],
        "tensorflow": {"works": False, "why": "ImportError: no luck", "gpus": [], "log": ""},
        "packages": [{"name": "keras", "version": None, "wanted": ">=3.12", "ok": False}],
        "tensorflow_hub": {"works": False, "why": "tensorflow_hub is not installed"},
        "data": {"COURSE_CNN_DATA": "/x", "KERAS_HOME": None, "sets": [], "why": "OSError: gone"},
    }  # fmt: skip
    code, text = told(capsys, **changes)
    assert code == 1
    for line in ("NO keras              missing (course: >=3.12)", "ImportError: no luck", "no: tensorflow_hub is not",
                 "- First this.", "OSError: gone", "cannot run yet"):  # fmt: skip
        assert line in text


def test_prints_without_rich(told, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    code, text = told(capsys)
    assert code == 0
    assert "What to do" in text


def versions(monkeypatch, **known):
    """Let some packages have other versions, None for not installed."""
    real = metadata.version

    def version(name):
        found = known[name] if name in known else real(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


def test_packages_outside_their_range_are_required(monkeypatch):
    versions(monkeypatch, keras="2.15.0", numpy=None, jupyterlab=None)
    todo = []
    core, extras = doctor._packages(todo)
    assert {p["name"] for p in core if not p["ok"]} == {"keras", "numpy"}
    assert "jupyterlab" in {p["name"] for p in extras["lab"] if not p["ok"]}
    (required, sentence), *others = todo
    assert required
    assert "keras >=3.12,<4 (here: 2.15.0)" in sentence
    assert "numpy >=1.26 (here: missing)" in sentence
    assert (False, 'To open the lectures in JupyterLab: pip install -e ".[lab]".') in others
    assert doctor._listed(extras["lab"]).startswith("optional, wants jupyterlab")


def test_course_not_installed(monkeypatch):
    def gone(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", gone)
    monkeypatch.setattr(metadata, "metadata", gone)
    todo = []
    assert doctor._packages(todo) == ([], {})
    assert doctor._python(todo)["ok"] is None
    assert todo == [(True, "Install the course, in its folder: pip install -e .")]


def test_without_packaging(monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    todo = []
    assert doctor._packages(todo) == ([], {})
    assert todo[0][0]
    assert doctor._satisfies("1", ">=1") is None


def test_old_python_is_required_to_change(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")
    todo = []
    assert doctor._python(todo)["ok"] is False
    assert todo == [(True, "Use a Python >=3.11; this one is 3.9.1.")]


def test_broken_tensorflow_is_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "course_cnn._tensorflow", None)
    todo = []
    found = doctor._tensorflow(todo)
    assert not found["works"]
    assert todo[0][0]
    assert "does not import (ModuleNotFoundError" in todo[0][1]
    assert doctor._gpu(todo, found)["why"] == "TensorFlow does not import"
    assert doctor._backend(found) == found["why"]


@pytest.mark.parametrize(
    "error, why, remedy",
    [
        (ModuleNotFoundError("no", name="pkg_resources"), "setuptools has no longer", 'pip install "setuptools<81"'),
        (ModuleNotFoundError("no", name="tensorflow_hub"), "tensorflow_hub is not installed", '".[hub]"'),
        (RuntimeError("bad binary"), "RuntimeError: bad binary", "install it anew"),
    ],
)
def test_hub_says_why_not(monkeypatch, error, why, remedy):
    def fail(name):
        raise error

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    todo = []
    found = doctor._hub(todo)
    assert not found["works"]
    assert why in found["why"]
    ((required, sentence),) = todo
    assert not required
    assert remedy in sentence


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine: its system, and what nvidia-smi answers (None: there is none)."""

    def pretend(system="Linux", smi=None, code=0):
        monkeypatch.setattr(doctor.platform, "system", lambda: system)
        monkeypatch.setattr(doctor.shutil, "which", lambda name: smi and "/bin/nvidia-smi")
        answer = SimpleNamespace(stdout=smi, stderr="", returncode=code)
        monkeypatch.setattr(doctor.subprocess, "run", lambda *words, **settings: answer)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return pretend


def test_gpu_that_works():
    assert doctor._gpu([], {**WORKING, "gpus": ["/physical_device:GPU:0"]})["works"]


@pytest.mark.parametrize(
    "system, smi, code, changes, why, remedy",
    [
        ("Linux", None, 0, {}, "no NVIDIA driver found", None),
        ("Darwin", None, 0, {}, "no CUDA on a Mac", None),
        ("Linux", "NVIDIA-SMI has failed", 9, {}, "does not work (nvidia-smi: NVIDIA-SMI has failed)", None),
        ("Linux", "T4, 550", 0, {}, "it says: Cannot dlopen some GPU", '".[gpu]"'),
        ("Linux", "T4, 550", 0, {"log": ""}, "it says: nothing", '".[gpu]"'),
        ("Linux", "T4, 550", 0, {"cuda_build": False}, "built without CUDA", "uninstall tensorflow-cpu"),
        ("Windows", "T4, 550", 0, {"cuda_build": False}, "native Windows since 2.11", "WSL2"),
    ],
)
def test_no_gpu_says_why(machine, system, smi, code, changes, why, remedy):
    machine(system, smi, code)
    todo = []
    found = doctor._gpu(todo, {**WORKING, **changes})
    assert not found["works"]
    assert why in found["why"]
    assert len(todo) == (remedy is not None)
    assert all(remedy in sentence and not required for required, sentence in todo)


def test_hidden_gpu_and_silent_driver(machine, monkeypatch):
    machine(smi="T4, 550")

    def hang(*words, **settings):
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert "does not answer" in doctor._no_gpu(WORKING)[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert doctor._no_gpu(WORKING)[0] == "CUDA_VISIBLE_DEVICES='-1' hides every GPU"


def test_memory_and_disk(monkeypatch):
    assert doctor._memory() > 1e8
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    todo = []
    doctor._hardware(todo)
    assert "1.0 GB are left" in todo[0][1]
    monkeypatch.delattr(os, "sysconf")
    assert doctor._memory() is None


def test_data_sets_here_missing_and_broken(monkeypatch):
    from course_cnn import datasets

    one = SimpleNamespace(name="mnist", state="missing", where="http://x", size=11_000_000)
    monkeypatch.setattr(datasets, "status", lambda: [one, SimpleNamespace(name="d", state="here", where="/y", size=0)])
    todo = []
    found = doctor._data(todo)
    assert [doctor._place(one) for one in found["sets"]] == ["not here, 11 MB from http://x", "here, /y"]
    assert todo[0][1].startswith("mnist")
    assert not todo[0][0]

    def fail():
        raise OSError("gone")

    monkeypatch.setattr(datasets, "status", fail)
    assert doctor._data([])["why"] == "OSError: gone"


def test_module_and_version():
    said = subprocess.check_output([sys.executable, "-m", "course_cnn", "--version"], text=True)
    assert said == f"course-cnn {course_cnn.__version__}\n"


def test_help_and_no_command(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    assert "doctor" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2


def test_the_command_line_loads_no_tensorflow():
    code = "import course_cnn.cli, sys; print({'tensorflow', 'keras', 'numpy', 'rich'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
