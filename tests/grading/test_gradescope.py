"""The zip for Gradescope: what is in it, and what it answers when it is laid out and run as the platform does it."""

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import jsonschema
import pytest

from course_cnn.cli import main as command
from course_cnn.grading import grade, gradescope
from course_cnn.grading.assignment import Assignment, Late
from course_cnn.grading.source import AssignmentError
from tests.grading.conftest import CHECKS, TOML, cell, make_assignment, solved
from tests.grading.ordinary import FOLDERS, ROOT, edited, reference, wrong_answers

CONVOLUTION = ROOT / "assignments" / "01_convolution"
SCHEMA = json.loads((ROOT / "course_cnn" / "grading" / "gradescope.schema.json").read_text(encoding="utf-8"))
LATE = "[late]\ndue = 2026-12-01T12:00:00Z\ntable = [[0, 10], [24, 50]]\n"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Gradescope's machines run Linux")


def unpack(archive, root):
    """Lay out the folders as the platform does, with the modes that are in the zip."""
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            Path(file.extract(info, root / "source")).chmod(info.external_attr >> 16)
    shutil.copy2(root / "source" / "run_autograder", root / "run_autograder")


def hand_in(root, files, metadata=None):
    """Put files of a student into the platform's folders: {name: notebook, text or bytes}."""
    shutil.rmtree(root / "submission")
    (root / "submission").mkdir()
    for name, content in files.items():
        path = root / "submission" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    data = metadata if isinstance(metadata, str) else json.dumps(described() if metadata is None else metadata)
    (root / "submission_metadata.json").write_text(data, encoding="utf-8")


def described(created_at="2026-11-30T12:00:00.000000-07:00", due_date="2026-12-01T12:00:00.000000-07:00", **user):
    """The platform's metadata of a submission."""
    user = {"email": "ana@example.com", "id": 1234, "name": "Ana", **user}
    return {
        "id": 123456, "created_at": created_at, "submission_method": "upload", "users": [user],
        "assignment": {"due_date": due_date, "late_due_date": None, "title": "Tiny", "total_points": "9.0", "id": 258},
        "previous_submissions": [],
    }  # fmt: skip


def read(root):
    written = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    jsonschema.validate(written, SCHEMA)
    return written


@pytest.fixture
def platform(tmp_path, capsys):
    """platform(files, metadata=None, …) -> (results, what the instructor reads): the tiny assignment, in process."""

    def grade_one(files, metadata=None, **changes):
        root = tmp_path / f"autograder-{len(list(tmp_path.iterdir()))}"
        for name in ("source", "submission", "results"):
            (root / name).mkdir(parents=True)
        make_assignment(root / "source" / "assignment", **changes)
        hand_in(root, files, metadata)
        gradescope.main([str(root)])
        return read(root), capsys.readouterr().out

    return grade_one


def test_the_schema_is_one_and_refuses_what_is_wrong():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(gradescope.failed(), SCHEMA)
    for change in ({"score": -1}, {"score": None}, {"output": ""}, {"visibility": "all"}, {"tests": [{}]}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(gradescope.failed() | change, SCHEMA)


def test_full_marks(platform):
    essay = cell("## Answer: essay\n\nThree words here.", "markdown")
    book = solved()
    book["cells"].append(essay)
    result, said = platform({"tiny.ipynb": book})
    assert result["score"] == 5
    assert result["output"] == "2 of 2 visible checks passed."
    shown = [(t["number"], t["name"], t["visibility"], t.get("score"), t.get("max_score")) for t in result["tests"]]
    assert shown == [
        ("1.1", "double: Twice three", "visible", 1, 1),
        ("1.2", "double: Twice some numbers", "after_published", 2, 2),
        ("2.1", "mean: The mean of two", "visible", 1, 1),
        ("2.2", "mean: The mean of many", "after_published", 1, 1),
        ("3", "essay: In words", "visible", None, None),
    ]
    assert result["tests"][4]["output"] == "Graded by hand, for up to 4 points. Your text has 3 words."
    assert result["extra_data"]["status"] == "needs manual grade"
    assert result["extra_data"]["isolation"]["process"]
    assert result["extra_data"]["max_score"] == 9
    assert said.startswith("Ana: 5 points, needs manual grade.")


def test_a_wrong_answer_tells_what_is_visible_and_no_more(platform):
    wrong = solved("print('noise')", "1 / 0", double="def double(x):\n    return 6 if np.ndim(x) == 0 else x")
    result, said = platform({"tiny.ipynb": wrong})
    assert result["score"] == 3
    passed = {test["extra_data"]["check"]: test["status"] for test in result["tests"] if "score" in test}
    assert passed == {"of_three": "passed", "of_drawn_numbers": "failed", "of_two": "passed", "of_many": "passed"}
    assert "2 of 2 visible checks passed." in result["output"]
    assert "cell 5: ZeroDivisionError: division by zero" in result["output"]
    text = json.dumps(result)
    assert "Each number counts" not in text  # the hint of a hidden check
    assert "noise" not in text
    assert "0/2 double.of_drawn_numbers (hidden)" in said  # the instructor reads both
    assert "Each number counts" in said
    assert "noise" in said


def test_a_visible_check_says_what_to_look_at(platform):
    result, _ = platform({"tiny.ipynb": solved(double="def double(x):\n    return x")})
    assert "Add the number to itself." in result["tests"][0]["output"]
    assert "1 of 2 visible checks passed." in result["output"]


def test_what_the_system_did_not_give_is_said(platform, monkeypatch):
    monkeypatch.setenv("COURSE_CNN_NAMESPACES", "0")
    result, said = platform({"tiny.ipynb": solved()})
    assert result["score"] == 5
    assert result["extra_data"]["isolation"]["namespaces"] is False
    assert "Isolation: this system did not give namespaces, network" in said


def test_hidden_checks_may_stay_hidden(platform):
    toml = 'feedback = "hidden"\n' + TOML
    result, _ = platform({"tiny.ipynb": solved(mean="def mean(x):\n    return 1.5")}, toml=toml)
    hidden = [test for test in result["tests"] if test["visibility"] == "hidden"]
    assert [test["extra_data"]["check"] for test in hidden] == ["of_drawn_numbers", "of_many"]
    assert "Divide by how many there are." in hidden[1]["output"]  # only the instructor sees it


@pytest.mark.parametrize(
    "files, says",
    [
        ({}, "There is no notebook (.ipynb) in your submission: it is empty."),
        ({"tiny.py": "x", "notes/a.txt": "x"}, "no notebook (.ipynb) in your submission: it holds tiny.py, a.txt"),
        ({"tiny.ipynb": '{"cells": ['}, "tiny.ipynb is not a complete notebook"),
        ({"tiny.ipynb": b""}, "tiny.ipynb is empty"),
        ({"tiny.ipynb": b"\xff\x00\x9f" * 99}, "tiny.ipynb is not text"),
        (
            {"a.ipynb": solved(), "b.ipynb": solved()},
            "There are 2 notebooks in your submission and none is called tiny",
        ),
        (
            {"a/tiny.ipynb": solved(), "b/tiny.ipynb": solved()},
            "2 of them are called tiny.ipynb; hand in that one alone.",
        ),
    ],
)
def test_what_cannot_be_graded(platform, files, says):
    result, _ = platform(files)
    assert result["score"] == 0
    assert result["tests"] == []
    assert result["output"].startswith("This submission could not be graded. ")
    assert says in result["output"]
    assert result["extra_data"]["reason"] in result["output"]


@pytest.mark.parametrize(
    "files",
    [
        {"my work (1).ipynb": solved()},
        {"tiny.ipynb": solved(), "other.ipynb": "junk", "data.csv": "1,2"},
        {"repository/work/tiny.ipynb": solved(), "repository/other.ipynb": "junk", ".git/tiny.ipynb": "junk"},
        {"tiny.ipynb": solved(), "old/tiny.ipynb": "junk", ".ipynb_checkpoints/tiny-checkpoint.ipynb": "junk"},
        {"__MACOSX/tiny.ipynb": "junk", "tiny.ipynb": solved()},
    ],
)
def test_the_notebook_is_found(platform, files):
    assert platform(files)[0]["score"] == 5


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "tiny.ipynb").symlink_to("/etc/passwd")
    path = gradescope.find_notebook(tmp_path, "tiny")
    with pytest.raises(gradescope.submissions.Unreadable, match="is a link to somewhere else"):
        gradescope.submissions.read_bytes(path)


def test_a_hanging_notebook(platform):
    result, _ = platform({"tiny.ipynb": solved("while True:\n    pass")})
    assert result["score"] == 5  # the answers stand before it
    assert "cell 4: This cell took longer than 2 s" in result["output"]
    result, _ = platform({"tiny.ipynb": solved(mean="def mean(x):\n    while True:\n        pass")})
    assert result["score"] == 3
    assert "took longer than the 2 s that this question has" in result["tests"][2]["output"]


def test_late_work_loses_what_the_table_says(platform):
    late = described(created_at="2026-12-01T22:00:00-07:00")
    result, said = platform({"tiny.ipynb": solved()}, late, toml=TOML + LATE)
    assert result["score"] == 4.5
    assert "Handed in 10.0 hours late: 10 % is taken off the points of the checks." in result["output"]
    assert result["extra_data"]["late"] == {"hours": 10, "percent": 10}
    assert result["extra_data"]["raw_score"] == 5
    assert sum(test.get("score", 0) for test in result["tests"]) == 5  # the total above wins
    assert said.startswith("Ana: 4.5 points")
    assert platform({"tiny.ipynb": solved()}, late)[0]["score"] == 5  # an assignment without a table


@pytest.mark.parametrize(
    "metadata, hours",
    [
        (described(), -24),
        (described(created_at="2026-12-01T20:00:00Z"), 1),  # the platform's date wins over that of assignment.toml
        (described(created_at="2026-12-01T20:00:00"), 1),  # taken as UTC
        (described(created_at="2026-12-02T19:00:00Z", assignment={"due_date": "2026-12-02T12:00:00-07:00"}), 0),
        (described(created_at="2026-12-02T19:00:00Z", assignment={"due_date": None}), 24),
        (described(created_at="2026-12-02T19:00:00Z", assignment="?", name=None), 24),
        (described(created_at="2026-12-02T12:00:00Z", due_date=None), 24),
        (described(created_at="2026-12-02T12:00:00Z", due_date="soon"), 24),
        ({"created_at": "2026-12-02T12:00:00Z"}, 24),
        ({"created_at": "2026-12-02T12:00:00Z", "users": {"a": 1}, "assignment": [1]}, 24),
        (described(created_at=None), None),
        (described(created_at=17), None),
        (described(created_at="yesterday"), None),
        ({}, None),
    ],
)
def test_hours_late(metadata, hours):
    late = Late(due="2026-12-01T12:00:00Z", table=[(0, 10)])
    assert gradescope.hours_late(metadata, late) == hours
    assert gradescope.hours_late(metadata, None) is None


def test_in_a_group_the_latest_extension_counts():
    metadata = described(created_at="2026-12-03T00:00:00Z")
    metadata["users"] += [{"name": name, "assignment": {"due_date": f"2026-12-0{day}T00:00:00Z"}} for name, day in
                          (("Ben", 2), ("Eva", 3))] + [None]  # fmt: skip
    assert gradescope.hours_late(metadata, Late(due="2026-12-01T12:00:00Z", table=[(0, 10)])) == 0
    assert gradescope._student(metadata) == "Ana, Ben, Eva"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"users": [{"name": 3}]}', "[" * 100_000, '{"users": "\\ud800"}', "\xff", None]
)
def test_odd_metadata_do_not_matter(tmp_path, text):
    path = tmp_path / "submission_metadata.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    metadata = gradescope._metadata(path)
    assert gradescope._student(metadata) == "not known"
    assert gradescope.hours_late(metadata, Late(due="2026-12-01T12:00:00Z", table=[(0, 10)])) is None


def test_without_metadata_there_are_marks(platform):
    result, said = platform({"tiny.ipynb": solved()}, "?", toml=TOML + LATE)
    assert result["score"] == 5
    assert "Warning: submission_metadata.json cannot be read (JSONDecodeError); lateness is not known." in said
    assert "not known: 5 points" in said


@pytest.mark.parametrize("problem", [ValueError("a secret value"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_our_own_failure_is_said(platform, monkeypatch, problem):
    def fail(*_, **__):
        raise problem

    monkeypatch.setattr(grade, "grade_file", fail)
    result, said = platform({"tiny.ipynb": solved()})
    assert result["score"] == 0
    assert result["output"] == gradescope.APOLOGY
    assert result["extra_data"]["status"] == "could not be graded"
    assert said.startswith("The autograder itself failed:\nTraceback")
    assert "in fail" in said


def test_a_broken_assignment_is_our_own_failure(platform):
    result, said = platform({"tiny.ipynb": solved()}, checks="import nothing_of_that_name")
    assert result["output"] == gradescope.APOLOGY
    assert "nothing_of_that_name" in said


def test_folders_are_closed_before_anything_runs(tmp_path, monkeypatch, capsys):
    root, seen = tmp_path / "autograder", {}
    for name in ("source/venv", "source/course", "submission", "results"):
        (root / name).mkdir(parents=True)
    make_assignment(root / "source" / "assignment")
    hand_in(root, {"tiny.ipynb": solved()})
    (root / "source" / "setup.sh").touch(0o755)

    def look(*_, **__):
        paths = [root, *root.iterdir(), *(root / "source").iterdir()]
        seen.update({path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in paths})
        raise RuntimeError

    monkeypatch.setattr(grade, "fork_server", look)
    gradescope.main([str(root)])
    environment = seen.pop("source/venv")
    assert environment & 0o055 == 0o055
    assert seen.pop(".") == seen.pop("source") == 0o711
    assert seen["source/assignment"] == 0o700
    assert {mode & 0o077 for mode in seen.values()} == {0}
    assert set(seen) == {"submission", "results", "submission_metadata.json", *(
        f"source/{name}" for name in ("assignment", "course", "setup.sh"))}  # fmt: skip


def test_modes_that_cannot_be_changed_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Path, "chmod", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    gradescope._close(tmp_path)
    assert "cannot be changed (Operation not permitted)" in capsys.readouterr().out


def test_packages_that_may_not_be_used_are_closed_in_our_own_environment_only(tmp_path, monkeypatch):
    own, other = tmp_path / "source" / "venv" / "lib" / "scipy", tmp_path / "elsewhere" / "scipy"
    own.mkdir(parents=True)
    other.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(own.parent), str(other.parent)])
    gradescope.lock(["scipy", "torch"], tmp_path)
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE(other.stat().st_mode) & 0o055 == 0o055


# The zip


def test_the_zip(tiny, tmp_path):
    out = gradescope.build(tiny, tmp_path / "new" / "autograder.zip")
    with zipfile.ZipFile(out) as archive:
        infos = archive.infolist()
        content = {info.filename: archive.read(info) for info in infos}
    names = list(content)
    assert names == sorted(names)
    assert {name for name in names if "/" not in name} == {"setup.sh", "run_autograder", "requirements.txt"}
    assert {name for name in names if name.startswith("assignment/")} == {
        "assignment/assignment.toml", "assignment/checks.py", "assignment/tiny.ipynb"}  # fmt: skip
    for name in (
        "pyproject.toml",
        "README.md",
        "course_cnn/grading/gradescope.py",
        "data/bundled_extractor/model.json",
    ):
        assert f"course/{name}" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc") or "/." in name]
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    for info in infos:
        wanted = 0o100755 if info.filename in ("setup.sh", "run_autograder") else 0o100644
        assert info.external_attr >> 16 == wanted, info.filename
    assert content["run_autograder"].startswith(b"#!/usr/bin/env bash\n")
    assert b"twice_as_much" not in b"".join(content[name] for name in names if name.startswith("assignment/"))
    says = b"Set Autograder Points to 5. Add a question to be graded by hand for essay (4).'"
    assert content["setup.sh"].splitlines()[-1].endswith(says)
    first = out.read_bytes()
    os.utime(tiny / "checks.py", (0, 0))
    assert gradescope.build(tiny, out).read_bytes() == first
    assert [path.name for path in out.parent.iterdir()] == ["autograder.zip"]


def test_the_scripts_are_bash(tiny, tmp_path):
    with zipfile.ZipFile(gradescope.build(tiny, tmp_path / "a.zip")) as archive:
        for name in ("setup.sh", "run_autograder"):
            subprocess.run(["bash", "-n"], input=archive.read(name), check=True)
    versions = "(3, 11) <= sys.version_info < (3, 14)"  # as in the Makefile
    assert versions in gradescope.SETUP
    assert versions in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_titles_cannot_break_the_script(tmp_path):
    book = make_assignment(tmp_path / "tiny") / "tiny.ipynb"
    book.rename(book.with_name("it's $(touch x) `x`.ipynb"))
    says = gradescope._quoted(gradescope._says(Assignment(book.parent)))
    said = subprocess.run(["bash", "-c", f"echo {says}"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("The autograder of it's $(touch x) `x` is ready.")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tensorflow_is_installed_where_it_is_used(folder):
    assignment = Assignment(folder)
    names = {line.partition(">")[0] for line in gradescope.requirements(assignment)}
    assert {"numpy", "pydantic", "lazy-loader", "setuptools"} <= names
    assert ("tensorflow" in names) == ("tensorflow" in assignment.settings.preload)
    assert ("keras" in names) == ("tensorflow" in names)
    assert "distributed" not in names


@pytest.mark.parametrize(
    "changes, uses",
    [
        ({}, False),
        ({"checks": "from course_cnn import datasets, scratch, shapes\n" + CHECKS}, False),
        ({"checks": CHECKS.replace("    x = draw(rng)", "    import keras\n    x = draw(rng)")}, True),
        ({"checks": CHECKS + "\n\ndef helper():\n    from course_cnn import training\n"}, True),
        ({"checks": CHECKS + "\n\ndef helper():\n    import course_cnn.zoo.lenet\n"}, True),
        ({"cells": [cell("%matplotlib inline\nfrom tensorflow.keras import layers"), cell("this is no Python")]}, True),
        ({"toml": TOML.replace("minutes", 'preload = ["keras"]\nminutes')}, True),
    ],
)
def test_what_uses_tensorflow(tmp_path, changes, uses):
    assert gradescope.uses_tensorflow(Assignment(make_assignment(tmp_path / "tiny", **changes))) == uses


def test_a_broken_assignment_is_refused(tmp_path, capsys):
    out = tmp_path / "autograder.zip"
    out.write_text("the old one")
    broken = make_assignment(tmp_path / "tiny", checks=CHECKS.replace("2 * x,", "3 * x,"))
    with pytest.raises(AssignmentError, match="The reference solution fails the check 'of_drawn_numbers'"):
        gradescope.build(broken, out)
    assert out.read_text() == "the old one"
    with pytest.raises(SystemExit, match="2"):
        command(["gradescope", str(broken), "--out", str(out)])
    assert capsys.readouterr().err.startswith("course-cnn: The reference solution fails")


def test_places_that_cannot_be_written(tiny, tmp_path):
    with pytest.raises(AssignmentError, match=r"is a folder\. Name the zip, such as"):
        gradescope.build(tiny, tmp_path)
    with pytest.raises(AssignmentError, match=r"cannot be written \(.*\)\. Name another --out"):
        gradescope.build(tiny, tiny / "tiny.ipynb" / "autograder.zip")


def test_an_installed_course_is_not_enough(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(gradescope, "PACKAGE", tmp_path / "site-packages" / "course_cnn")
    with pytest.raises(AssignmentError, match="is not a clone of its repository"):
        gradescope.build(tiny, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_the_command(tiny, tmp_path, capsys):
    assert command(["gradescope", str(tiny), "--out", str(tmp_path / "a.zip")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'a.zip'}\n"


# The zip, unpacked and run. setup.sh finds an environment in place whose packages are those of this one, so pip has
# nothing to fetch; it installs the course from the copy in the zip, which is what then grades.


class Machine:
    """Gradescope's folders after setup.sh."""

    def __init__(self, root):
        self.root = root
        unpack(gradescope.build(CONVOLUTION, root / "autograder.zip"), root)
        venv = root / "source" / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        (packages,) = venv.glob("lib/python3*/site-packages")
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.setup = self._run(["bash", str(root / "source" / "setup.sh")], PIP_NO_INDEX="1")
        assert self.setup.returncode == 0, self.setup.stdout
        assert (packages / "course_cnn" / "grading" / "gradescope.py").exists()

    def _run(self, words, **environment):
        environment = {**os.environ, "COURSE_CNN_AUTOGRADER": str(self.root), **environment}
        return subprocess.run(
            words,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def grade(self, files, metadata=None, namespaces=True):
        """(results.json, what the instructor reads) of one submission."""
        hand_in(self.root, files, metadata)
        done = self._run([str(self.root / "run_autograder")], COURSE_CNN_NAMESPACES=str(int(namespaces)))
        assert done.returncode == 0, done.stdout
        return read(self.root), done.stdout


@pytest.fixture(scope="module")
def machine():
    """The platform's own folder where it may be made: the student's user must be able to pass through all above it."""
    root = Path(gradescope.ROOT)
    try:
        root.mkdir()
    except OSError:
        root = Path(tempfile.mkdtemp(prefix="autograder-"))
        root.chmod(0o755)
    try:
        yield Machine(root)
    finally:
        shutil.rmtree(root)


@pytest.mark.slow
def test_setup_says_how_to_set_the_points(machine):
    assert (
        machine.setup.stdout.splitlines()[-1] == "The autograder of convolution is ready. Set Autograder Points to 20."
    )


@pytest.mark.slow
@pytest.mark.parametrize("namespaces", [True, False])
def test_the_reference_gets_full_marks(machine, namespaces):
    result, said = machine.grade({"convolution.ipynb": reference(CONVOLUTION)}, namespaces=namespaces)
    assert result["score"] == 20, said
    assert result["output"] == "6 of 6 visible checks passed."


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rounds_up", "one_bias_for_all"])
def test_a_wrong_answer_loses_exactly_its_points(machine, name):
    wrong = wrong_answers(CONVOLUTION)[name]
    lost = {check.name: check.points for check in Assignment(CONVOLUTION).checks if check.name in wrong["loses"]}
    result, said = machine.grade({"convolution.ipynb": edited(reference(CONVOLUTION), wrong["edits"])})
    assert result["score"] == 20 - sum(lost.values()), said
    assert {test["extra_data"]["check"] for test in result["tests"] if test["status"] == "failed"} == set(lost)


@pytest.mark.slow
def test_broken_empty_and_hanging_submissions(machine):
    result, _ = machine.grade({"convolution.ipynb": '{"cells": [{'})
    assert result["score"] == 0
    assert "not a complete notebook" in result["output"]
    result, _ = machine.grade({})
    assert result["score"] == 0
    assert "it is empty" in result["output"]
    hangs = edited(
        reference(CONVOLUTION), [{"old": "return weights + filters", "new": "while True: pass\n    return filters"}]
    )
    result, _ = machine.grade({"convolution.ipynb": hangs})
    assert result["score"] == 18.5
    assert "took longer than the 5 s that this question has" in result["tests"][-3]["output"]


@pytest.mark.slow
def test_late_metadata(machine):
    toml = machine.root / "source" / "assignment" / "assignment.toml"
    before = toml.read_text(encoding="utf-8")
    toml.write_text(before + LATE, encoding="utf-8")
    try:
        late = described(created_at="2026-12-02T13:00:00-07:00")
        result, _ = machine.grade({"convolution.ipynb": reference(CONVOLUTION)}, late)
    finally:
        toml.write_text(before, encoding="utf-8")
    assert result["score"] == 10
    assert "Handed in 25.0 hours late: 50 % is taken off the points of the checks." in result["output"]


SPY = """
import os

def attempt(what, act):
    try:
        print("SPY", what, "open", repr(act())[:200])
    except OSError as error:
        print("SPY", what, "closed", type(error).__name__)

def write(path):
    with open(path, "w") as file:
        file.write('{"score": 1000}')

attempt("checks", lambda: open("ROOT/source/assignment/checks.py").read())
attempt("course", lambda: open("ROOT/source/course/course_cnn/scratch/conv.py").read())
attempt("library", lambda: open("PACKAGES/course_cnn/scratch/conv.py").read())
attempt("assignment", lambda: os.listdir("ROOT/source/assignment"))
attempt("submission", lambda: os.listdir("ROOT/submission"))
attempt("metadata", lambda: open("ROOT/submission_metadata.json").read())
attempt("results", lambda: write("ROOT/results/results.json"))
attempt("part", lambda: write("ROOT/results/results.json.part"))
attempt("removed", lambda: os.rename("ROOT/results", "ROOT/gone"))
attempt("script", lambda: write("ROOT/run_autograder"))
attempt("environment", lambda: write("PACKAGES/borrowed.pth"))
attempt("parent", lambda: open(f"/proc/{os.getppid()}/environ").read())
attempt("mode", lambda: os.chmod("ROOT/source/assignment", 0o777))
print("SPY end", os.getuid())
"""


@pytest.mark.slow
@pytest.mark.parametrize("namespaces", [True, False])
def test_a_spy_reads_no_check_and_writes_no_result(machine, namespaces):
    if not namespaces and os.geteuid() != 0:
        pytest.skip("the student's code is another user only where the grader is root")
    (packages,) = (machine.root / "source" / "venv").glob("lib/python3*/site-packages")
    book = reference(CONVOLUTION)
    book["cells"].insert(0, cell(SPY.replace("ROOT", str(machine.root)).replace("PACKAGES", str(packages))))
    result, said = machine.grade({"convolution.ipynb": book}, namespaces=namespaces)
    told = [line.split()[1:3] for line in said.splitlines() if line.startswith("SPY")]
    assert told[-1][0] == "end", said
    assert len(told) == 14
    assert [what for what, how in told[:-1] if how != "closed"] == [], said
    if not namespaces:  # what is closed is there, and it is closed because of its mode
        assert said.count(" closed PermissionError") == 13, said
    assert result["score"] == 20
    assert "SPY" not in json.dumps(result)


@pytest.mark.slow
def test_without_python_there_is_still_a_result(machine):
    venv = machine.root / "source" / "venv"
    venv.rename(venv.with_name("away"))
    try:
        result, said = machine.grade({"convolution.ipynb": reference(CONVOLUTION)})
    finally:
        venv.with_name("away").rename(venv)
    assert result == gradescope.failed()
    assert "No such file or directory" in said
