"""What a student runs: the visible checks on a notebook, in a terminal or as its last cell, with the same isolation."""

import importlib.util
import os
import sys
import time
from pathlib import Path

from course_cnn import _checks
from course_cnn.grading.batch import GradingError
from course_cnn.grading.checks import load_checks


class VisibleAssignment:
    """The visible half of an assignment, out of `NAME_checks.py`; the grader takes it for an `Assignment`."""

    def __init__(self, path):
        from course_cnn.grading.assignment import Settings

        self.source, self.folder = Path(path), Path(path).parent
        self.name = self.source.stem.removesuffix("_checks")
        self.checks = load_checks(path)
        spec = importlib.util.spec_from_file_location("_course_cnn_settings", path)
        module = importlib.util.module_from_spec(spec)
        keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = keep
        self.settings = Settings.model_validate(module.SETTINGS)
        self.questions = self.settings.questions
        self.max_score = float(sum(question.points for question in self.questions if not question.manual))

    def checks_of(self, question):
        return [check for check in self.checks if check.question == question.name]


def check(name, *, checks=None):
    """Run the visible checks of an assignment on the notebook this is called from, as saved, and print what they say.

    Args:
        name: str, the assignment's name: `"convolution"` for `convolution.ipynb`.
        checks: path of `NAME_checks.py`, where it does not lie beside the notebook.

    Raises:
        ValueError: the notebook or its checks are not found.
    """
    if os.environ.get("COURSE_CNN_GRADING"):
        return  # a grader runs this notebook: it has checks of its own
    data, file, saved = _this_notebook(name)
    path = Path(checks) if checks else find_checks(name, [Path.cwd(), Path(file).parent])
    if path is None:
        raise _checks.argument_error(
            "check", f"{name}_checks.py is not here", "Put it beside the notebook, or name it: checks='folder/file.py'",
            name=name,
        )  # fmt: skip
    print(f"{saved}\n{report(VisibleAssignment(path), check_bytes(path, Path(file).name, data))}")


def check_notebook(notebook, *, checks=None, show=None):
    """Run the visible checks on a notebook file.

    Args:
        notebook: path of the notebook.
        checks: path of `NAME_checks.py`; looked for beside the notebook if left out.

    Returns:
        (dict, str): the result as `grade` writes it, and the same as text.

    Raises:
        GradingError: the notebook or its checks are not found.
    """
    from course_cnn.grading import submission as submissions

    notebook = Path(notebook)
    if not notebook.exists():
        raise GradingError(f"There is no file {notebook}. Name your notebook, such as convolution.ipynb.")
    path = Path(checks) if checks else _checks_for(notebook)
    if not path.exists():
        raise GradingError(f"There is no file {path}. Name the file of checks that came with the assignment.")
    try:
        data = submissions.read_bytes(notebook)
    except submissions.Unreadable as error:
        raise GradingError(str(error)) from None
    result = check_bytes(path, notebook.name, data)
    return result, report(VisibleAssignment(path), result)


def check_bytes(path, name, data):
    """Run the visible checks of one file on the bytes of a notebook."""
    from course_cnn.grading import grade
    from course_cnn.grading.forkserver import SandboxError

    assignment = VisibleAssignment(path)
    seed = time.time_ns() % 2**32
    try:
        with grade.fork_server(assignment) as server:
            return grade.grade_bytes(assignment, server, "you", name, data, seed=seed, hidden=False)
    except SandboxError as error:
        raise GradingError(
            f"Your notebook was not run, and that is not its fault: {error}. Try `course-cnn doctor`."
        ) from None


def report(assignment, result):
    """What a student reads: questions, failed checks with their messages, cells that raised."""
    if result["status"] == "could not be graded":
        return f"This notebook cannot be checked. {result['reason']}"
    lines = [assignment.settings.title, ""]
    for question in result["questions"]:
        if question["manual"]:
            words = len(question["answer"].split())
            lines.append(f"  {question['name']:<24} by hand   your text has {words} words")
            continue
        tests = [test for test in result["tests"] if test["question"] == question["name"]]
        passed = sum(test["passed"] for test in tests)
        lines.append(f"  {question['name']:<24} {passed} of {len(tests)} visible checks")
        for test in tests:
            if not test["passed"]:
                lines += [f"    - {test['title']}", f"      {test['message']}"]
    # Cells that try an answer which is not written yet are no news: the checks above say so.
    if cells := [cell for cell in result["cells"] if not cell["error"].startswith("NotImplementedError")]:
        lines += ["", "  Code cells that went wrong (counted from the top):"]
        lines += [f"    cell {cell['cell']}: {cell['error']}" for cell in cells[:10]]
    tests = result["tests"]
    passed = sum(test["passed"] for test in tests)
    lines += ["", f"{passed} of {len(tests)} visible checks passed. Hidden checks run when your work is graded."]
    return "\n".join(lines)


def find_checks(name, folders):
    """`NAME_checks.py` in one of the folders, else in a clone of the course there, below or above; or None."""
    file = f"{name}_checks.py"
    for folder in map(Path, folders):
        roots = folder, folder / "course-cnn", *folder.parents[:2]
        starters = [path for root in roots for path in sorted(root.glob(f"assignments/*/starter/{file}"))]
        for path in (folder / file, *starters):
            if path.is_file():
                return path
    return None


def _checks_for(notebook):
    """The checks beside a notebook: those of its name, else the only ones there."""
    folder, stem = notebook.parent, notebook.stem
    beside = sorted(folder.glob("*_checks.py"))
    named = [path for path in beside if path.stem.removesuffix("_checks") in stem]
    if len(named or beside) == 1:
        return (named or beside)[0]
    if found := find_checks(stem, [folder.resolve()]):
        return found
    what = "no file NAME_checks.py" if not beside else "several files of checks"
    raise GradingError(
        f"There is {what} beside {notebook}. Put the one that came with the assignment there, or use --checks."
    )


def _this_notebook(name):
    """(bytes, file, a line about what is checked) of the notebook that calls: its file, or Colab's own copy."""
    if "google.colab" in sys.modules:
        import json

        from google.colab import _message

        book = _message.blocking_request("get_ipynb", timeout_sec=30)["ipynb"]
        return json.dumps(book).encode(), f"{name}.ipynb", "Checking this notebook as it stands."
    session = os.environ.get("JPY_SESSION_NAME", "")
    for path in (Path(f"{name}.ipynb"), Path(session), Path.cwd() / Path(session).name):
        if path.suffix == ".ipynb" and path.is_file():
            saved = time.strftime("%H:%M:%S", time.localtime(path.stat().st_mtime))
            return path.read_bytes(), str(path), f"Checking {path.name} as saved at {saved}."
    raise _checks.argument_error(
        "check", f"there is no {name}.ipynb in {Path.cwd()}", f"Save the notebook as {name}.ipynb, or run "
        f"`course-cnn check YOUR_NOTEBOOK.ipynb` in a terminal", name=name,
    )  # fmt: skip
