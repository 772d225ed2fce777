"""TensorFlow's start-up chatter is held, and let out when the import fails."""

import os
import subprocess
import sys

import pytest

from course_cnn import _tensorflow


def test_what_is_written_is_held_and_kept(capfd):
    with _tensorflow._held_stderr() as held:
        os.write(2, b"could not find cuda drivers\n")
    assert held == ["could not find cuda drivers\n"]
    assert capfd.readouterr().err == ""
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_error_lets_it_all_out(capfd):
    with pytest.raises(ImportError, match="broken"), _tensorflow._held_stderr():  # noqa: PT012
        os.write(2, b"why it is broken\n")
        raise ImportError("broken")
    assert capfd.readouterr().err == "why it is broken\n"


def test_without_a_standard_error_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw on Windows
    with _tensorflow._held_stderr() as held:
        pass
    assert held == []


def test_the_module_runs_as_a_command():
    run = subprocess.run([sys.executable, "-m", "course_cnn", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("course-cnn ")
