"""The sandbox where the others do not reach: for an ordinary user, without namespaces, without fork."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time

import numpy as np
import pytest

from course_cnn.grading import sandbox
from course_cnn.grading.assignment import Assignment
from course_cnn.grading.grade import fork_server, grade_bytes
from tests.grading.conftest import make_assignment, solved
from tests.grading.ordinary import ROOT

linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")


def others_python():
    """A Python of this version that all users can read, with our packages on its path; or None."""
    python = f"/usr/bin/python3.{sys.version_info[1]}"
    environment = {"PYTHONPATH": f"{sysconfig.get_paths()['purelib']}:{ROOT}", "HOME": "/", "PATH": os.environ["PATH"]}
    command = [python, "-c", "import numpy, pydantic, course_cnn"]
    try:
        works = subprocess.run(command, env=environment, user=12345, group=12345, extra_groups=[], capture_output=True)
    except (OSError, PermissionError):
        return None
    return (python, environment) if works.returncode == 0 else None


@linux
@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_grades_in_namespaces_of_its_own(tmp_path):
    found = others_python()
    if found is None:
        pytest.skip("no Python of this version that other users can read")
    python, environment = found
    assignment = make_assignment(tmp_path / "a")
    (tmp_path / "in" / "ana").mkdir(parents=True)
    spy = """
        import os, socket
        print("SEEN", os.getuid(), os.path.exists("/etc/passwd"), os.listdir("."), len(os.listdir("/proc")) < 300)
        try:
            open("/tmp/x/y", "w")
        except OSError as error:
            print("WRITE", type(error).__name__)
        try:
            socket.create_connection(("127.0.0.1", 1), 1)
        except OSError as error:
            print("NET", error.errno)
    """
    (tmp_path / "in" / "ana" / "tiny.ipynb").write_text(json.dumps(solved(spy)))
    out = tmp_path / "out"
    out.mkdir()
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    os.chown(out, 12345, 12345)
    command = [python, "-m", "course_cnn", "grade", assignment, tmp_path / "in", "--out", out]
    run = subprocess.run(
        command, env=environment, cwd="/", user=12345, group=12345, extra_groups=[], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    with open(out / "grades.csv", newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["5"]
    result = json.loads((out / "ana" / "results.json").read_text())
    if not result["isolation"]["namespaces"]:
        pytest.skip("this system gives ordinary users no namespaces")
    assert "SEEN 12345 False [] True" in result["output"]
    assert "WRITE FileNotFoundError" in result["output"]
    assert "NET 101" in result["output"]  # the network is unreachable, the loopback too
    assert all(result["isolation"].values())


@pytest.mark.parametrize("options", [{"namespaces": False}, {"fork": False}], ids=str)
def test_with_less_there_is_a_result_and_it_is_reported(tiny, options):
    assignment = Assignment(tiny)
    with fork_server(assignment, **options) as server:
        result = grade_bytes(assignment, server, "s", "x", json.dumps(solved()).encode(), seed=0)
        hang = grade_bytes(
            assignment, server, "s", "x", json.dumps(solved(mean="def mean(x):\n    while 1: pass")).encode(), seed=0
        )
    assert result["score"] == 5
    assert hang["score"] == 3
    assert result["isolation"]["process"]
    assert not result["isolation"].get("namespaces")
    assert not result["isolation"].get("network")


def test_the_environment_of_workers_is_clean(tiny, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    assignment = Assignment(tiny)
    with fork_server(assignment) as server:
        book = solved("import os, json\nprint('ENV', sorted(os.environ))")
        output = grade_bytes(assignment, server, "s", "x", json.dumps(book).encode(), seed=0)["output"]
    assert "ENV" in output
    assert "SECRET_TOKEN" not in output


@linux
def test_memory_of_processes_is_counted():
    proc = os.open("/proc", os.O_RDONLY)
    memory, processes = sandbox._family(os.getpid(), proc)
    held = np.ones(20_000_000)  # 160 MB
    more, _ = sandbox._family(os.getpid(), proc)
    exact, _ = sandbox._family(os.getpid(), proc, exact=True)
    if (child := os.fork()) == 0:
        time.sleep(20)
        os._exit(0)
    try:
        twice, two = sandbox._family(os.getpid(), proc)
        once, _ = sandbox._family(os.getpid(), proc, exact=True)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(proc)
    assert two == processes + 1
    assert twice > more + 150e6  # a fork seems to have all of it again
    assert abs(once - exact) < 50e6  # but shares it
    assert processes >= 1
    assert 150e6 < more - memory < 250e6
    assert held[0] == 1


@pytest.mark.parametrize("sent", [0, 2, 4, 9])
def test_a_grader_killed_in_the_middle_of_a_request_is_the_end(sent):
    """The fork server waited for the rest for ever, busily: a grader ended by SIGTERM left it behind."""
    ours, theirs = socket.socketpair()
    text = json.dumps({"memory": 1}).encode()
    with theirs:
        with ours:
            socket.send_fds(ours, [(len(text).to_bytes(4, "big") + text)[:sent]], [1] if sent else [])
        connection = f"socket.socket(fileno={theirs.fileno()})"
        code = f"import socket; from course_cnn.grading import sandbox; print(sandbox.receive({connection}))"
        done = subprocess.run(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=30
        )
    assert done.stdout == "None\n"
