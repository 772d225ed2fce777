"""The grader against 300 hostile, broken and odd submissions: each gets its fair mark, and nobody else notices."""

import contextlib
import hashlib
import json
import os
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import adversarial_assignment as tiny
import jsonschema
import numpy as np
import pytest
from adversarial_cases import CASES, GOOD, NETWORKS

import course_cnn
from course_cnn.grading import batch, grade, models, sandbox, session, wire, worker
from course_cnn.grading import submission as submissions
from course_cnn.grading.assignment import Assignment
from course_cnn.grading.checks import Failed

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's; elsewhere its layers are absent"),
]

PACKAGE = Path(course_cnn.__file__).parent
SCHEMA = json.loads((PACKAGE / "grading" / "results.schema.json").read_text(encoding="utf-8"))
LIMIT = 15  # seconds that a submission has, in tiny.TOML
BYSTANDERS = ("a_bystander", "m_bystander", "z_bystander")
BY_NAME = {case.name: case for case in CASES}

# A handful for every run; the others are slow together.
QUICK = (
    "loop_in_function", "exits_in_cell", "list_bomb", "prints_200_megabytes", "leaves_a_daemon", "kills_all",
    "half_a_frame", "patches_comparisons", "damage_in_a_cell_of_its_own", "equal_to_all", "reads_the_checks",
    "overwrites_another_notebook", "walks_memory_and_stack", "answer_overwritten_by_accident", "cut_off",
    "link_to_another", "format_3", "file_and_folder", "honest",
)  # fmt: skip

# What is also tried where layers are missing; in the last ones the code runs as whoever runs the tests.
WITHOUT_NAMESPACES = (
    "honest", "loop_in_function", "exits_in_cell", "kills_itself_in_function", "list_bomb", "bomb_in_children",
    "prints_200_megabytes", "floods_in_a_thread", "leaves_a_daemon", "leaves_what_ignores_signals", "fork_bomb",
    "fork_bomb_that_goes_on", "memory_that_is_a_file", "frame_that_grows", "frames_before_being_asked",
    "patches_comparisons",
    "damage_inside_a_question", "equal_to_all", "walks_memory_and_stack", "deep_recursion", "files_nobody_can_delete",
)  # fmt: skip
WITHOUT_FORK = (
    "honest", "loop_in_function", "exits_in_cell", "kills_itself_in_function", "segfault", "prints_200_megabytes",
    "noise_in_honest_functions", "half_a_frame", "frame_that_grows", "frames_before_being_asked", "patches_comparisons",
    "damage_inside_a_question", "equal_to_all", "walks_memory_and_stack", "sys_exit_in_function", "magics",
    "star_import",
)  # fmt: skip


class Class:
    """A class of students in a folder: an assignment, submissions, results, and what the cases may look for."""

    def __init__(self, base, cases):
        self.base, self.cases = base, cases
        self.assignment = tiny.write_tiny(base / "assignment")
        self.handed_in, self.out = base / "handed in", base / "out"
        self.handed_in.mkdir()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0adversarial-{self.port}")
        self.abstract.listen()
        for name in BYSTANDERS:
            self._put(f"{name}/tiny.ipynb", tiny.text("# a-word-of-a-bystander", *tiny.HONEST.values()).encode())
        for case in cases:
            for path, made in case.files.items():
                self._put(path, made)

    def filled(self, data):
        """A text or bytes with the places of this class put in."""
        places = {"HANDED_IN": self.handed_in, "OUT": self.out, "ASSIGNMENT": self.assignment, "PORT": self.port}
        for name, place in places.items():
            if isinstance(data, bytes):
                data = data.replace(f"{{{name}}}".encode(), str(place).encode())
            else:
                data = data.replace(f"{{{name}}}", str(place))
        return data

    def close(self):
        self.listener.close()
        self.abstract.close()

    def _put(self, path, made):
        path = self.handed_in / path
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(self.filled(made)) if isinstance(made, bytes) else made(path)


def held(*layers):
    """Whether the sandbox of this system has all these layers."""
    if not layers:
        return True
    if not hasattr(held, "layers"):
        with grade.ForkServer(memory=10**9, seconds=10) as server:
            started = server.start()
            held.layers = started.end()["layers"]
            started.output.close()
    return all(held.layers[layer] for layer in layers)


def tree(folder):
    """{path: what it is and holds} of everything below a folder."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if "__pycache__" in path.parts:
            continue
        status = path.lstat()
        inside = ""
        if stat.S_ISLNK(status.st_mode):
            inside = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with contextlib.suppress(PermissionError):
                inside = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = (status.st_mode, status.st_size if inside else 0, inside)
    return found


def left_files():
    """Files of workers where everybody may write."""
    found = set()
    for place in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/", str(Path.home())):
        with contextlib.suppress(OSError):
            for entry in os.scandir(place):
                with contextlib.suppress(OSError):
                    user = entry.stat(follow_symlinks=False).st_uid
                    if "adversarial-" in entry.name or _is_worker(user) or entry.name.startswith("course-cnn-worker-"):
                        found.add(entry.path)
    return found


def left_processes(marker):
    """{(number, start): command} of processes that workers left: by the mark in their environment, by their words, or
    by their user where they have thrown the environment away. The workers of other graders on this machine have theirs.
    """
    found = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        place = Path("/proc", number)
        with contextlib.suppress(OSError, IndexError):
            command = (place / "cmdline").read_bytes()
            started = (place / "stat").read_text().rpartition(")")[2].split()[19]
            environment = (place / "environ").read_bytes()
            stranger = _is_worker(place.stat().st_uid) and b"COURSE_CNN_GRADING=" not in environment
            ours = marker.encode() in environment or re.search(rb"sleep\x00?8612\d", command)
            if int(number) != os.getpid() and (ours or stranger):
                found[number, started] = command.decode(errors="replace")
    return found


def _is_worker(user):
    return sandbox.FIRST_USER <= user < sandbox.FIRST_USER + sandbox.USERS


def wait_until_empty(look, seconds=20):
    """What is still there of what `look()` found at first, when it does not go away by itself.

    Other graders may be at work on this machine at the same time: theirs come and go.
    """
    there, end = set(look()), time.monotonic() + seconds
    while there and time.monotonic() < end:
        time.sleep(0.2)
        there &= set(look())
    return there


def peak_memory(reset=False):
    """The most memory that this process has had, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


@contextlib.contextmanager
def marked(monkeypatch):
    """Mark the environment of all that is started within."""
    marker = f"/adversarial/{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{marker}")
    monkeypatch.setenv("ADVERSARIAL_SECRET", "of the instructor")
    yield marker


class Graded:
    """A class after grading: the results by student, and what was there before and after."""

    def __init__(self, base, names, jobs):
        self.cases = [case for name, case in BY_NAME.items() if name in names and held(*case.needs)]
        self.room = Class(base, self.cases)
        folders = {"submissions": self.room.handed_in, "assignment": self.room.assignment, "package": PACKAGE}
        with pytest.MonkeyPatch.context() as patch, marked(patch) as marker:
            self.files_before, before = left_files(), {name: tree(path) for name, path in folders.items()}
            started, memory = time.monotonic(), peak_memory(reset=True)
            self.summary = batch.grade_folder(self.room.assignment, self.room.handed_in, self.room.out, jobs=jobs)
            self.seconds, self.memory = time.monotonic() - started, peak_memory() - memory
            self.processes = wait_until_empty(lambda: left_processes(marker))
        self.files = wait_until_empty(lambda: left_files() - self.files_before)
        self.changed = {name: _difference(before[name], tree(path)) for name, path in folders.items()}
        self.results = {result["student"]: result for result in batch.results_of(self.room.out)}
        self.room.close()

    def result(self, name):
        return self.results[os.fsencode(name).decode("utf-8", "backslashreplace")]


def _difference(before, after):
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def assert_fair(case, result, room=None):
    """The result of a case is its fair one, and says nothing that it must not say."""
    jsonschema.validate(result, SCHEMA) if "key" in result else None
    told = [result["reason"], result["output"], *(test["message"] for test in result["tests"])]
    said = "\n".join([*told, *(cell["error"] for cell in result["cells"])])
    for word in case.never:
        assert (room.filled(word) if room else word) not in said
    if isinstance(case.fair, str):
        assert result["status"] == "could not be graded", scores(result)
        assert case.fair in result["reason"]
        assert result["score"] == 0
    else:
        assert result["status"] == "graded", result["reason"]
        if case.costly:
            assert all(got <= case.fair[question] for question, got in scores(result).items())
        else:
            assert scores(result) == case.fair, said
        assert result["score"] == sum(scores(result).values())
    assert result["max_score"] == 10
    assert result["execution_time"] < LIMIT + 5
    assert len(result["output"]) < 21_000
    assert not [test["problem"] for test in result["tests"] if test.get("problem")]


def scores(result):
    return {question["name"]: question["score"] for question in result["questions"]}


def assert_nobody_noticed(graded):
    """Bystanders have their marks, files are as they were, and nothing runs or lies about any more."""
    for name in BYSTANDERS:
        assert scores(graded.result(name)) == tiny.FULL
    assert graded.changed == {"submissions": [], "assignment": [], "package": []}
    assert graded.processes == set()
    assert graded.files == set()


# --- a handful -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return Graded(tmp_path_factory.mktemp("few"), QUICK, jobs=2)


@pytest.mark.parametrize("name", QUICK)
def test_a_handful_is_fair(few, name):
    if not held(*BY_NAME[name].needs):
        pytest.skip(f"without {BY_NAME[name].needs} this would harm the machine")
    assert_fair(BY_NAME[name], few.result(name), few.room)


def test_a_handful_harms_nobody(few):
    assert_nobody_noticed(few)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return Graded(tmp_path_factory.mktemp("all"), BY_NAME, jobs=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME, ids=lambda name: ascii(name)[1:-1][:60])
def test_fair(graded, name):
    if not held(*BY_NAME[name].needs):
        pytest.skip(f"without {BY_NAME[name].needs} this would harm the machine")
    assert_fair(BY_NAME[name], graded.result(name), graded.room)


@pytest.mark.slow
def test_every_submission_has_a_result(graded):
    assert len(graded.results) == len(graded.cases) + len(BYSTANDERS) == graded.summary["submissions"]
    table = (graded.room.out / "grades.csv").read_text(encoding="utf-8")
    assert table.startswith("student,score,max_score,status,reason\n")
    assert graded.summary["needs manual grade"] == 0
    assert graded.summary["could not be graded"] == sum(isinstance(case.fair, str) for case in graded.cases)


@pytest.mark.slow
def test_all_of_them_harm_nobody(graded):
    assert_nobody_noticed(graded)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, word",
    [
        ("bomb_in_children", "more memory than"), ("loop_in_first_cell", "took longer than"),
        ("exits_in_cell", "ended its process"), ("segfault", "segmentation fault"),
        ("raises_first", "ZeroDivisionError"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said(graded, name, word):
    """Not left to the clock: the watch over all processes together sees them grow."""
    assert word in graded.result(name)["cells"][0]["error"]


@pytest.mark.slow
def test_the_grader_stays_small(graded):
    assert graded.memory < 400_000_000  # the largest file is 50 MB, and four are read at a time


@pytest.mark.slow
def test_a_second_run_finds_nothing_to_do(graded):
    room = graded.room
    again = batch.grade_folder(room.assignment, room.handed_in, room.out)
    assert again["graded_now"] == 0


# --- layers missing --------------------------------------------------------------------------------------------------


def graded_with(base, names, **options):
    """{name: result} of some notebooks, one after the other, by a fork server with these options."""
    assignment = Assignment(tiny.write_tiny(base))
    results, files = {}, left_files()
    with pytest.MonkeyPatch.context() as patch, marked(patch) as marker:
        with grade.fork_server(assignment, **options) as server:
            for name in names:
                ((path, data),) = BY_NAME[name].files.items()
                results[name] = grade.grade_bytes(assignment, server, name, path, data, seed=7)
        processes = wait_until_empty(lambda: left_processes(marker))
    return results, processes, wait_until_empty(lambda: left_files() - files)


@pytest.fixture(scope="module")
def without_namespaces(tmp_path_factory):
    return graded_with(tmp_path_factory.mktemp("flat"), WITHOUT_NAMESPACES, namespaces=False)


@pytest.fixture(scope="module")
def without_fork(tmp_path_factory):
    return graded_with(tmp_path_factory.mktemp("fresh"), WITHOUT_FORK, fork=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_NAMESPACES)
def test_fair_without_namespaces(without_namespaces, name):
    results, _, _ = without_namespaces
    assert_fair(BY_NAME[name], results[name])
    assert results[name]["isolation"]["namespaces"] is False
    assert results[name]["isolation"]["network"] is False
    assert results[name]["isolation"]["user"] is (os.geteuid() == 0)


@pytest.mark.slow
def test_nothing_is_left_without_namespaces(without_namespaces):
    _, processes, files = without_namespaces
    assert processes == set()
    assert files == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_FORK)
def test_fair_without_fork(without_fork, name):
    results, _, _ = without_fork
    assert_fair(BY_NAME[name], results[name])
    claimed = {layer for layer, holds in results[name]["isolation"].items() if holds}
    assert claimed <= {"process", "folder"}


@pytest.mark.slow
def test_nothing_is_left_without_fork(without_fork):
    _, processes, files = without_fork
    assert processes == set()
    assert files == set()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["", "    os.setsid()\n"])
def test_who_gets_away_does_not_hold_the_grader(tmp_path, way):
    """Without a keeper a process may outlive its worker; it holds the pipes, and nobody waits for it."""
    assignment = Assignment(tiny.write_tiny(tmp_path))
    cell = f"import os, time\nif os.fork() == 0:\n{way}    time.sleep(30)\n    os._exit(0)"
    with grade.fork_server(assignment, fork=False) as server:
        started = time.monotonic()
        book = tiny.text(cell, *tiny.HONEST.values()).encode()
        result = grade.grade_bytes(assignment, server, "s", "tiny.ipynb", book, seed=7)
    assert scores(result) == tiny.FULL
    assert time.monotonic() - started < LIMIT + 5


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_fair_for_an_ordinary_user(tmp_path):
    """The same as an ordinary user sees it, who grades a class on a laptop."""
    assignment, user = tiny.write_tiny(tmp_path / "assignment"), 61_000  # below the users of workers
    names = [
        "honest", "loop_in_function", "exits_in_cell", "kills_itself", "patches_comparisons", "list_bomb",
        "kills_its_group", "leaves_a_daemon", "memory_that_is_a_file",
    ]  # fmt: skip
    submitted = {name: next(iter(BY_NAME[name].files.values())).decode() for name in names}
    (tmp_path / "submitted.json").write_text(json.dumps(submitted), encoding="utf-8")
    script = f"""
import json
from course_cnn.grading import grade
from course_cnn.grading.assignment import Assignment
assignment = Assignment({str(assignment)!r})
with grade.fork_server(assignment) as server:
    for name, text in json.load(open("submitted.json")).items():
        print(json.dumps(grade.grade_bytes(assignment, server, name, "tiny.ipynb", text.encode(), seed=7)))
"""
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, user, user)
    folder = tmp_path
    while folder != folder.parent and "pytest" in str(folder):
        folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch, marked(patch) as marker:
        command = [sys.executable, "-c", script]
        options = {"cwd": tmp_path, "user": user, "group": user, "extra_groups": [], "text": True}
        try:
            tried = subprocess.run([sys.executable, "-c", "import course_cnn.grading.grade"], **options)
            readable = tried.returncode == 0
        except PermissionError:
            readable = False
        if not readable:
            pytest.skip("an ordinary user cannot read this Python")
        run = subprocess.run(command, **options, capture_output=True, timeout=120)
        assert wait_until_empty(lambda: left_processes(marker)) == set()
    assert run.returncode == 0, run.stderr
    results = {result["student"]: result for result in map(json.loads, run.stdout.splitlines())}
    assert list(results) == names
    for name in names:
        if results[name]["isolation"]["namespaces"] or not BY_NAME[name].needs:
            assert_fair(BY_NAME[name], results[name])


# --- pieces ----------------------------------------------------------------------------------------------------------


def test_kept_output_is_bounded():
    kept = session.Output()
    for _ in range(50):
        kept.add(b"x" * 65_536)
    assert len(kept._data) == session.OUTPUT_LIMIT
    assert kept.dropped == 50 * 65_536 - session.OUTPUT_LIMIT


@pytest.mark.parametrize("text", ["\n" * 200_000, " " * 200_000, "#" * 200_000, "# " * 100_000, "#\n" * 100_000])
def test_text_answers_are_found_in_time(text):
    notebook = submissions.Notebook([], [(None, text + "Answer"), (None, "# Answer: essay\nbecause")])
    started = time.process_time()
    assert notebook.answer("essay") == "because"
    assert time.process_time() - started < 2


CLAIMED = {
    "padding": ("ZeroPadding2D", {"padding": [[3000, 3000]] * 2}, []),
    "pool": ("MaxPooling2D", {"pool_size": [600, 600], "strides": [1, 1], "padding": "same"}, []),
    "units": ("Dense", {"activation": "softmax"}, [np.zeros((1, 125_000), "float32")]),
    "filters": (
        "Conv2D", {"data_format": "channels_last", "groups": 1, "padding": "same", "dilation_rate": [1, 1],
                   "strides": [1, 1], "activation": "relu"}, [np.zeros((1, 1, 1, 125_000), "float32")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMED)
def test_what_the_grader_computes_is_bounded(name):
    """A layer of half a megabyte, real or only claimed, can ask for gigabytes."""
    kind, config, weights = CLAIMED[name]
    layer = {
        "kind": kind, "name": "it", "config": config, "output_shape": None, "params": 1, "inputs": [], "uses": 1,
        "weights": list(range(len(weights))),
    }  # fmt: skip
    described = {
        "keras model": 0, "layers": [layer], "params": 1, "trainable_params": 1, "input_shape": None,
        "output_shape": None,
    }  # fmt: skip
    model = models.ModelAnswer(lambda *_, **__: weights, described)
    memory = peak_memory(reset=True)
    with pytest.raises(Failed, match="more numbers"):
        model.recompute(np.zeros((1, 16, 16, 1)))
    assert peak_memory() - memory < 200_000_000


@pytest.mark.parametrize(
    "tree",
    [
        {"tuple": [{"array": ["|u1", [1000], 0]}] * 2},  # the same bytes twice
        {"array": ["<f8", [-1], 0]}, {"array": ["<f8", [10**18, 10**18], 0]}, {"array": ["O", [1], 0]},
        {"array": ["<f8", [1.0], 0]}, {"array": ["<f8", [1], -8]}, {"array": ["f8,f8", [1], 0]}, {"bytes": [0, -1]},
        {"bytes": [0.0, 10]}, {"dict": [[1, 2]]}, {"scalar": 5}, {"unknown": []}, {}, {"tuple": 5},
    ],
)  # fmt: skip
def test_frames_of_others_are_refused(tree):
    words = json.dumps(tree).encode()
    with pytest.raises(wire.WireError):
        wire.unpack(words + bytes(1000), len(words))


def test_every_exception_is_told():
    kind = type("Kind", (type,), {"__name__": property(lambda cls: 5)})
    odd = kind("Odd", (Exception,), {"__traceback__": 5})
    assert worker.told(odd()) == "an exception that cannot be shown"


def test_a_good_notebook_is_good():
    assert len(submissions.parse(GOOD.encode(), "tiny.ipynb").code) == 4


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    assignment = Assignment(tiny.write_keras(tmp_path_factory.mktemp("networks")))
    with grade.fork_server(assignment) as server:
        yield lambda *cells: grade.grade_bytes(assignment, server, "s", "n.ipynb", tiny.text(*cells).encode(), seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_fair_networks(networks, name):
    fair, cells = NETWORKS[name]
    memory = peak_memory(reset=True)
    result = networks(*cells, tiny.KERAS_HONEST["add"])
    said = [test["message"] for test in result["tests"]] + result["cells"]
    assert scores(result) == fair, said
    assert result["execution_time"] < 65
    assert peak_memory() - memory < 500_000_000
    assert not [test["problem"] for test in result["tests"] if test.get("problem")]
