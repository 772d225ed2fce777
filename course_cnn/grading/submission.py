"""What was handed in: find the notebooks of a class, and read one whatever state it is in.

Files are read by hand and not with nbformat: that refuses or warns about what does not matter here (ids twice, metadata
lost, no kernelspec), and the text of the cells is all we want. Nothing of a submission is run or parsed on this side.
"""

import codecs
import json
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

LARGEST = 50_000_000  # bytes of a notebook, with the pictures in it
CELLS, CODE = 10_000, 5_000_000
LISTS, ITEMS = 1_000_000, 5_000_000  # in all of the JSON: each takes twenty times its bytes once it is read
CHECK_CELL = re.compile(r"^\s*(from course_cnn import grading|grading\.check\([^\n]*\))\s*$")
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")


class Unreadable(Exception):
    """A file that cannot be graded; the text is the plain sentence for the student."""


class Submission(NamedTuple):
    """One entry of a folder of submissions: a student's name and the notebook's path, or why there is none."""

    student: str
    path: Path | None
    reason: str = ""


class Notebook(NamedTuple):
    """The code cells of a notebook, in order, and its text cells with their nbgrader names."""

    code: list
    texts: list

    def answer(self, question):
        """The student's text for a question graded by hand, or None: found by its heading, else by nbgrader's name."""
        heading = re.compile(rf"^[ \t]*+#++[ \t]*+Answer:[ \t]*+`?{re.escape(question)}`?[ \t]*+\r?$", re.MULTILINE)
        found = [text for _, text in self.texts if heading.search(text)]
        found = found or [text for name, text in self.texts if name == question]
        if not found:
            return None
        return heading.sub("", found[-1]).strip()


def find_submissions(folder, assignment):
    """List what students handed in: `STUDENT/*.ipynb`, `STUDENT/ASSIGNMENT/*.ipynb` or `STUDENT.ipynb`.

    Args:
        folder: path of the folder of submissions.
        assignment: str, the assignment's name.

    Returns:
        [Submission, …], one for every entry that is not hidden, sorted by name.
    """
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    found, twice = {}, set()
    for entry in entries:
        if entry.name.startswith(".") or entry.name in IGNORED:
            continue
        new = _look(entry, assignment)
        old = found.get(new.student)
        if new.student in twice:
            continue
        if old and (old.path is not None and new.path is not None):
            twice.add(new.student)
            reason = (
                f"There are two submissions of {new.student}: {old.path.name} and {new.path.name}; keep one of them."
            )
            new = Submission(new.student, None, reason)
        elif old and old.path is not None:
            continue
        found[new.student] = new
    return [found[student] for student in sorted(found)]


def _look(entry, assignment):
    name = entry.name
    if entry.is_symlink():
        return Submission(
            _stem(name), None, f"{name} is a link to somewhere else, not a file; hand in the notebook itself."
        )
    if not entry.is_dir(follow_symlinks=False):
        if name.lower().endswith(".ipynb"):
            return Submission(_stem(name), Path(entry.path))
        return Submission(name, None, f"{name} is not a notebook (.ipynb); hand in the notebook itself.")
    try:
        return Submission(name, _choose(Path(entry.path), assignment))
    except Unreadable as error:
        return Submission(name, None, str(error))


def _stem(name):
    return name[: -len(".ipynb")] if name.lower().endswith(".ipynb") and len(name) > len(".ipynb") else name


def _choose(folder, assignment):
    """The notebook of one student's folder."""
    try:
        names = sorted(os.listdir(folder))
        inside = folder / assignment
        if inside.is_dir() and not inside.is_symlink():
            nested = [f"{assignment}/{name}" for name in sorted(os.listdir(inside))]
        else:
            nested = []
    except OSError as error:
        raise Unreadable(f"The folder {folder.name} cannot be read ({error.strerror}).") from None
    books = [n for n in [*nested, *names] if n.lower().endswith(".ipynb") and not Path(n).name.startswith(".")]
    exact = [name for name in books if Path(name).stem == assignment]
    if len(books) == 1 or exact:
        return folder / (exact or books)[0]
    if not books:
        others = [name for name in names if not name.startswith(".")]
        there = f"it holds {', '.join(others[:3])}" if others else "it is empty"
        raise Unreadable(f"There is no notebook (.ipynb) in the folder {folder.name}: {there}.")
    raise Unreadable(
        f"There are {len(books)} notebooks in the folder {folder.name} and none is called {assignment}.ipynb; keep one."
    )


def read_bytes(path):
    """Read a submitted file: a plain file of a bearable size, never a link, a pipe or a device.

    Raises:
        Unreadable: it is none.
    """
    name = Path(path).name
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            raise Unreadable(f"{name} is a link to somewhere else, not a file; hand in the notebook itself.")
        if stat.S_ISDIR(mode):
            raise Unreadable(f"{name} is a folder, not a notebook.")
        if not stat.S_ISREG(mode):
            raise Unreadable(f"{name} is not a plain file.")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable(f"{name} cannot be read ({error.strerror}).") from None
    if len(data) > LARGEST:
        raise Unreadable(
            f"{name} is larger than {LARGEST // 1_000_000} MB; clear its outputs (Kernel, Restart and Clear Outputs) "
            "and save it again."
        )
    return data


def parse(data, name):
    """Find the cells in the bytes of a notebook.

    Returns:
        `Notebook`.

    Raises:
        Unreadable: the bytes are no notebook.
    """
    if not data.strip(b"\0\t\r\n "):
        raise Unreadable(f"{name} is empty; save the notebook and hand it in again.")
    text = _decode(data, name)
    start = text.lstrip()[:200].lower()
    if data.startswith(b"PK\x03\x04"):
        raise Unreadable(f"{name} is a zip archive, not a notebook; unpack it and hand in the notebook.")
    if start.startswith(("<!doctype", "<html")):
        raise Unreadable(f"{name} is a web page, not a notebook; download the notebook itself (File, Download).")
    if text.count("[") + text.count("{") > LISTS or text.count(",") > ITEMS:
        raise Unreadable(
            f"{name} holds more than a notebook does; clear its outputs (Kernel, Restart and Clear Outputs) and save "
            "it again."
        )
    try:
        book = json.loads(text)
    except RecursionError:
        raise Unreadable(f"{name} is nested too deep to be a notebook.") from None
    except ValueError as error:
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(
            f"{name} is not a complete notebook: its JSON breaks{line}; download it again and hand it in."
        ) from None
    cells = _cells(book)
    if cells is None:
        raise Unreadable(f"{name} is JSON, but not a notebook: it has no cells.")
    code, texts = [], []
    for cell in cells[: CELLS + 1]:
        if not isinstance(cell, dict):
            continue
        source = _source(cell)
        if cell.get("cell_type") == "code":
            code.append("" if _only_checks(source) else source)
        else:
            metadata = cell.get("metadata")
            nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
            texts.append((nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None, source))
    if len(cells) > CELLS:
        raise Unreadable(f"{name} has more than {CELLS:,} cells.")
    if sum(map(len, code)) > CODE:
        raise Unreadable(f"{name} has more than {CODE // 1_000_000} MB of code.")
    return Notebook(code, texts)


def _decode(data, name):
    for mark, encoding in (  # noqa: B007  used when the loop has ended
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if data.startswith(mark):
            break
    else:
        encoding = "utf-8"
        if data[1:2] == b"\0":
            encoding = "utf-16-le"
        elif data[:1] == b"\0":
            encoding = "utf-16-be"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        if data.startswith(b"PK\x03\x04"):
            return ""
        raise Unreadable(f"{name} is not text, so it is not a notebook.") from None


def _cells(book):
    """The cells of a notebook of format 4, or of format 3 with its worksheets."""
    if not isinstance(book, dict):
        return None
    if isinstance(book.get("cells"), list):
        return book["cells"]
    sheets = book.get("worksheets")
    if isinstance(sheets, list) and all(isinstance(sheet, dict) for sheet in sheets):
        return [cell for sheet in sheets if isinstance(sheet.get("cells"), list) for cell in sheet["cells"]]
    return None


def _source(cell):
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    source = source if isinstance(source, str) else ""
    return source.encode("utf-8", "replace").decode()  # JSON can hold half of a surrogate pair, Python source cannot


def _only_checks(source):
    """Whether a cell is the one that `release` adds: it would grade the notebook from inside."""
    lines = [line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return bool(lines) and all(CHECK_CELL.match(line) for line in lines) and "grading.check(" in source
