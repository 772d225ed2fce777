"""What a student runs: `course-cnn check` in a terminal, and the last cell of the notebook in a kernel."""

import json
import os
import subprocess
import sys
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

from course_cnn import grading
from course_cnn.cli import main
from course_cnn.grading import local
from course_cnn.grading.batch import GradingError
from course_cnn.grading.release import release
from tests.grading.conftest import solved


@pytest.fixture
def student(tiny, tmp_path, monkeypatch):
    """A student's folder with what was released; the student stands in it."""
    release(tiny, tmp_path / "student")
    monkeypatch.chdir(tmp_path / "student")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return tmp_path / "student"


def solve(folder, **parts):
    book = json.loads((folder / "tiny.ipynb").read_text())
    last = book["cells"][-1]
    (folder / "tiny.ipynb").write_text(json.dumps({**book, "cells": [*solved(**parts)["cells"], last]}))


def test_untouched(student, capsys):
    assert main(["check", "tiny.ipynb"]) == 1
    said = capsys.readouterr().out
    assert "double                   0 of 1 visible checks" in said
    assert "`double` is not done yet: it still raises NotImplementedError." in said
    assert "essay                    by hand   your text has 3 words" in said
    assert "0 of 2 visible checks passed. Hidden checks run when your work is graded." in said
    assert sorted(os.listdir(student)) == ["tiny.ipynb", "tiny_checks.py"]  # nothing else was written


def test_solved(student, capsys):
    solve(student)
    assert main(["check", str(student / "tiny.ipynb")]) == 0
    assert "2 of 2 visible checks passed" in capsys.readouterr().out


def test_each_question_has_its_own_count_and_messages(student, capsys):
    solve(student, double="def double(x):\n    return x")
    assert main(["check", "tiny.ipynb"]) == 1
    double, mean = capsys.readouterr().out.partition("  double ")[2].split("  mean ")
    assert double.lstrip().startswith("0 of 1 visible checks")
    assert "Your answer was" in double
    assert mean.lstrip().startswith("1 of 1 visible checks")
    assert "Your answer was" not in mean


def test_of_several_files_of_checks_the_one_of_the_notebooks_name_is_used(student, capsys):
    solve(student)
    (student / "other_checks.py").write_text("raise SystemExit('the wrong file')")
    os.rename("tiny.ipynb", "tiny of Ana.ipynb")
    assert main(["check", "tiny of Ana.ipynb"]) == 0
    os.rename("tiny of Ana.ipynb", "homework.ipynb")
    with pytest.raises(SystemExit):
        main(["check", "homework.ipynb"])
    assert "several files of checks beside homework.ipynb" in capsys.readouterr().err


def test_cells_that_went_wrong_are_told(student, capsys):
    solve(student, double="1 / 0\ndef double(x):\n    return 2 * x", mean="raise NotImplementedError()")
    main(["check", "tiny.ipynb"])
    said = capsys.readouterr().out
    assert "cell 2: ZeroDivisionError: division by zero (cell 2, line 1)" in said
    assert "cell 3" not in said


def test_wrong_and_as_json(student, capsys):
    solve(student, mean="def mean(x):\n    return 5.0")
    assert main(["check", "tiny.ipynb", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [t["passed"] for t in result["tests"]] == [True, False]
    assert result["tests"][1]["message"] == "Your answer was 5.0. Divide by how many there are."


def test_a_renamed_notebook_and_checks_elsewhere(student, tmp_path, capsys):
    solve(student)
    os.rename("tiny.ipynb", "tiny (1).ipynb")
    assert main(["check", "tiny (1).ipynb"]) == 0
    os.rename("tiny_checks.py", tmp_path / "elsewhere.py")
    with pytest.raises(SystemExit) as caught:
        main(["check", "tiny (1).ipynb"])
    assert caught.value.code == 2
    assert (
        "no file NAME_checks.py beside tiny (1).ipynb. Put the one that came with the assignment there"
        in capsys.readouterr().err
    )
    assert main(["check", "tiny (1).ipynb", "--checks", str(tmp_path / "elsewhere.py")]) == 0


def test_mistakes(student):
    with pytest.raises(GradingError, match=r"There is no file none\.ipynb"):
        local.check_notebook("none.ipynb")
    with pytest.raises(GradingError, match=r"There is no file none\.py"):
        local.check_notebook("tiny.ipynb", checks="none.py")
    (student / "tiny.ipynb").write_text("{")
    assert (
        "This notebook cannot be checked. tiny.ipynb is not a complete notebook"
        in local.check_notebook("tiny.ipynb")[1]
    )
    (student / "folder.ipynb").mkdir()
    with pytest.raises(GradingError, match="is a folder, not a notebook"):
        local.check_notebook("folder.ipynb")


def test_a_sandbox_that_does_not_start_is_said(student, monkeypatch, capsys):
    from course_cnn.grading import forkserver, grade

    def fail(*_, **__):
        raise forkserver.SandboxError("no luck")

    monkeypatch.setattr(grade, "grade_bytes", fail)
    with pytest.raises(SystemExit) as caught:
        main(["check", "tiny.ipynb"])
    assert caught.value.code == 2
    assert "was not run, and that is not its fault: no luck" in capsys.readouterr().err


def test_checks_are_found_in_a_clone_of_the_course(tmp_path):
    starter = tmp_path / "course-cnn" / "assignments" / "01_tiny" / "starter"
    starter.mkdir(parents=True)
    (starter / "tiny_checks.py").touch()
    (tmp_path / "course-cnn" / "notebooks").mkdir()
    for folder in (tmp_path, tmp_path / "course-cnn" / "notebooks", tmp_path / "course-cnn", starter):
        assert local.find_checks("tiny", [folder]) == starter / "tiny_checks.py"
    assert local.find_checks("other", [tmp_path]) is None


@pytest.mark.slow
def test_the_last_cell_in_a_kernel(student):
    solve(student, double="def double(x):\n    return 7")
    book = nbformat.read("tiny.ipynb", as_version=4)
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    text = "".join(output.get("text", "") for output in book.cells[-1].outputs)
    assert text.startswith("Checking tiny.ipynb as saved at ")
    assert "Your answer was 7. Add the number to itself." in text
    assert all(output.output_type == "stream" and output.name == "stdout" for output in book.cells[-1].outputs)


def test_a_grader_that_runs_the_cell_is_left_alone(student, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CNN_GRADING", "1")
    grading.check("tiny")
    assert capsys.readouterr().out == ""


def test_jupyterlab_says_where_the_notebook_is(student, monkeypatch, capsys):
    solve(student)
    os.rename("tiny.ipynb", "my work.ipynb")
    with pytest.raises(ValueError, match=r"there is no tiny\.ipynb in .*Save the notebook as tiny\.ipynb, or run"):
        grading.check("tiny")
    monkeypatch.setenv("JPY_SESSION_NAME", "/some/where/my work.ipynb")
    grading.check("tiny")
    assert "2 of 2 visible checks" in capsys.readouterr().out


def test_without_checks_beside_it(student):
    os.remove("tiny_checks.py")
    with pytest.raises(ValueError, match=r"tiny_checks\.py is not here .*Put it beside the notebook"):
        grading.check("tiny")


def test_colab_hands_over_its_notebook(student, monkeypatch, capsys):
    solve(student)
    book = json.loads((student / "tiny.ipynb").read_text())
    os.remove("tiny.ipynb")  # in Colab the notebook is no file
    colab, message = ModuleType("google.colab"), ModuleType("google.colab._message")
    message.blocking_request = lambda what, timeout_sec: {"ipynb": book} if what == "get_ipynb" else None
    colab._message = message
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    grading.check("tiny")
    said = capsys.readouterr().out
    assert said.startswith("Checking this notebook as it stands.")
    assert "2 of 2 visible checks" in said


def test_help_of_every_command():
    run = [sys.executable, "-m", "course_cnn"]
    said = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True).stdout
    for name in ("doctor", "release", "check", "grade", "feedback", "gradescope"):
        assert f"\n    {name}" in said
        with pytest.raises(SystemExit) as caught:
            main([name, "--help"])
        assert caught.value.code == 0


def test_the_command_line_is_light():
    """A second run of `grade` has nothing to do, and takes no time to find that out."""
    code = "import sys; from course_cnn.cli import main; from course_cnn.grading import batch; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {
        "numpy",
        "pydantic",
        "rich",
        "tensorflow",
        "importlib.metadata",
        "subprocess",
        "dataclasses",
        "inspect",
    }
