"""The five assignments: they release, ordinary submissions get their marks, and wrong answers lose what they should."""

import csv
import json
import time

import pytest

from course_cnn.grading.assignment import Assignment
from course_cnn.grading.batch import grade_folder
from course_cnn.grading.release import release
from course_cnn.grading.source import read_source, text_of
from tests.grading.ordinary import FOLDERS, ordinary, packed, reference, write_class, wrong_answers

NAMES = [folder.name for folder in FOLDERS]
TENSORFLOW = {folder.name for folder in FOLDERS if "tensorflow" in Assignment(folder).settings.preload}
EACH = [pytest.param(f, id=f.name, marks=[pytest.mark.slow] if f.name in TENSORFLOW else []) for f in FOLDERS]


def marks(out):
    with open(out / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student"]: float(row["score"]) for row in csv.DictReader(file)}


def test_the_five_are_here():
    assert NAMES == ["01_convolution", "02_backpropagation", "03_lenet", "04_resnet", "05_transfer"]


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_each_has_its_parts(folder):
    assignment, wrong = Assignment(folder), wrong_answers(folder)
    assert 20 <= assignment.max_score <= 24
    assert 8 <= len(wrong) <= 20
    for question in assignment.questions:
        checks = assignment.checks_of(question)
        assert question.manual or {check.hidden for check in checks} == {True, False}, question.name
        assert question.manual or question.free_points == 0
    names = {check.name: check for check in assignment.checks}
    for name, one in wrong.items():
        assert one["why"], name
        assert set(one["loses"]) <= set(names), name
        assert one["loses"], name
    hit = {names[check].question for one in wrong.values() for check in one["loses"]}
    assert hit == {question.name for question in assignment.questions if not question.manual}
    first = text_of(read_source(assignment.source)["cells"][0])
    assert f"{assignment.settings.minutes} minutes" in first


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_the_source_is_ready_for_nbgrader(folder):
    assignment = Assignment(folder)
    cells = [cell["metadata"].get("nbgrader", {}) for cell in read_source(assignment.source)["cells"]]
    points = {cell["grade_id"]: cell["points"] for cell in cells if cell.get("grade")}
    wanted = {q.name if q.manual else f"{q.name}_tests": q.points for q in assignment.questions}
    assert points == wanted
    assert all(cell["schema_version"] == 3 for cell in cells if cell)


@pytest.mark.parametrize("folder", EACH)
def test_the_starter_is_what_release_makes(folder, tmp_path):
    """`make assignments` writes it anew; release itself tries the reference and the untouched version."""
    for path in release(folder, tmp_path):
        assert path.read_bytes() == (folder / "starter" / path.name).read_bytes(), f"run make assignments: {path.name}"


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_the_starter_holds_no_secret(folder):
    assignment = Assignment(folder)
    text = "".join(path.read_text(encoding="utf-8") for path in (folder / "starter").iterdir())
    for check in assignment.checks:
        if check.hidden:
            assert f"def {check.name}(" not in text
            assert check.title not in text
    assert "BEGIN SOLUTION" not in text
    assert "HIDDEN TESTS" not in text


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_a_student_meets_short_cells_with_one_answer_each(folder):
    """What is longer than a screen of a laptop holds is two answers, or belongs in `course_cnn`."""
    book = json.loads((folder / "starter" / f"{Assignment(folder).name}.ipynb").read_text(encoding="utf-8"))
    for cell in book["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert len(text.splitlines()) <= 24, text
            assert text.count("# YOUR CODE HERE") <= 1, text


def compare(folder, submissions, out, **options):
    """Grade submissions and compare every mark with the truth; say which checks differ."""
    assignment, handed_in = Assignment(folder), out / "handed in"
    write_class(handed_in, submissions)
    grade_folder(folder, handed_in, out / "out", **options)
    for one in submissions:
        result = json.loads((out / "out" / one.name / "results.json").read_text(encoding="utf-8"))
        failed = {test["name"]: test["message"] for test in result["tests"] if not test["passed"]}
        assert set(failed) == one.loses, f"{one.name}: {failed}"
        assert not any("problem" in test for test in result["tests"]), one.name
        assert marks(out / "out")[one.name] == pytest.approx(one.score(assignment))


@pytest.mark.parametrize("folder", [f for f in FOLDERS if f.name not in TENSORFLOW], ids=lambda f: f.name)
@pytest.mark.parametrize("jobs", [1, 2])
def test_ordinary_submissions_get_their_marks(folder, jobs, tmp_path):
    submissions = ordinary(folder)
    assert len(submissions) == 20
    compare(folder, submissions, tmp_path, jobs=jobs)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [f for f in FOLDERS if f.name in TENSORFLOW], ids=lambda f: f.name)
def test_wrong_answers_of_networks_lose_what_they_should(folder, tmp_path):
    """All of them, several in one submission; `tools/check_assignments.py` grades the twenty, again and again."""
    submissions = packed(folder)
    assert len(submissions) < len(wrong_answers(folder))
    compare(folder, submissions, tmp_path, jobs=2)


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_every_check_has_a_title(folder):
    """What students read is a line of its own, not the name of a function."""
    assignment = Assignment(folder)
    for check in assignment.checks:
        assert check.title != check.name, f"{check.name} has no title"
        assert len(check.title) < 90


@pytest.mark.slow
def test_a_class_grades_with_flat_memory(tmp_path):
    """Two hundred copies with small changes; `tools/check_assignments.py --copies` measures the class of 2,000."""
    import resource

    folder = FOLDERS[0]
    book = reference(folder)
    sizes = []
    for round_ in range(2):
        handed_in = tmp_path / f"class{round_}"
        for i in range(100):
            (handed_in / f"s{i:03}").mkdir(parents=True)
            book["cells"][0]["source"] = f"# copy {round_} {i}"
            (handed_in / f"s{i:03}" / "work.ipynb").write_text(json.dumps(book), encoding="utf-8")
        started = time.monotonic()
        grade_folder(folder, handed_in, tmp_path / f"out{round_}", jobs=2)
        assert time.monotonic() - started < 300
        assert set(marks(tmp_path / f"out{round_}").values()) == {Assignment(folder).max_score}
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert sizes[1] - sizes[0] < 30_000  # KB that a hundred more submissions added
