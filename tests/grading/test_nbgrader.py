"""Our source notebooks in nbgrader itself: it releases them, gives full marks to the reference and none to stubs."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from course_cnn.grading import source as sources
from course_cnn.grading.assignment import Assignment
from tests.grading.ordinary import FOLDERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("nbgrader"), reason='needs nbgrader: pip install -e ".[bench]"'),
]

# What `nbgrader generate_assignment` and `nbgrader autograde` do, through nbgrader's own interface in one process: the
# source is released, the source and the untouched release are handed in and graded.
NBGRADER = """
import json, shutil, sys
from pathlib import Path

from nbgrader.apps import NbGraderAPI
from traitlets.config import Config

root, name = Path.cwd(), sys.argv[1]
config = Config()
config.CourseDirectory.root = str(root)
config.CourseDirectory.course_id = "course"
config.Exchange.root = str(root / "exchange")
config.Execute.timeout = 300
api = NbGraderAPI(config=config)


def done(answer):
    if not answer["success"]:
        sys.exit(f"{answer['log']} {answer.get('error')}")


done(api.generate_assignment(name))
for student, handed_in in {"reference": "source", "untouched": "release"}.items():
    shutil.copytree(root / handed_in / name, root / "submitted" / student / name)
    done(api.autograde(name, student))
with api.gradebook as book:
    grades = {
        one.student.id: {
            grade.name: [grade.auto_score, grade.max_score, grade.needs_manual_grade]
            for notebook in one.notebooks for grade in notebook.grades
        }
        for one in book.assignment_submissions(name)
    }
(root / "grades.json").write_text(json.dumps(grades))
"""


def nbgrader(root, source):
    """(released notebook, {student: {cell: [points given, points at most, whether a person has to look]}})"""
    name = source.stem
    (root / "exchange").mkdir(parents=True)
    (root / "source" / name).mkdir(parents=True)
    shutil.copy(source, root / "source" / name)
    settings = "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"  # none of the user's own
    environment = {
        **os.environ, **{setting: str(root / setting.lower()) for setting in settings},
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",  # it runs `alembic` by its name
    }  # fmt: skip
    words = [sys.executable, "-c", NBGRADER, name]
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    released = root / "release" / name / source.name
    return released.read_text(encoding="utf-8"), json.loads((root / "grades.json").read_text(encoding="utf-8"))


def texts(notebook):
    return [(cell["cell_type"], sources.text_of(cell).rstrip()) for cell in notebook["cells"]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_nbgrader_takes_our_source(folder, tmp_path):
    assignment = Assignment(folder)
    released, grades = nbgrader(tmp_path / "course", assignment.source)
    ours = sources.student_notebook(sources.read_source(assignment.source))
    assert texts(json.loads(released)) == texts(ours)
    for marker in (*sources.SOLUTION, *sources.HIDDEN):
        assert marker not in released

    manual = {question.name for question in assignment.questions if question.manual}
    points = {q.name if q.manual else f"{q.name}_tests": q.points for q in assignment.questions}
    assert set(grades) == {"reference", "untouched"}
    for student, own in grades.items():
        assert {cell: most for cell, (_, most, _) in own.items()} == points, student
        given = {cell: got for cell, (got, _, _) in own.items() if cell not in manual}
        assert given == {cell: points[cell] if student == "reference" else 0 for cell in given}, student
        assert {cell for cell, (_, _, to_do) in own.items() if to_do} == (manual if student == "reference" else set())
