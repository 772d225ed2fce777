"""Make what students get from the one source, and refuse where the assignment does not hold.

Two files: the student notebook, and beside it the visible checks. Not one byte of a solution, of a hidden check or of
its expected value is in either: solutions are cut out of the notebook, and of `checks.py` only the visible checks are
taken, with those names of the module that they use.
"""

import ast
import json
import tempfile
from pathlib import Path

from course_cnn.grading import files, grade
from course_cnn.grading import source as sources
from course_cnn.grading.assignment import Assignment
from course_cnn.grading.forkserver import SandboxError
from course_cnn.grading.source import AssignmentError

CHECKS = "{name}_checks.py"
CHECK_CELL = 'from course_cnn import grading\n\ngrading.check("{name}")'
CHECK_TEXT = (
    "## Check your answers\n\nSave the notebook (Ctrl-S), then run the cell below, as often as you like. It runs your "
    "notebook from top to bottom in a process of its own and tries the visible checks. More checks run when your work "
    "is graded. In a terminal: `course-cnn check {name}.ipynb`."
)


def release(folder, out, *, seed=0, show=None):
    """Write the student's version of an assignment.

    Args:
        folder: path of the assignment.
        out: path of a folder; made if it is not there. `NAME.ipynb` and `NAME_checks.py` in it are replaced.
        seed: int, for the inputs that checks draw while the assignment is tried.
        show: callable (text) for progress, or None.

    Returns:
        [path, …] of what was written.

    Raises:
        AssignmentError: the reference solution does not get full marks, the untouched student version gets more than
            its free points, something secret would get out, or the folder is broken. Nothing is written then.
    """
    say = show or (lambda text: None)
    assignment = Assignment(folder)
    notebook = sources.read_source(assignment.source)
    student = sources.student_notebook(notebook)
    checks = visible_checks(assignment)
    with grade.fork_server(assignment) as server:
        say("the reference solution")
        _full_marks(assignment, _graded(assignment, server, notebook, seed))
        say("the untouched student version")
        _only_free_points(assignment, _graded(assignment, server, student, seed))
    name = assignment.name
    text = sources_of_check(name)
    student["cells"] += [
        {"cell_type": "markdown", "id": "check-text", "metadata": {}, "source": CHECK_TEXT.format(name=name)},
        {"cell_type": "code", "id": "check", "metadata": {}, "source": text, "execution_count": None, "outputs": []},
    ]
    written = {
        f"{name}.ipynb": json.dumps(student, indent=1, ensure_ascii=False) + "\n",
        CHECKS.format(name=name): checks,
    }
    _no_secrets(assignment, notebook, student, checks)
    out = Path(out)
    try:
        if out.resolve() == assignment.folder.resolve():
            raise AssignmentError(
                f"--out {out} is the folder of the assignment; its source would be replaced. Name another one."
            )
        out.mkdir(parents=True, exist_ok=True)
        for file, content in written.items():
            files.write(out / file, content)
    except OSError as error:
        raise AssignmentError(f"{out} cannot be written to ({error.strerror}). Name another --out.") from None
    return [out / file for file in written]


def sources_of_check(name):
    """The last cell of a student notebook."""
    return CHECK_CELL.format(name=name)


def _graded(assignment, server, notebook, seed):
    data = json.dumps(notebook).encode()
    try:
        return grade.grade_bytes(assignment, server, "reference", assignment.source.name, data, seed=seed)
    except SandboxError as error:
        raise AssignmentError(f"No worker starts for this assignment: {error} (preload in assignment.toml).") from None


def _full_marks(assignment, result):
    """Raise unless the reference solution passes every check and raises in no cell."""
    if result["status"] == "could not be graded":
        raise AssignmentError(f"The reference solution could not be graded: {result['reason']}")
    for test in result["tests"]:
        if "problem" in test:
            raise AssignmentError(f"The check {test['name']!r} raises with the reference solution: {test['problem']}.")
        if not test["passed"]:
            raise AssignmentError(
                f"The reference solution fails the check {test['name']!r} of {test['question']!r}: {test['message']}"
            )
    if result["cells"]:
        cell = result["cells"][0]
        raise AssignmentError(f"Code cell {cell['cell']} of the reference solution goes wrong: {cell['error']}")


def _only_free_points(assignment, result):
    """Raise if the untouched student version gets more than what is free."""
    free = {question.name: question.free_points for question in assignment.questions}
    for question in result["questions"]:
        if question["score"] > free[question["name"]] + 1e-9:
            names = [
                t["name"]
                for t in result["tests"]
                if t["question"] == question["name"] and t["passed"] and t["max_score"]
            ]
            raise AssignmentError(
                f"The untouched student version gets {question['score']:g} points for {question['name']!r}, from "
                f"{', '.join(names)}. Mend those checks, or set free_points = {question['score']:g} in assignment.toml."
            )


def visible_checks(assignment):
    """The text of the visible checks: a Python module with the settings that `check` needs.

    Raises:
        AssignmentError: visible checks use what only hidden checks should know, such as another check.
    """
    path = assignment.folder / "checks.py"
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    names = {check.name: check for check in assignment.checks}
    visible = {name for name, check in names.items() if not check.hidden}
    defined = {}  # name -> the statement that defines it
    for node in tree.body:
        for name in _defined(node):
            defined.setdefault(name, []).append(node)
    wanted, kept = set(visible), []
    while wanted:
        name = wanted.pop()
        if name in names and names[name].hidden:
            raise AssignmentError(f"{path}: a visible check uses the hidden check {name!r}. Share a helper instead.")
        for node in defined.get(name, ()):
            if node not in kept:
                kept.append(node)
                wanted |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & set(defined)
    used = {n.id for node in kept for n in ast.walk(node) if isinstance(n, ast.Name)}
    parts = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [a for a in node.names if (a.asname or a.name).partition(".")[0] in used]
            parts += [ast.unparse(node)] if node.names else []
        elif node in kept:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            parts.append("\n\n" + "\n".join(text.splitlines()[first - 1 : node.end_lineno]))
    settings = _visible_settings(assignment)
    head = f"Visible checks of {assignment.settings.title!r}: `course-cnn check {assignment.name}.ipynb` runs them."
    return f'"""{head}"""\n\n' + "\n".join(parts).strip() + f"\n\n\nSETTINGS = {settings!r}\n"


def _visible_settings(assignment):
    """The settings as plain data, each question worth what its visible checks are."""
    settings = assignment.settings.model_dump(mode="json", exclude={"late", "feedback"}, exclude_defaults=True)
    for question, told in zip(assignment.questions, settings["questions"], strict=True):
        told.pop("free_points", None)
        if not question.manual:
            told["points"] = float(sum(c.points for c in assignment.checks_of(question) if not c.hidden))
    return settings


def _defined(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _no_secrets(assignment, notebook, student, checks):
    """Raise if a line of a solution, or a hidden check, is in what would be written."""
    seen = {line.strip() for cell in student["cells"] for line in sources.text_of(cell).splitlines()}
    for line in sources.solution_lines(notebook):
        if line in seen and len(line) > 15 and line not in _given(notebook):
            raise AssignmentError(f"A line of a solution would be in the student notebook: {line!r}.")
    for check in assignment.checks:
        if check.hidden and (f"def {check.name}(" in checks or check.title in checks):
            raise AssignmentError(
                f"The hidden check {check.name!r} would be named in the visible ones. "
                "Give it a name and a title of its own."
            )
    with tempfile.TemporaryDirectory() as folder:  # the visible checks must load without the hidden ones
        path = Path(folder, "checks.py")
        path.write_text(checks, encoding="utf-8")
        from course_cnn.grading.checks import load_checks

        try:
            loaded = {check.name for check in load_checks(path)}
        except Exception as error:
            raise AssignmentError(f"The visible checks do not load alone: {type(error).__name__}: {error}.") from error
    expected = {check.name for check in assignment.checks if not check.hidden}
    if loaded != expected:
        raise AssignmentError(f"The visible checks would be {sorted(loaded)} instead of {sorted(expected)}.")


def _given(notebook):
    """Lines that stand outside solutions in the source already."""
    given = set()
    for cell in notebook["cells"]:
        text, _ = sources._cut(sources.text_of(cell), sources.HIDDEN, (), "")
        text, _ = sources._cut(text, sources.SOLUTION, (), "")
        given |= {line.strip() for line in text.splitlines()}
    return given
