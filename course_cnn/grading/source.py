"""The instructor's one source notebook: read it, and cut from it what students must not see."""

import hashlib
import json
import re
from pathlib import Path

SOLUTION = ("### BEGIN SOLUTION", "### END SOLUTION")
HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
CODE_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")  # nbgrader's own words
TEXT_STUB = ("YOUR ANSWER HERE",)
KEPT = ("nbgrader", "tags", "name")  # cell metadata that students keep


class AssignmentError(Exception):
    """An instructor's mistake in an assignment: what is wrong, where, and what to do."""


def find_source(folder):
    """The one notebook in an assignment's folder.

    Raises:
        AssignmentError: the folder is not there, or holds no notebook or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AssignmentError(
            f"There is no folder {folder}. Name the folder of an assignment, such as assignments/01_…"
        )
    found = sorted(path for path in folder.glob("*.ipynb") if path.is_file())
    if len(found) != 1:
        named = ", ".join(path.name for path in found) or "none"
        raise AssignmentError(f"{folder} must hold one source notebook (.ipynb); it holds {named}.")
    return found[0]


def files_of(folder):
    """The three files of an assignment, `{name: bytes}`: all that decides a mark, and all a grader elsewhere needs.

    Raises:
        AssignmentError: one of them cannot be read.
    """
    folder, files = Path(folder), {}
    for path in (folder / "assignment.toml", folder / "checks.py", find_source(folder)):
        try:
            files[path.name] = path.read_bytes()
        except OSError as error:
            raise AssignmentError(f"{path} cannot be read ({error.strerror}).") from None
    return files


def digest_of(files):
    """The sha256 of `{name: bytes}`, whatever its order."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return total.hexdigest()


def read_source(path):
    """The source notebook as a dict.

    Raises:
        AssignmentError: it is no notebook of format 4.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssignmentError(f"{path} is not a notebook: {error}.") from None
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise AssignmentError(f"{path} is not a notebook of format 4. Open it in JupyterLab and save it again.")
    return notebook


def text_of(cell):
    """The text of a cell, whether it is stored as a string or as lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def student_notebook(notebook):
    """The student's version: solutions replaced by stubs, hidden tests, outputs and other metadata gone.

    Raises:
        AssignmentError: a marker without its partner, or no solution at all.
    """
    cells, solutions = [], 0
    for number, cell in enumerate(notebook["cells"], 1):
        kind, text = cell.get("cell_type"), text_of(cell)
        where = f"cell {number} of the source"
        text, hidden = _cut(text, HIDDEN, (), where)
        text, found = _cut(text, SOLUTION, CODE_STUB if kind == "code" else TEXT_STUB, where)
        solutions += found
        if hidden and not text.strip():
            continue
        metadata = {key: value for key, value in cell.get("metadata", {}).items() if key in KEPT}
        new = {
            "cell_type": kind,
            "id": cell.get("id", f"cell-{number}"),
            "metadata": metadata,
            "source": text.rstrip("\n"),
        }
        if kind == "code":
            new |= {"execution_count": None, "outputs": []}
        if "attachments" in cell:
            new["attachments"] = cell["attachments"]
        cells.append(new)
    if not solutions:
        raise AssignmentError(f"The source has no solution. Put each between {SOLUTION[0]} and {SOLUTION[1]}.")
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def solution_lines(notebook):
    """Every line that stands between markers, stripped: what no released file may hold."""
    lines = []
    for cell in notebook["cells"]:
        for begin, end in (SOLUTION, HIDDEN):
            for region in re.findall(rf"{begin}\n(.*?){end}", text_of(cell), re.DOTALL):
                lines += [line.strip() for line in region.splitlines()]
    return [line for line in lines if line]


def _cut(text, markers, stub, where):
    """Replace what stands between markers by the stub, at its indentation; return (text, how many regions)."""
    kept, inside, count = [], False, 0
    for line in text.splitlines():
        word = line.strip()
        if word == markers[0]:
            if inside:
                raise AssignmentError(f"{where}: {markers[0]} stands inside another one.")
            inside, count = True, count + 1
            indent = line[: len(line) - len(line.lstrip())]
            kept += [f"{indent}{new}" for new in stub]
        elif word == markers[1]:
            if not inside:
                raise AssignmentError(f"{where}: {markers[1]} without {markers[0]} before it.")
            inside = False
        elif markers[0] in line or markers[1] in line:
            raise AssignmentError(f"{where}: a marker must stand on a line of its own: {line.strip()!r}.")
        elif not inside:
            kept.append(line)
    if inside:
        raise AssignmentError(f"{where}: {markers[0]} without {markers[1]} behind it.")
    return "\n".join(kept), count
