"""Release: what students get holds nothing secret, and a broken assignment is the instructor's error, said as such."""

import json
import os

import nbformat
import pytest

from course_cnn.cli import main
from course_cnn.grading import source
from course_cnn.grading.assignment import Assignment
from course_cnn.grading.checks import load_checks
from course_cnn.grading.release import release
from course_cnn.grading.source import AssignmentError
from tests.grading.conftest import CHECKS, DOUBLE, ESSAY, MEAN, TESTS, TOML, cell, make_assignment


def written(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_what_is_written(tiny, tmp_path):
    paths = release(tiny, tmp_path / "out")
    assert sorted(path.name for path in paths) == ["tiny.ipynb", "tiny_checks.py"] == sorted(written(tmp_path / "out"))
    book = json.loads((tmp_path / "out" / "tiny.ipynb").read_text())
    nbformat.validate(nbformat.from_dict(book))
    texts = [c["source"] for c in book["cells"]]
    assert (
        'def double(x):\n    """Return twice x, a number or an array."""\n'
        "    # YOUR CODE HERE\n    raise NotImplementedError()" in texts
    )
    assert "### Answer: essay\n\nYOUR ANSWER HERE" in texts
    assert texts[-1].endswith('grading.check("tiny")')
    checks = load_checks(tmp_path / "out" / "tiny_checks.py")
    assert [(check.name, check.hidden) for check in checks] == [("of_three", False), ("of_two", False)]


def test_not_one_byte_of_a_secret(tiny, tmp_path):
    release(tiny, tmp_path / "out")
    text = "".join(written(tmp_path / "out").values())
    for secret in ("twice_as_much", "float(np.sum", "model answer", "987654", "1975308", "SECRET", "of_drawn",
                   "of_many", "Twice some", "Each number", "rng.normal", "hidden(", "draw", "BEGIN",
                   "END SOLUTION"):  # fmt: skip
        assert secret not in text, secret
    assert "Twice three" in text  # the test looks at what is there


def test_outputs_and_metadata_of_the_source_stay_behind(tmp_path):
    cells = [cell(DOUBLE, secret="metadata secret"), cell(MEAN), cell(ESSAY, "markdown"), cell("import numpy as np")]
    cells[0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "output secret"}]
    cells[0]["execution_count"] = 7
    release(make_assignment(tmp_path / "tiny", cells=[cells[3], *cells[:3]]), tmp_path / "out")
    text = "".join(written(tmp_path / "out").values())
    assert "output secret" not in text
    assert "metadata secret" not in text


def test_writing_again_replaces_and_gives_the_same(tiny, tmp_path):
    release(tiny, tmp_path / "out")
    first = written(tmp_path / "out")
    (tmp_path / "out" / "tiny.ipynb").write_text("old")
    release(tiny, tmp_path / "out", seed=5)
    assert written(tmp_path / "out") == first


def refused(tmp_path, match, **changes):
    folder = make_assignment(tmp_path / "tiny", **changes)
    with pytest.raises(AssignmentError, match=match):
        release(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_reference_without_full_marks(tmp_path):
    cells = [cell("import numpy as np"), cell(DOUBLE), cell(MEAN.replace("len(x)", "3")), cell(ESSAY, "markdown")]
    refused(tmp_path, r"reference solution fails the check 'of_two' of 'mean': Your answer was 1\.0", cells=cells)


def test_a_missing_solution(tmp_path):
    cells = [cell("import numpy as np"), cell(DOUBLE), cell(ESSAY, "markdown")]
    refused(tmp_path, "fails the check 'of_two' of 'mean': There is no `mean` in the notebook", cells=cells)


def test_no_solution_markers_at_all(tmp_path):
    refused(tmp_path, "has no solution. Put each between ### BEGIN SOLUTION", cells=[cell("x = 1")])


def test_an_untouched_version_with_points(tmp_path):
    easy = CHECKS.replace('expect_close(answers.mean([1.0, 2.0]), 1.5, "Divide by how many there are.")', "pass")
    refused(tmp_path, "untouched student version gets 1 points for 'mean', from of_two. Mend those", checks=easy)
    toml = TOML.replace('title = "The mean"', 'title = "The mean"\nfree_points = 1')  # the remedy of the message
    release(make_assignment(tmp_path / "tiny", checks=easy, toml=toml), tmp_path / "out")


def test_a_check_that_raises(tmp_path):
    bad = CHECKS.replace("x = rng.normal(size=7)", "x = rng.normal(size=7) / undefined_name")
    refused(tmp_path, "check 'of_many' raises with the reference solution: NameError.*checks.py, line", checks=bad)


def test_a_module_to_preload_that_does_not_import(tmp_path):
    toml = TOML.replace("unavailable", 'preload = ["numpy", "no_such_module"]\nunavailable')
    refused(tmp_path, r"No worker starts for this assignment: .*preload in assignment\.toml", toml=toml)


def test_a_cell_of_the_reference_that_raises(tmp_path):
    cells = [cell("import numpy as np"), cell(DOUBLE), cell(MEAN), cell(ESSAY, "markdown"), cell("1 / 0")]
    refused(tmp_path, "Code cell 4 of the reference solution goes wrong: ZeroDivisionError", cells=cells)


@pytest.mark.parametrize(
    "change, match",
    [
        ({"toml": TOML.replace("points = 3", "points = 4")},
         "'double' is worth 4 points, but its 2 checks add up to 3"),
        ({"toml": TOML.replace('"Tiny"', "Tiny")}, "is not TOML"),
        ({"toml": TOML.replace("minutes = 5", "minuets = 5")}, "minutes: Field required.*minuets: Extra inputs"),
        ({"toml": TOML.replace("time_limit = 12", "time_limit = -1")}, "time_limit: Input should be greater than 0"),
        ({"toml": TOML.replace('name = "mean"', 'name = "double"')}, "names must be different"),
        ({"toml": TOML + "[late]\ndue = 2026-12-01T12:00:00\ntable = [[0, 10]]"}, "due needs an offset from UTC"),
        ({"toml": TOML + "[late]\ndue = 2026-12-01T12:00:00Z\ntable = [[5, 10], [0, 20]]"}, "hours must rise"),
        ({"checks": CHECKS.replace('"mean", points=1)\ndef of_many', '"median", points=1)\ndef of_many')},
         "'of_many' belongs to the question 'median'"),
        ({"checks": CHECKS.replace("def of_many", "def of_two")}, "two checks called 'of_two'"),
        ({"checks": CHECKS + "\n@hidden('essay', points=4)\ndef words(a, r):\n    pass"},
         "'words' checks 'essay', which is graded by hand"),
        ({"checks": "import nothing_of_that_name"}, "does not load: ModuleNotFoundError"),
        ({"checks": "def f(:"}, "does not load: SyntaxError"),
        ({"cells": [cell(DOUBLE.replace("### END SOLUTION", ""))]},
         "cell 1 of the source: ### BEGIN SOLUTION without ### END"),
        ({"cells": [cell("x = 1 ### BEGIN SOLUTION")]}, "a marker must stand on a line of its own"),
        ({"cells": [cell("### END SOLUTION")]}, "### END SOLUTION without ### BEGIN"),
        ({"cells": [cell("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION")]}, "stands inside another"),
    ],
    ids=range(16),
)  # fmt: skip
def test_a_broken_assignment_is_found_and_said(tmp_path, change, match):
    refused(tmp_path, match, **change)


def test_missing_files(tmp_path):
    folder = make_assignment(tmp_path / "tiny")
    for name, match in (
        ("checks.py", "is missing"),
        ("assignment.toml", "cannot be read"),
        ("tiny.ipynb", "must hold one source"),
    ):
        text = (folder / name).read_text()
        (folder / name).unlink()
        with pytest.raises(AssignmentError, match=match):
            release(folder, tmp_path / "out")
        (folder / name).write_text(text)
    (folder / "second.ipynb").write_text("{}")
    with pytest.raises(AssignmentError, match=r"it holds second\.ipynb, tiny\.ipynb"):
        release(folder, tmp_path / "out")
    with pytest.raises(AssignmentError, match="There is no folder"):
        Assignment(tmp_path / "nothing")


def test_a_visible_check_that_needs_a_hidden_one(tmp_path):
    leaky = CHECKS.replace(
        "expect_close(answers.mean([1.0, 2.0])", "of_many\n    expect_close(answers.mean([1.0, 2.0])"
    )
    refused(tmp_path, "a visible check uses the hidden check 'of_many'", checks=leaky)


def test_a_solution_line_repeated_in_a_given_cell_is_the_authors_choice_elsewhere_it_is_refused(tmp_path):
    cells = [
        cell("import numpy as np"),
        cell(DOUBLE),
        cell(MEAN),
        cell(ESSAY, "markdown"),
        cell("x = 3\ntwice_as_much = 2 * x"),
    ]
    release(make_assignment(tmp_path / "tiny", cells=cells), tmp_path / "out")


def test_the_source_is_never_overwritten(tiny):
    before = (tiny / "tiny.ipynb").read_bytes()
    with pytest.raises(AssignmentError, match="its source would be replaced"):
        release(tiny, tiny)
    assert (tiny / "tiny.ipynb").read_bytes() == before


def test_indented_solutions_keep_their_indentation():
    book = {
        "cells": [
            cell("if True:\n    for i in x:\n        ### BEGIN SOLUTION\n        y = i\n        ### END SOLUTION")
        ]
    }
    (only,) = source.student_notebook(book)["cells"]
    assert only["source"] == "if True:\n    for i in x:\n        # YOUR CODE HERE\n        raise NotImplementedError()"


def test_a_cell_of_hidden_tests_alone_goes_whole():
    book = {"cells": [cell(DOUBLE), cell("### BEGIN HIDDEN TESTS\nassert 1\n### END HIDDEN TESTS"), cell(TESTS)]}
    assert [c["source"] for c in source.student_notebook(book)["cells"]][1:] == [TESTS.splitlines()[0]]


def test_the_command(tiny, tmp_path, capsys):
    assert main(["release", str(tiny), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {tmp_path}/out/tiny.ipynb",
        f"wrote {tmp_path}/out/tiny_checks.py",
    ]
    (tiny / "checks.py").write_text("")
    with pytest.raises(SystemExit) as caught:
        main(["release", str(tiny), "--out", str(tmp_path / "other")])
    assert caught.value.code == 2
    assert "course-cnn: The question 'double' is worth 3 points, but its 0 checks" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tiny, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(AssignmentError, match=r"cannot be written to.*Name another --out"):
        release(tiny, tmp_path / "locked")
