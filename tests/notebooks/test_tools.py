"""The two tools that make targets call: running lectures and summing up a test run."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def tool(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, *sources):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["widgets"] = {"left": "over"}
    nbformat.write(notebook, path)
    return path


@pytest.mark.filterwarnings("default")  # the Jupyter client's own
def test_outputs_are_stored_and_the_file_is_the_same_each_time(tmp_path):
    path = write(tmp_path / "01_x.ipynb", "a = 6", "print(a * 7)")
    seen = []
    tool("run_notebooks").execute(path, lambda done, total: seen.append((done, total)))
    first = path.read_bytes()
    assert nbformat.read(path, 4).cells[1].outputs[0].text == "42\n"
    assert "left" not in path.read_text()
    assert seen == [(0, 2), (1, 2), (2, 2)]
    tool("run_notebooks").execute(path)
    assert path.read_bytes() == first


@pytest.mark.filterwarnings("default")
def test_cells_that_need_a_network_are_left_alone(tmp_path):
    path = write(tmp_path / "01_x.ipynb", "print(1)", "raise OSError('no network')")
    notebook = nbformat.read(path, 4)
    notebook.cells[1].metadata["tags"] = ["nbval-skip"]
    nbformat.write(notebook, path)
    seen = []
    tool("run_notebooks").execute(path, lambda done, total: seen.append((done, total)))
    stored = nbformat.read(path, 4)
    assert stored.cells[0].outputs
    assert not stored.cells[1].outputs
    assert seen[-1] == (1, 1)


@pytest.mark.filterwarnings("default")
def test_a_failing_lecture_is_left_as_it_was(tmp_path):
    path = write(tmp_path / "01_x.ipynb", "print(1)", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        tool("run_notebooks").execute(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["01_x.ipynb"]


def test_counts_come_from_the_report(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"/></testsuites>'
    )
    assert tool("test_all").count(report) == (4, 3, 3)
