"""Finding submissions and reading notebooks in whatever state they come."""

import json
import os
import zipfile

import pytest

from course_cnn.grading import submission
from course_cnn.grading.submission import Unreadable, find_submissions, parse
from tests.grading.conftest import cell, notebook

BOOK = notebook("x = 1", cell("# Text", "markdown"), "y = 2")


def put(path, content="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def found(folder):
    return {one.student: one.path.relative_to(folder).as_posix() if one.path else one.reason for one in
            find_submissions(folder, "tiny")}  # fmt: skip


def test_the_three_layouts(tmp_path):
    for name in (
        "ana/tiny.ipynb",
        "ben/renamed (1).ipynb",
        "cem/tiny/tiny.ipynb",
        "dora.ipynb",
        "e f/Tiny.IPYNB",
        "é'\"/a.ipynb",
    ):
        put(tmp_path / name)
    assert found(tmp_path) == {
        "ana": "ana/tiny.ipynb", "ben": "ben/renamed (1).ipynb", "cem": "cem/tiny/tiny.ipynb", "dora": "dora.ipynb",
        "e f": "e f/Tiny.IPYNB", "é'\"": "é'\"/a.ipynb",
    }  # fmt: skip
    assert [one.student for one in find_submissions(tmp_path, "tiny")] == sorted(found(tmp_path))


def test_hidden_files_are_no_submissions(tmp_path):
    for name in (
        ".DS_Store",
        "__MACOSX/x.ipynb",
        "ana/.ipynb_checkpoints/tiny.ipynb",
        "ana/tiny.ipynb",
        "ana/._tiny.ipynb",
    ):
        put(tmp_path / name)
    assert found(tmp_path) == {"ana": "ana/tiny.ipynb"}


def test_the_notebook_of_the_assignments_name_wins(tmp_path):
    for name in ("ana/draft.ipynb", "ana/tiny.ipynb", "ben/a.ipynb", "ben/b.ipynb", "cem/x.py", "cem/y.txt"):
        put(tmp_path / name)
    (tmp_path / "dora").mkdir()
    assert found(tmp_path) == {
        "ana": "ana/tiny.ipynb",
        "ben": "There are 2 notebooks in the folder ben and none is called tiny.ipynb; keep one.",
        "cem": "There is no notebook (.ipynb) in the folder cem: it holds x.py, y.txt.",
        "dora": "There is no notebook (.ipynb) in the folder dora: it is empty.",
    }


def test_a_student_twice(tmp_path):
    put(tmp_path / "ana/tiny.ipynb")
    put(tmp_path / "ana.ipynb")
    (tmp_path / "ben").mkdir()
    put(tmp_path / "ben.ipynb")
    assert found(tmp_path) == {
        "ana": "There are two submissions of ana: tiny.ipynb and ana.ipynb; keep one of them.",
        "ben": "ben.ipynb",  # the empty folder beside it is no submission
    }


def test_odd_entries(tmp_path):
    put(tmp_path / "notes.txt")
    os.symlink("/etc/passwd", tmp_path / "eva.ipynb")
    assert found(tmp_path) == {
        "eva": "eva.ipynb is a link to somewhere else, not a file; hand in the notebook itself.",
        "notes.txt": "notes.txt is not a notebook (.ipynb); hand in the notebook itself.",
    }


def test_only_plain_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")  # opening it would wait for ever
    (tmp_path / "folder.ipynb").mkdir()
    os.symlink(tmp_path / "folder.ipynb", tmp_path / "link.ipynb")
    for name, why in (
        ("pipe", "not a plain file"),
        ("folder", "is a folder"),
        ("link", "is a link"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(Unreadable, match=why):
            submission.read_bytes(tmp_path / f"{name}.ipynb")


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "LARGEST", 1_000_000)
    put(tmp_path / "big.ipynb", "x" * 1_000_001)
    with pytest.raises(Unreadable, match="larger than 1 MB; clear its outputs"):
        submission.read_bytes(tmp_path / "big.ipynb")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings(encoding):
    book = notebook("ä = 'ü'")
    assert parse(json.dumps(book, ensure_ascii=False).encode(encoding), "x").code == ["ä = 'ü'"]


def test_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ipynb", "w") as archive:
        archive.writestr("tiny.ipynb", "{}")
    with pytest.raises(Unreadable, match=r"is a zip archive.*unpack it"):
        parse((tmp_path / "x.ipynb").read_bytes(), "x.ipynb")


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "is empty"),
        (b"\0\0\n", "is empty"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (json.dumps(BOOK).encode()[:60], "is not a complete notebook: its JSON breaks at line 1"),
        (b"def f():\n  pass", "is not a complete notebook"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)), "is not text"),
        (b"%PDF-1.5 \xe2\xe3\xcf\xd3", "is not text"),
        (b"[1, 2]", "it has no cells"),
        (b"7", "it has no cells"),
        (b'{"cells": {"a": 1}}', "it has no cells"),
        (b'{"worksheets": [7]}', "it has no cells"),
        (b"[" * 200_000, "nested too deep|not a complete notebook"),
        (json.dumps(notebook(*["x"] * 10_001)).encode(), "more than 10,000 cells"),
        (json.dumps(notebook("x" * 5_000_001)).encode(), "more than 5 MB of code"),
    ],
    ids=range(14),
)
def test_no_notebook(data, why):
    with pytest.raises(Unreadable, match=why) as caught:
        parse(data, "work.ipynb")
    assert str(caught.value).count(". ") == 0  # one sentence
    assert str(caught.value).endswith(".")


def test_odd_cells():
    cells = [None, 5, {}, {"cell_type": "code"}, {"cell_type": "code", "source": 7},
             {"cell_type": "code", "source": ["a", 1, "b"]}, {"cell_type": "code", "source": "x = '\ud800'"},
             {"cell_type": "raw", "source": "r"}]  # fmt: skip
    book = parse(json.dumps({"cells": cells}).encode(), "x")
    assert book.code == ["", "", "ab", "x = '?'"]


def test_format_3():
    old = {
        "worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}, {"cell_type": "markdown", "source": "t"}]}]
    }
    assert parse(json.dumps(old).encode(), "x").code == ["x = 1"]


def test_the_check_cell_is_left_out_and_nothing_else():
    check = 'from course_cnn import grading\n\ngrading.check("tiny")'
    book = notebook(check, "# mine\n" + check, "grading.check('a'); x = 1", check + "\ndef f():\n    return 1")
    code = parse(json.dumps(book).encode(), "x").code
    assert code[:2] == ["", ""]
    assert code[2:] == ["grading.check('a'); x = 1", check + "\ndef f():\n    return 1"]


@pytest.mark.parametrize(
    "text, answer",
    [
        (cell("### Answer: essay\n\nMine.", "markdown"), "Mine."),
        (cell("## Answer: `essay`\nMine.", "markdown"), "Mine."),
        (cell("Mine.", "markdown", nbgrader={"grade_id": "essay"}), "Mine."),
        (cell("### Answer: other\nMine.", "markdown"), None),
        (cell("### Answer: essay\nMine.", "raw"), "Mine."),
        (cell("x", "markdown", nbgrader=[1]), None),
    ],
)
def test_answers_in_words(text, answer):
    assert parse(json.dumps(notebook("x = 1", text)).encode(), "x").answer("essay") == answer


def test_the_last_of_two_answers_counts():
    texts = [cell("### Answer: essay\nOld.", "markdown"), cell("### Answer: essay\nNew.", "markdown")]
    assert parse(json.dumps(notebook(*texts)).encode(), "x").answer("essay") == "New."
