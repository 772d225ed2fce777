"""pyproject.toml is the one source of truth: the other install files and the Makefile agree with it."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(lines):
    """Return {name: version range} and leave out the project itself, comments and markers."""
    wanted = {}
    for line in lines:
        line = line.split("#")[0].strip()
        if line and not line.startswith(("-", "course-cnn")):
            requirement = Requirement(line)
            wanted[requirement.name] = str(requirement.specifier)
    return wanted


def test_extras():
    assert set(EXTRAS) == {"gpu", "hub", "lab", "grade", "cluster", "bench", "dev"}
    assert PROJECT["requires-python"] == ">=3.11"


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_ranges_and_no_exact_pins(extra):
    for name, specifier in requirements(PROJECT["dependencies"] if extra is None else EXTRAS[extra]).items():
        assert re.match(r"^[<>~!]", specifier), f"{name} has no range: {specifier!r}"
        assert "==" not in specifier, f"{name} is pinned: {specifier}"


def test_requirements_txt_is_the_whole_environment():
    everything = requirements(PROJECT["dependencies"] + [line for lines in EXTRAS.values() for line in lines])
    assert requirements((ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()) == everything


def test_tensorflow_brings_cuda_only_where_it_installs():
    lines = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if "tensorflow" in line
             and "hub" not in line and not line.startswith("#")]  # fmt: skip
    cuda = {("linux", "x86_64"): {"and-cuda"}, ("linux", "aarch64"): set(), ("win32", "AMD64"): set()}
    for (system, machine), extras in cuda.items():
        here = {"sys_platform": system, "platform_machine": machine}
        (chosen,) = (line for line in lines if line.marker.evaluate(here))
        assert chosen.extras == extras, (system, machine)


def test_setuptools_is_bounded_wherever_hub_is_asked_for():
    for text in (EXTRAS["hub"], (ROOT / "requirements.txt").read_text().splitlines()):
        wanted = requirements(text)
        assert "tensorflow-hub" in wanted
        assert not Requirement(f"setuptools{wanted['setuptools']}").specifier.contains("82.0")


def test_conda_environment_reads_the_same_file():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == "course-cnn"
    assert {"pip": ["-r requirements.txt"]} in environment["dependencies"]


def test_readme_commands_exist_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"lab", "test", "check", "notebooks", "bench", "all"} <= targets
    for page in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"\bmake ([a-z]+)", (ROOT / page).read_text(encoding="utf-8")))
        assert named <= targets, f"{page} names {named - targets}"
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == "make test"


@pytest.mark.filterwarnings("ignore:.*__array__.*copy:DeprecationWarning")
def test_readme_examples_run(tmp_path, monkeypatch):
    first, second, third = re.findall(
        r"```python\n(.+?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    names = {}
    exec(first, names)
    assert names["y"].shape == (450, 34, 34, 4)
    assert abs(names["y"] - names["same"].numpy()).max() < 1e-5
    exec(second, names)
    summary = names["summary"]
    said = f"# {summary.total_params}, {summary.total_macs}, {summary.receptive_field.size} pixels"
    assert said in second
    monkeypatch.chdir(tmp_path)
    exec(third, names)
    assert f"{names['extractor'].backbone_params:,} weights" in third
    model = names["model"]
    assert names["training"].evaluate(model, names["digits"].x_test, names["digits"].y_test).accuracy > 0.85
    assert {path.name for path in tmp_path.iterdir()} == {"features", "digits.keras"}


def test_make_lab_reaches_whatever_the_first_lecture_links_to():
    """JupyterLab opens nothing above the folder it serves; given a file, it serves the folder of that file."""
    lab = re.search(r"-m jupyterlab (.*) \$\(AS_ROOT\)", (ROOT / "Makefile").read_text(encoding="utf-8"))[1]
    (first,) = re.findall(r"--LabApp\.default_url=/lab/tree/(\S+\.ipynb)", lab)
    assert (
        lab == f"--LabApp.default_url=/lab/tree/{first}"
    )  # and no file, so that it serves the folder it is started in
    assert (ROOT / "README.md").read_text(encoding="utf-8").count(lab) == 2  # the same for Windows
    links = re.findall(r"\]\((?!http)([^)#\\]+)", (ROOT / first).read_text(encoding="utf-8"))
    assert "../assignments/01_convolution/starter/convolution.ipynb" in links
    for link in links:
        assert (ROOT / first).parent.joinpath(link).resolve().is_relative_to(ROOT), link
        assert (ROOT / first).parent.joinpath(link).exists(), link


def test_version_is_said_once():
    import course_cnn

    assert course_cnn.__version__ == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_the_bundled_extractor(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("course_cnn", "data/bundled_extractor"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path]
    subprocess.run([*command, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "course_cnn").rglob("*.py")}
    bundled = ROOT / "data" / "bundled_extractor"
    model = {path.relative_to(bundled).as_posix() for path in bundled.rglob("*") if path.is_file()}
    assert {"saved_model.pb", "model.json", "README.md", "variables/variables.index"} < model
    grading = ROOT / "course_cnn" / "grading"
    data = {path.relative_to(ROOT).as_posix() for kind in ("*.json", "templates/*.html") for path in grading.glob(kind)}
    assert "course_cnn/grading/results.schema.json" in data
    assert inside == modules | data | {f"course_cnn/transfer/bundled_extractor/{name}" for name in model}
