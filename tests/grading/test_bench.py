"""The benchmark of the autograder: what it gives to both graders and what it makes of times. nbgrader is not run."""

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as cli
from benchmarks import grading
from course_cnn.grading.source import find_source, read_source, student_notebook

QUESTIONS = ["output_size", "pad_amounts", "conv2d", "max_pool2d", "avg_pool2d", "layer_cost"]


def names(notebook):
    """The nbgrader names of cells, in order."""
    found = [cell["metadata"].get("nbgrader", {}) for cell in notebook["cells"]]
    return [cell["grade_id"] for cell in found if cell]


@pytest.fixture(scope="module")
def large_class():
    return grading.submissions(grading.NUMPY, 23)


def test_a_large_class_has_copies_with_small_changes(large_class):
    assert len({json.dumps(notebook) for notebook in large_class.values()}) == 23
    assert not grading.LOST & set(large_class)
    assert {"reference", "untouched", "prints_and_warns"} <= set(large_class)
    copies = [student for student in large_class if "_copy_" in student]
    assert copies == [f"{student}_copy_{i}" for i, student in enumerate(list(large_class)[:3])]
    for student in copies:
        assert large_class[student]["cells"][:-1] == large_class[student.partition("_copy_")[0]]["cells"]


def test_every_submission_has_nbgraders_test_cells_where_the_source_has_them(large_class):
    source = read_source(find_source(grading.NUMPY))
    wanted = names(student_notebook(source))
    assert [name for name in wanted if not name.endswith("_tests")] == QUESTIONS
    for student, notebook in large_class.items():
        assert names(notebook) == wanted, student
        cells = [cell["source"] for cell in notebook["cells"] if grading._is_test(cell)]
        assert not any("assert" in text for text in cells), student
    assert (
        grading.with_tests(large_class["reference"], grading.tests_of(large_class["untouched"]))
        == (large_class["reference"])
    )


def test_submissions_lie_where_both_graders_look(tmp_path):
    grading.main(grading.NUMPY, "2", tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.ipynb")) == [
        "reference/convolution/convolution.ipynb", "untouched/convolution/convolution.ipynb",
    ]  # fmt: skip


def test_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("JUPYTER_PATH", "/somewhere")
    ours = grading.environment()
    assert "PYTHONDONTWRITEBYTECODE" not in ours
    assert ours["JUPYTER_PATH"] == "/somewhere"
    theirs = grading.environment("/venv/bin/nbgrader", tmp_path / "jupyter")
    assert theirs["PATH"].startswith(f"{Path('/venv/bin')}{os.pathsep}")
    spec = Path(theirs["JUPYTER_PATH"], "kernels", "python3", "kernel.json")
    assert json.loads(spec.read_text())["argv"][0] == sys.executable
    assert {Path(theirs[name]).parent for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")} == {
        tmp_path / "jupyter"
    }


def test_times_of_half_a_class_are_not_taken(tmp_path):
    table = tmp_path / "grades.csv"
    table.write_text("student,status,reason\na,graded,\nb,could not be graded,it is empty\n")
    with pytest.raises(RuntimeError, match=r"1 of 2 submissions were graded\. b: it is empty"):
        grading.graded(table, 2)
    table.write_text("student,status,reason\na,graded,\nb,needs manual grade,\n")
    grading.graded(table, 2)
    with pytest.raises(RuntimeError, match="2 of 3"):
        grading.graded(table, 3)


def test_a_program_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(RuntimeError, match=r"(?s)ended with 3:.*no such kernel"):
        grading._run([sys.executable, "-c", "print('no such kernel'); raise SystemExit(3)"], cwd=".", env=None)


class Programs:
    """Stands for both graders: notes who was called, writes what they would write."""

    def __init__(self, lost=0):
        self.calls, self.lost = [], lost

    def __call__(self, command, *, cwd, env):
        words = [str(word) for word in command]
        if "benchmarks.grading" in words:
            grading.main(*words[3:])
        elif "grade" in words:
            handed_in, out = Path(words[5]), Path(words[7])
            self.calls.append(f"ours, {len(os.listdir(handed_in))}, jobs {words[9]}{', again' * out.exists()}")
            out.mkdir(exist_ok=True)
            with open(out / "grades.csv", "w", newline="") as file:
                table = csv.writer(file)
                table.writerow(["student", "status", "reason"])
                table.writerows([student, "graded", ""] for student in os.listdir(handed_in))
        elif words[1] == "generate_assignment":
            assert Path(cwd, "source", words[2], f"{words[2]}.ipynb").exists()
            Path(cwd, "gradebook.db").write_text("")
        else:
            assert words[3:5] == list(grading.PATIENT)
            assert Path(cwd, "gradebook.db").exists()
            students = words[6:] or os.listdir(Path(cwd, "submitted"))[self.lost :]
            self.calls.append(f"nbgrader, {len(students)}{', again' * Path(cwd, 'autograded').exists()}")
            for student in students:
                shutil.copytree(Path(cwd, "submitted", student), Path(cwd, "autograded", student), dirs_exist_ok=True)
        return ""


@pytest.fixture
def programs(monkeypatch):
    programs = Programs()
    monkeypatch.setattr(grading, "_run", programs)
    return programs


def test_both_graders_take_turns(programs):
    counted = []
    ours, theirs = grading.against_nbgrader(
        grading.NUMPY, 3, "/x/nbgrader", rounds=2, step=lambda: counted.append(1)
    )  # fmt: skip
    ours_twice, theirs_twice = ["ours, 3, jobs 1", "ours, 3, jobs 1, again"], ["nbgrader, 3", "nbgrader, 3, again"]
    warm = ["ours, 1, jobs 1", "ours, 1, jobs 1, again", "nbgrader, 1", "nbgrader, 1, again"]
    assert programs.calls == [*warm, *ours_twice, *theirs_twice, *theirs_twice, *ours_twice]
    assert [len(times) for times in (ours, theirs, counted)] == [2, 2, 2]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in ours + theirs)
    assert grading.each([(4.0, 0.2), (6.0, 0.1)], 0, 2) == [2, 3]


def test_without_nbgrader_only_ours_run(programs):
    ours, theirs = grading.against_nbgrader(grading.NUMPY, 2, None, rounds=1)
    assert (len(ours), theirs) == (1, [])
    assert not any("nbgrader" in call for call in programs.calls)


def test_what_nbgrader_did_not_grade_is_an_error(programs):
    programs.lost = 1
    with pytest.raises(RuntimeError, match="nbgrader graded 2 of 3 submissions of convolution"):
        grading.against_nbgrader(grading.NUMPY, 3, "/x/nbgrader", rounds=1)


def test_one_and_two_jobs_take_turns(programs):
    times = grading.two_jobs(grading.NUMPY, 2, rounds=3)
    assert [call[-1] for call in programs.calls] == list("122112")
    assert {jobs: len(seconds) for jobs, seconds in times.items()} == {1: 3, 2: 3}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Times from thin air: ours 4 s and 0.1 s for a class, nbgrader's 30 s and 4 s; two jobs as fast as 1.7."""

    def against_nbgrader(folder, number, nbgrader, *, rounds, step):
        for _ in range(rounds):
            step()
        return [(4.0, 0.1)] * rounds, [(30.0, 4.0)] * rounds if nbgrader else []

    def two_jobs(folder, number, *, rounds, step):
        for _ in range(rounds):
            step()
        return {1: [17.0] * rounds, 2: [10.0] * rounds}

    monkeypatch.setattr(grading, "against_nbgrader", against_nbgrader)
    monkeypatch.setattr(grading, "two_jobs", two_jobs)
    monkeypatch.setattr(grading, "version", lambda nbgrader: "nbgrader version 0.9.6")
    monkeypatch.setattr(grading, "command", lambda named=None: named)
    tensorflow = grading.ROOT / "assignments" / "03_of_the_test"
    monkeypatch.setattr(grading, "TENSORFLOW", tensorflow)
    monkeypatch.setattr(grading, "_there", lambda folder: True)
    monkeypatch.setattr(grading, "one_question", lambda folder, question, out: folder)
    return monkeypatch


@pytest.mark.parametrize("quick", [False, True])
def test_rows(measured, quick):
    counted = []
    rows = list(grading.rows("/x/nbgrader", quick=quick, step=lambda: counted.append(1)))
    assert [(row.rule, row.target) for row in rows] == [
        ("seconds", 0.3), ("at most", 0.05), ("times faster", 1.6), ("times faster", None), ("times faster", None),
        ("times faster", 5), ("times faster", None),
    ]  # fmt: skip
    number = grading.QUICK[0] if quick else grading.SIZES[0]
    assert rows[0].ours[0] == 4 / number
    assert [row.ratios[0] for row in rows[1:]] == pytest.approx([0.025, 1.7, 7.5, 40, 7.5, 7.5])
    assert [row.met for row in rows] == [not quick, True, True, None, None, True, None]
    assert len(counted) == grading.steps(quick)
    assert len(rows[0].ours) == (1 if quick else 3)


def test_table_without_nbgrader(measured, capsys):
    measured.setattr(grading, "_there", lambda folder: folder == grading.NUMPY)
    measured.setenv("COLUMNS", "80")
    measured.delenv("NBGRADER", raising=False)
    assert cli.main(["--only", "grading"]) == 0
    printed = capsys.readouterr().out
    for word in ("200 submissions", "≤ 300 ms", "200 ms", "0.025", "1.70", "not installed", grading.INSTALL,
                 "no assignments/03_of_the_test"):  # fmt: skip
        assert word in printed, word
    assert "TensorFlow 2" not in printed


def test_json_with_nbgrader(measured, capsys):
    measured.setenv("NBGRADER", "/x/nbgrader")
    assert cli.main(["--only", "grading", "--json", "--strict"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["nbgrader"], report["notes"]) == ("nbgrader version 0.9.6", [])
    assert "tensorflow" not in report
    assert [row["met"] for row in report["rows"]] == [True, True, True, None, None, True, None]
    assert report["rows"][3]["ratio"] == 7.5


def test_without_what_grading_needs_its_rows_are_left_out(measured, capsys):
    measured.setattr(grading, "available", lambda: False)
    assert cli.main(["--only", "grading", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == []
    assert grading.OURS in report["notes"][0]


def test_a_wrong_name_for_nbgrader_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("NBGRADER", str(tmp_path / "nowhere"))
    with contextlib.suppress(SystemExit):
        cli.main(["--only", "grading"])
    assert "there is none at" in capsys.readouterr().err
    monkeypatch.delenv("NBGRADER")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert grading.command() is None


def test_the_measuring_process_imports_no_tensorflow():
    code = "import sys, benchmarks.__main__; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=grading.ROOT).returncode == 0


def test_one_question_of_an_assignment(tmp_path):
    """What is left of assignment 3 is a whole assignment: its checks, its wrong answers, and nothing that trains."""
    from course_cnn.grading.assignment import Assignment
    from tests.grading.ordinary import ordinary

    out = grading.one_question(grading.TENSORFLOW, grading.BUILDING, tmp_path / "part")
    part, whole = Assignment(out), Assignment(grading.TENSORFLOW)
    assert [question.name for question in part.questions] == [grading.BUILDING]
    assert [c.name for c in part.checks] == [c.name for c in whole.checks if c.question == grading.BUILDING]
    submissions = ordinary(out, 8)
    assert len(submissions) == 8
    assert len({one.score(part) for one in submissions}) > 2
    assert "def train" not in json.dumps(submissions[0].notebook)
