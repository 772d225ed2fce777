"""Gradescope: make the zip it takes as an autograder, and grade one submission where it runs.

Two halves. `build` runs on the instructor's machine: the zip holds the course, the assignment (with the student's
version in place of the solutions) and two scripts. `main` is what the second script calls, once for every submission,
in Gradescope's container. There we are root and mostly without namespaces: the student's code runs as another user, and
what keeps it from checks and results are the modes of folders, set before it starts. Whatever happens, `results.json`
is written: marks, or a sentence that a student understands.
"""

import ast
import contextlib
import json
import os
import re
import secrets
import sys
import tempfile
import time
import tomllib
import traceback
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import course_cnn
from course_cnn.grading import batch, files, grade, worker
from course_cnn.grading import source as sources
from course_cnn.grading import submission as submissions
from course_cnn.grading.assignment import Assignment
from course_cnn.grading.forkserver import PACKAGE, clean, packages
from course_cnn.grading.release import release
from course_cnn.grading.source import AssignmentError

ROOT = "/autograder"
TENSORFLOW = {"tensorflow", "keras", "tensorflow_hub", "tf_keras"}
APOLOGY = (
    "The autograder itself failed; this is not your fault, and your submission is kept. Your instructor sees what went "
    "wrong and can run it again."
)
HIDDEN = {"named": "after_published", "hidden": "hidden"}

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image: it makes the Python environment of the autograder.
set -euo pipefail
umask 022
root="${COURSE_CNN_AUTOGRADER:-/autograder}"
source="$root/source"
venv="$source/venv"

# A Python that is new enough, complete, and lies where other users can read it: student code runs as one of them.
fits='import os, sys, ensurepip, venv
if os.geteuid() == 0:
    os.setuid(65534)
os.listdir(os.path.dirname(os.__file__))
sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

find_python() {
  for name in python3 python3.13 python3.12 python3.11 /usr/bin/python3 /usr/bin/python3.1[1-3]; do
    if "$name" -I -c "$fits" 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

if [ ! -x "$venv/bin/python" ]; then
  if ! python="$(find_python)"; then
    apt-get update
    install python3 python3-venv || true
    for version in 3.13 3.12 3.11; do
      if python="$(find_python)"; then break; fi
      install "python$version" "python$version-venv" || true
    done
    if ! python="$(find_python)"; then
      echo "The course needs Python 3.11, 3.12 or 3.13. Choose Ubuntu 24.04 as the base image of the autograder." >&2
      exit 1
    fi
  fi
  "$python" -m venv "$venv"
fi
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
"$venv/bin/python" -m pip install -r "$source/requirements.txt"
"$venv/bin/python" -m pip install --no-deps --no-build-isolation "$source/course"
"$venv/bin/python" -I -c 'import course_cnn.grading.gradescope'
echo @SAYS@
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for every submission. Whatever happens, results/results.json is there at the end.
root="${COURSE_CNN_AUTOGRADER:-/autograder}"
results="$root/results/results.json"
mkdir -p "$root/results"
rm -rf "$results"
"$root/source/venv/bin/python" -I -m course_cnn.grading.gradescope "$root"
if [ ! -s "$results" ]; then
  rm -rf "$results"
  cat > "$results" <<'END'
@FAILED@
END
fi
exit 0
"""


def build(assignment_folder, out_file):
    """Make the zip that Gradescope takes as the autograder of an assignment.

    Args:
        assignment_folder: path of the assignment.
        out_file: path of the zip, replaced in one step if it is there. The same files give the same bytes.

    Returns:
        Path of the zip.

    Raises:
        AssignmentError: the assignment is broken (all that `release` refuses), the course is not a clone of its
            repository, or the zip cannot be written. Nothing is written then.
    """
    assignment, out_file = Assignment(assignment_folder), Path(out_file)
    if out_file.is_dir():
        raise AssignmentError(f"--out {out_file} is a folder. Name the zip, such as {out_file / 'autograder.zip'}.")
    with tempfile.TemporaryDirectory() as folder:
        release(assignment.folder, folder)
        student = Path(folder, assignment.source.name).read_bytes()
    members = {
        "setup.sh": SETUP.replace("@SAYS@", _quoted(_says(assignment))),
        "run_autograder": RUN.replace("@FAILED@", json.dumps(failed(), indent=1)),
        "requirements.txt": "\n".join(requirements(assignment)) + "\n",
        **{f"course/{name}": path.read_bytes() for name, path in _course().items()},
        **{f"assignment/{name}": data for name, data in sources.files_of(assignment.folder).items()},
        f"assignment/{assignment.source.name}": student,  # the grader needs its name alone
    }
    try:
        out_file.parent.mkdir(parents=True, exist_ok=True)
        _write_zip(out_file, members)
    except OSError as error:
        raise AssignmentError(f"{out_file} cannot be written ({error.strerror}). Name another --out.") from None
    return out_file


def requirements(assignment):
    """What an assignment needs of what pyproject.toml asks for, as lines for pip: TensorFlow only where it is used."""
    project = tomllib.loads(_pyproject().read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["grade"]
    wanted = [*project["project"]["dependencies"], *extra, *project["build-system"]["requires"]]
    left_out = set() if uses_tensorflow(assignment) else TENSORFLOW
    return [line for line in dict.fromkeys(wanted) if re.match(r"[\w.-]+", line)[0].replace("-", "_") not in left_out]


def uses_tensorflow(assignment):
    """Whether an assignment may import TensorFlow: in its checks, its notebook, or what these import of the course."""
    cells = [c for c in sources.read_source(assignment.source)["cells"] if c.get("cell_type") == "code"]
    trees = [worker.parse(sources.text_of(cell), number) for number, cell in enumerate(cells, 1)]
    trees.append(ast.parse((assignment.folder / "checks.py").read_text(encoding="utf-8")))
    todo, seen = set(assignment.settings.preload).union(*map(_imports, trees)), {"grading"}
    while todo:
        name = todo.pop()
        if name.partition(".")[0] in TENSORFLOW:
            return True
        part = name.removeprefix("course_cnn.").partition(".")[0] if name.startswith("course_cnn.") else None
        if part is None or part in seen:
            continue
        seen.add(part)
        for path in (*PACKAGE.glob(f"{part}.py"), *PACKAGE.glob(f"{part}/**/*.py")):
            todo |= _imports(ast.parse(path.read_text(encoding="utf-8")))
    return False


def _imports(tree):
    """Names of modules, and of what is taken out of them, that a syntax tree imports anywhere in it."""
    found = set()
    for node in ast.walk(tree) if isinstance(tree, ast.AST) else ():
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _pyproject():
    path = PACKAGE.parent / "pyproject.toml"
    if not path.is_file():
        raise AssignmentError(
            f"The course in {PACKAGE.parent} is not a clone of its repository, and the zip takes its files from one. "
            "Clone it, run pip install -e . in it, and run this again."
        )
    return path


def _course():
    """{name: path} of the files that pip needs to install the course."""
    root = _pyproject().parent
    extractor = root / "data" / "bundled_extractor"  # pyproject.toml lists it as a package
    found = [root / "pyproject.toml", root / "README.md", *PACKAGE.rglob("*"), *extractor.rglob("*")]
    names = {path.relative_to(root).as_posix(): path for path in found if path.is_file()}
    return {name: names[name] for name in sorted(names) if not re.search(r"(^|/)(\.|__pycache__/)|\.(pyc|part)$", name)}


def _says(assignment):
    """What the instructor reads at the end of the build log: how to set up the points on Gradescope."""
    automatic = sum(question.points for question in assignment.questions if not question.manual)
    manual = [f"{question.name} ({question.points:g})" for question in assignment.questions if question.manual]
    by_hand = f" Add a question to be graded by hand for {', '.join(manual)}." if manual else ""
    return f"The autograder of {assignment.name} is ready. Set Autograder Points to {automatic:g}.{by_hand}"


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def _write_zip(path, members):
    temporary = path.with_name(f"{path.name}.part")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(members):
                info = zipfile.ZipInfo(name)  # its date is fixed: 1980
                info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED  # 3: modes are Unix's
                info.external_attr = (0o100755 if name in ("setup.sh", "run_autograder") else 0o100644) << 16
                archive.writestr(info, members[name])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments=None):
    """Grade the submission in Gradescope's folders and write its `results.json`.

    Args:
        arguments: [folder]; else the environment's COURSE_CNN_AUTOGRADER, else `/autograder`. With
            COURSE_CNN_NAMESPACES=0 student's code goes without namespaces, as on most of Gradescope's machines.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    root = Path(arguments[0] if arguments else os.environ.get("COURSE_CNN_AUTOGRADER", ROOT))
    started = time.monotonic()
    try:
        written = grade_submission(root)
    except BaseException as error:  # whatever it is, the student gets an answer and the instructor the reason
        print("The autograder itself failed:")
        traceback.print_exc(file=sys.stdout)
        written = failed(f"{type(error).__name__}: {error}")
    written["execution_time"] = round(time.monotonic() - started, 3)
    (root / "results").mkdir(exist_ok=True)
    files.write_json(root / "results" / "results.json", written)


def grade_submission(root):
    """Grade the submission under `root`, tell standard output (for the instructor), and return Gradescope's results."""
    protect(root)
    assignment = Assignment(root / "source" / "assignment")
    metadata, seed = _metadata(root / "submission_metadata.json"), secrets.randbelow(2**32)
    student = _student(metadata)
    try:
        path = find_notebook(root / "submission", assignment.name)
    except submissions.Unreadable as error:
        result = grade.ungraded(assignment, student, str(error))
    else:
        lock(assignment.settings.unavailable, root)
        namespaces = os.environ.get("COURSE_CNN_NAMESPACES") != "0"
        with grade.fork_server(assignment, namespaces=namespaces) as server:
            result = grade.grade_file(assignment, server, student, path, seed=seed)
    batch.penalize(result, hours_late(metadata, assignment.settings.late), assignment.settings.late)
    _tell(result, seed)
    return results(assignment, result, seed)


def protect(root):
    """Close the submission, the results and all of the source but its Python environment to other users."""
    source = root / "source"
    inside = [path for path in source.iterdir() if path.name != "venv"]
    for path in (root / "submission", root / "results", root / "submission_metadata.json", *inside):
        _close(path)
    for path in (root, source):
        _close(path, but=0o011)  # others may pass through, on their way to the environment


def lock(unavailable, root):
    """Close packages that answers may not use to other users, where they lie in the autograder's own environment."""
    inside = (root / "source" / "venv").resolve()
    for path in map(Path, packages(unavailable)):
        if inside in path.resolve().parents:
            _close(path)


def _close(path, but=0):
    try:
        if path.exists() and not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700 | but)
    except OSError as error:
        print(f"Warning: the mode of {path} cannot be changed ({error.strerror}).")


def find_notebook(folder, assignment):
    """The notebook in a folder of submitted files, nearest to its top; the assignment's name decides between several.

    Raises:
        Unreadable: there is none, or several and none or more than one has the name.
    """
    found, seen = [], []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in submissions.IGNORED)
        seen += [name for name in sorted(names) if not name.startswith(".")]
        found += [Path(place, name) for name in sorted(names) if name.lower().endswith(".ipynb") and name[0] != "."]
    named = [path for path in found if path.stem == assignment]
    top = min((len(path.parts) for path in named), default=0)
    nearest = [path for path in named if len(path.parts) == top]
    if len(nearest) == 1 or len(found) == 1:
        return (nearest or found)[0]
    if not found:
        there = f"it holds {', '.join(seen[:3])}" if seen else "it is empty"
        raise submissions.Unreadable(f"There is no notebook (.ipynb) in your submission: {there}.")
    which = f"{len(nearest)} of them are called" if nearest else "none is called"
    raise submissions.Unreadable(
        f"There are {len(found)} notebooks in your submission and {which} {assignment}.ipynb; hand in that one alone."
    )


def _metadata(path):
    """Gradescope's metadata of the submission, a dict; empty where there is none or it is damaged."""
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        print(f"Warning: {path.name} cannot be read ({type(error).__name__}); lateness is not known.")
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _users(metadata):
    users = metadata.get("users")
    return [user for user in users if isinstance(user, dict)] if isinstance(users, list) else []


def _student(metadata):
    names = [user.get("name") or user.get("email") for user in _users(metadata)]
    return clean(", ".join(name for name in names if isinstance(name, str)), 200) or "not known"


def hours_late(metadata, late):
    """Hours between the due date and the submission, or None where there is no late table or no time of submission.

    The due date is Gradescope's, where a student may have an extension (in a group the latest counts), else the one in
    assignment.toml.
    """
    submitted = _time(metadata.get("created_at"))
    if late is None or submitted is None:
        return None
    own = [_due(user) for user in _users(metadata)]
    due = max((time for time in own if time), default=None) or _due(metadata) or late.due
    return (submitted - due).total_seconds() / 3600


def _due(holder):
    assignment = holder.get("assignment")
    return _time(assignment.get("due_date")) if isinstance(assignment, dict) else None


def _time(text):
    """A point in time from ISO 8601, taken as UTC where it names no offset; None for anything else."""
    with contextlib.suppress(TypeError, ValueError):
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def results(assignment, result, seed):
    """A grader's result in the form of Gradescope's `results.json`, see gradescope.schema.json.

    Visible checks show their message at once. Hidden ones appear when grades are published, by title and without a
    message, or never, with `feedback = "hidden"`. A question graded by hand has no score here: its points are given
    in a question of Gradescope's own, and must not count twice.
    """
    tests, hidden = [], HIDDEN[assignment.settings.feedback]
    told = {question["name"]: question for question in result["questions"]}
    for number, question in enumerate(assignment.questions, 1):
        if question.name in told and question.manual:
            tests.append(_by_hand(number, question, told[question.name]["answer"]))
        own = [test for test in result["tests"] if test["question"] == question.name]
        for place, test in enumerate(own, 1):
            visibility = hidden if test["hidden"] else "visible"
            tests.append({
                "name": f"{question.name}: {test['title']}", "name_format": "text", "number": f"{number}.{place}",
                "score": test["score"], "max_score": test["max_score"],
                "status": "passed" if test["passed"] else "failed",
                "output": "" if visibility == "after_published" else test["message"], "output_format": "text",
                "visibility": visibility, "tags": [question.name], "extra_data": {"check": test["name"]},
            })  # fmt: skip
    extra = {name: result[name] for name in ("status", "reason", "isolation", "late", "raw_score", "max_score")}
    return {
        "score": result["score"], "execution_time": result["execution_time"], "output": _output(result),
        "output_format": "text", "visibility": "visible", "stdout_visibility": "hidden", "tests": tests,
        "extra_data": {**extra, "seed": seed, "course_cnn": course_cnn.__version__},
    }  # fmt: skip


def failed(reason="the autograder ended without a result"):
    """The `results.json` of a submission when the autograder itself failed."""
    return {
        "score": 0.0, "execution_time": 0.0, "output": APOLOGY, "output_format": "text", "visibility": "visible",
        "stdout_visibility": "hidden", "tests": [],
        "extra_data": {"status": "could not be graded", "reason": clean(reason, 500), "isolation": {}},
    }  # fmt: skip


def _by_hand(number, question, answer):
    words = len(answer.split())
    missing = f"No text was found under the heading `Answer: {question.name}`."
    found = f"Your text has {words} words." if words else missing
    return {
        "name": f"{question.name}: {question.title}", "name_format": "text", "number": f"{number}",
        "output": f"Graded by hand, for up to {question.points:g} points. {found}", "output_format": "text",
        "visibility": "visible", "tags": [question.name], "extra_data": {"by_hand": question.points},
    }  # fmt: skip


def _output(result):
    """What the student reads above the tests; nothing in it tells how hidden checks went."""
    if result["status"] == "could not be graded":
        return f"This submission could not be graded. {result['reason']}"
    visible = [test for test in result["tests"] if not test["hidden"]]
    lines = [f"{sum(test['passed'] for test in visible)} of {len(visible)} visible checks passed."]
    if result["late"]:
        hours, percent = result["late"]["hours"], result["late"]["percent"]
        lines.append(f"Handed in {hours:.1f} hours late: {percent:g} % is taken off the points of the checks.")
    if result["cells"]:
        lines.append("Code cells that went wrong (counted from the top):")
        lines += [f"  cell {cell['cell']}: {cell['error']}" for cell in result["cells"][:10]]
    return "\n".join(lines)


def _tell(result, seed):
    """Print for the instructor, who alone sees it: every check with its message, and what the notebook printed."""
    print(f"{result['student']}: {result['score']:g} points, {result['status']}. {result['reason']}".strip())
    print(f"Seed of the drawn inputs: {seed}")
    for test in result["tests"]:
        kind = "hidden" if test["hidden"] else "visible"
        said = " ".join(filter(None, (test["message"], test.get("problem"))))
        print(f"  {test['score']:g}/{test['max_score']:g} {test['question']}.{test['name']} ({kind}) {said}".rstrip())
    if absent := sorted(layer for layer, held in result["isolation"].items() if not held):
        print(f"Isolation: this system did not give {', '.join(absent)}.")
    if result["output"]:
        print(f"The notebook printed:\n{result['output']}")


if __name__ == "__main__":
    main()
