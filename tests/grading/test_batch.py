"""A class: layouts, resuming, grading only what changed, marks by hand, lateness, folders that are something else."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import jsonschema
import pytest

from course_cnn.cli import main
from course_cnn.grading import batch
from course_cnn.grading.batch import GradingError, grade_folder
from course_cnn.grading.results import schema
from tests.grading.conftest import TOML, cell, make_assignment, solved
from tests.grading.ordinary import ROOT

WRONG = "def mean(x):\n    return 0.0"


def hand_in(folder, **books):
    for student, book in books.items():
        (folder / student).mkdir(parents=True, exist_ok=True)
        (folder / student / "tiny.ipynb").write_text(
            book if isinstance(book, str) else json.dumps(book), encoding="utf-8"
        )
    return folder


@pytest.fixture
def school(tmp_path):
    """(assignment, submissions) with one right, one wrong, one broken submission."""
    essay = solved()
    essay["cells"].append(cell("### Answer: essay\n=1+1", "markdown"))
    folder = hand_in(tmp_path / "handed in", ana=essay, ben=solved(mean=WRONG), cem="broken")
    return make_assignment(tmp_path / "assignment"), folder


def table(out, name="grades.csv"):
    with open(out / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def result(out, student):
    return json.loads((out / student / "results.json").read_text(encoding="utf-8"))


def test_a_class(school, tmp_path):
    summary = grade_folder(*school, tmp_path / "out")
    assert table(tmp_path / "out") == [
        {"student": "ana", "score": "5", "max_score": "9", "status": "needs manual grade",
         "reason": "To be graded by hand: essay."},
        {"student": "ben", "score": "3", "max_score": "9", "status": "needs manual grade",
         "reason": "To be graded by hand: essay."},
        {"student": "cem", "score": "0", "max_score": "9", "status": "could not be graded",
         "reason": "tiny.ipynb is not a complete notebook: its JSON breaks at line 1; "
                   "download it again and hand it in."},
    ]  # fmt: skip
    assert (tmp_path / "out" / "grades.csv").read_text().splitlines()[0] == "student,score,max_score,status,reason"
    assert (summary["submissions"], summary["graded_now"], summary["could not be graded"], summary["mean"]) == (
        3,
        3,
        1,
        4,
    )
    for student in ("ana", "ben", "cem"):
        jsonschema.validate(result(tmp_path / "out", student), schema())


def test_the_schema_in_the_repository_is_that_of_the_code():
    stored = json.loads((ROOT / "course_cnn/grading/results.schema.json").read_text(encoding="utf-8"))
    assert stored == schema()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"format": 1}, stored)


def test_only_what_changed_is_graded_again(school, tmp_path):
    assignment, folder = school
    out = tmp_path / "out"
    grade_folder(assignment, folder, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert grade_folder(assignment, folder, out)["graded_now"] == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before  # not even touched
    (folder / "ana" / "tiny.ipynb").touch()
    assert grade_folder(assignment, folder, out)["graded_now"] == 0  # the content counts, not the time
    hand_in(folder, ben=solved(), dora=solved())
    assert grade_folder(assignment, folder, out)["graded_now"] == 2
    assert [row["score"] for row in table(out)] == ["5", "5", "0", "5"]
    assert grade_folder(assignment, folder, out, force=["ana"])["graded_now"] == 1
    assert grade_folder(assignment, folder, out, force=None)["graded_now"] == 4
    (assignment / "assignment.toml").write_text(TOML.replace("The mean", "A mean"))
    assert grade_folder(assignment, folder, out)["graded_now"] == 4  # another assignment, other marks


def test_a_student_who_withdrew_is_no_longer_in_the_table(school, tmp_path):
    assignment, folder = school
    grade_folder(assignment, folder, tmp_path / "out")
    (folder / "cem" / "tiny.ipynb").unlink()
    (folder / "cem").rmdir()
    summary = grade_folder(assignment, folder, tmp_path / "out")
    assert (summary["submissions"], summary["graded_now"]) == (2, 0)
    assert [row["student"] for row in table(tmp_path / "out")] == ["ana", "ben"]


def test_damaged_results_are_graded_again(school, tmp_path):
    out = tmp_path / "out"
    grade_folder(*school, out)
    (out / "ana" / "results.json").write_text('{"format": 1')
    (out / "ben" / "results.json").unlink()
    assert grade_folder(*school, out)["graded_now"] == 2
    assert result(out, "ana")["score"] == 5


def test_jobs_give_the_same_table(school, tmp_path):
    for jobs in (1, 2, 3):
        grade_folder(*school, tmp_path / f"out{jobs}", jobs=jobs, seed=3)
    tables = {(tmp_path / f"out{jobs}" / "grades.csv").read_bytes() for jobs in (1, 2, 3)}
    assert len(tables) == 1


def test_the_seed_is_drawn_once_and_kept(school, tmp_path):
    assignment, folder = school
    for name in ("a", "b"):
        grade_folder(assignment, folder, tmp_path / name)
    seeds = [batch.state_of(tmp_path / name)["seed"] for name in ("a", "b")]
    assert seeds[0] != seeds[1]
    hand_in(folder, dora=solved())
    grade_folder(assignment, folder, tmp_path / "a")
    assert batch.state_of(tmp_path / "a")["seed"] == seeds[0]


def fill_in(out, **points):
    rows = table(out, "manual.csv")
    for row in rows:
        if row["student"] in points:
            row["points"], row["comment"] = points[row["student"]], "well said"
    with open(out / "manual.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_marks_by_hand_count_and_survive(school, tmp_path):
    assignment, folder = school
    out = tmp_path / "out"
    grade_folder(assignment, folder, out)
    rows = [(row["student"], row["question"], row["max_points"], row["points"]) for row in table(out, "manual.csv")]
    assert rows == [("ana", "essay", "4", ""), ("ben", "essay", "4", "")]
    assert table(out, "manual.csv")[0]["answer"] == "'=1+1"  # not a formula in a spreadsheet
    fill_in(out, ana="3,5")
    assert grade_folder(assignment, folder, out)["graded_now"] == 0
    assert table(out)[0] == {"student": "ana", "score": "8.5", "max_score": "9", "status": "graded", "reason": ""}
    (essay,) = (q for q in result(out, "ana")["questions"] if q["manual"])
    assert (essay["score"], essay["comment"], essay["status"]) == (3.5, "well said", "graded")
    grade_folder(assignment, folder, out, force=None)
    assert table(out)[0]["score"] == "8.5"
    changed = solved()
    changed["cells"].append(cell("### Answer: essay\nAnother text.", "markdown"))
    hand_in(folder, ana=changed)
    grade_folder(assignment, folder, out)
    assert table(out)[0]["score"] == "8.5"
    assert table(out, "manual.csv")[0]["note"] == "the answer has changed since it was marked"
    (folder / "ana" / "tiny.ipynb").write_text("broken")
    grade_folder(assignment, folder, out)
    assert [row["points"] for row in table(out, "manual.csv") if row["student"] == "ana"] == [
        "3.5"
    ]  # never thrown away


@pytest.mark.parametrize("points", ["5", "-1", "many", "nan", "inf"])
def test_a_mark_outside_its_range_is_refused(school, tmp_path, points):
    grade_folder(*school, tmp_path / "out")
    fill_in(tmp_path / "out", ana=points)
    before = (tmp_path / "out" / "grades.csv").read_bytes()
    with pytest.raises(GradingError, match="row 2: points must be a number from 0 to 4"):
        grade_folder(*school, tmp_path / "out")
    assert (tmp_path / "out" / "grades.csv").read_bytes() == before


LATE = TOML + "\n[late]\ndue = 2026-12-01T12:00:00+01:00\ntable = [[0, 10], [24, 50]]\n"


def test_late_work_loses_what_the_table_says(school, tmp_path):
    assignment, folder = school
    (assignment / "assignment.toml").write_text(LATE)
    times = tmp_path / "times.csv"
    times.write_text(
        "student,submitted,extension_hours\nana,2026-12-01T14:00:00+01:00,\nben,2026-12-03T12:00:00+01:00,48\n"
    )
    out = tmp_path / "out"
    grade_folder(assignment, folder, out, times=times)
    assert [row["score"] for row in table(out)] == ["4.5", "3", "0"]
    assert result(out, "ana")["late"] == {"hours": 2.0, "percent": 10.0}
    assert (result(out, "ana")["raw_score"], result(out, "ben")["late"]) == (5, None)
    times.write_text(times.read_text().replace("48", "0"))
    assert grade_folder(assignment, folder, out, times=times)["graded_now"] == 0  # worked out anew, not graded anew
    assert [row["score"] for row in table(out)] == ["4.5", "1.5", "0"]


def test_times_that_make_no_sense(school, tmp_path):
    times = tmp_path / "times.csv"
    times.write_text("student,submitted\nana,yesterday\n")
    with pytest.raises(GradingError, match=r"has no \[late\] table"):
        grade_folder(*school, tmp_path / "out", times=times)
    (school[0] / "assignment.toml").write_text(LATE)
    with pytest.raises(GradingError, match=r"times\.csv, row 2: wanted are the columns student, submitted"):
        grade_folder(*school, tmp_path / "out", times=times)
    times.write_text("student,submitted\nana,2026-12-01T12:00:00\n")
    with pytest.raises(GradingError, match="no offset from UTC"):
        grade_folder(*school, tmp_path / "out", times=times)


def test_folders_that_are_something_else(school, tmp_path):
    assignment, folder = school
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "file").touch()
    for out, match in (
        (tmp_path / "photos", "holds other things. Name a new or empty"),
        (tmp_path / "file", "is a file. Name a folder"),
        (folder, "lies in the folder of submissions"),
        (folder / "out", "lies in the folder of submissions"),
    ):
        with pytest.raises(GradingError, match=match):
            grade_folder(assignment, folder, out)
    assert sorted(p.name for p in folder.iterdir()) == ["ana", "ben", "cem"]
    with pytest.raises(GradingError, match=r"There is no folder .* that holds the submissions"):
        grade_folder(assignment, tmp_path / "none", tmp_path / "out")
    grade_folder(assignment, folder, tmp_path / "out")
    with pytest.raises(GradingError, match="There is no submission of zoe"):
        grade_folder(assignment, folder, tmp_path / "out", force=["zoe"])
    (tmp_path / "out" / batch.STATE).write_text(json.dumps({"assignment": "other"}))
    with pytest.raises(GradingError, match="holds the results of 'other', not of 'tiny'"):
        grade_folder(assignment, folder, tmp_path / "out")
    (tmp_path / "out" / batch.STATE).write_text("{")
    with pytest.raises(GradingError, match=r"is damaged\. Delete it to go on"):
        grade_folder(assignment, folder, tmp_path / "out")
    (tmp_path / "out" / batch.STATE).unlink()  # the remedy
    assert grade_folder(assignment, folder, tmp_path / "out")["graded_now"] == 0


def test_an_empty_folder_of_submissions(school, tmp_path):
    (tmp_path / "empty").mkdir()
    assert grade_folder(school[0], tmp_path / "empty", tmp_path / "out")["submissions"] == 0
    assert table(tmp_path / "out") == []


def test_two_graders_do_not_meet(school, tmp_path):
    grade_folder(*school, tmp_path / "out")
    with batch._locked(tmp_path / "out"), pytest.raises(GradingError, match="Another grader is at work"):
        grade_folder(*school, tmp_path / "out")


def test_names_of_our_own_files(school, tmp_path):
    assignment, folder = school
    hand_in(folder, **{"report.html": solved(), "grades.csv": solved(), "a b'\"ü": solved()})
    grade_folder(assignment, folder, tmp_path / "out")
    rows = {row["student"]: row["score"] for row in table(tmp_path / "out")}
    assert rows["report.html"] == rows["grades.csv"] == rows["a b'\"ü"] == "5"
    assert result(tmp_path / "out", "grades.csv.student")["student"] == "grades.csv"


def test_the_graders_own_failure_is_said_and_tried_again(school, tmp_path, monkeypatch):
    from course_cnn.grading import grade

    def fail(*_, **__):
        raise RuntimeError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(grade, "grade_file", fail)
        grade_folder(*school, tmp_path / "out")
    assert "The grader itself failed (RuntimeError: no luck)" in table(tmp_path / "out")[0]["reason"]
    assert grade_folder(*school, tmp_path / "out")["graded_now"] == 3
    assert table(tmp_path / "out")[0]["score"] == "5"


def command(*words, **options):
    return [sys.executable, "-m", "course_cnn", "grade", *map(str, words)]


def test_the_command(school, tmp_path, capsys):
    assert main(["grade", *map(str, school), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 submissions, 3 graded now in ")
    assert "cem: tiny.ipynb is not a complete notebook" in said
    assert f"wrote {tmp_path}/out/grades.csv and {tmp_path}/out/manual.csv" in said
    assert main(["grade", *map(str, school), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words, said",
    [
        (["none", "none", "--out", "x"], "There is no folder none"),
        (["{0}", "none", "--out", "x"], "There is no folder none"),
        (["{0}", "{1}", "--out", "{1}"], "lies in the folder of submissions"),
    ],
)
def test_mistakes_end_with_2_and_one_sentence(school, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["grade", *(word.format(*school) for word in words)])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_jobs_must_be_a_number(capsys):
    with pytest.raises(SystemExit):
        main(["grade", "a", "b", "--out", "c", "--jobs", "0"])
    assert "invalid number >= 1 value: '0'" in capsys.readouterr().err


def workers_left(grader):
    """Processes whose environment says that this grader, a process number, started them."""
    left, mark = [], f"COURSE_CNN_GRADING={grader}\0".encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                left += [name] if mark in file.read() + b"\0" else []
        except OSError:
            continue
    return left


def test_what_holds_no_notebook_has_a_result_and_progress_counts_it(school, tmp_path):
    assignment, folder = school
    (folder / "dan").mkdir()
    (folder / "eve.pdf").write_bytes(b"%PDF")
    seen = []
    summary = grade_folder(assignment, folder, tmp_path / "out", show=lambda *told: seen.append(told))
    rows = {row["student"]: row for row in table(tmp_path / "out")}
    assert set(rows) == {"ana", "ben", "cem", "dan", "eve.pdf"}
    assert rows["dan"]["status"] == rows["eve.pdf"]["status"] == "could not be graded"
    assert rows["dan"]["reason"] == "There is no notebook (.ipynb) in the folder dan: it is empty."
    assert rows["eve.pdf"]["reason"] == "eve.pdf is not a notebook (.ipynb); hand in the notebook itself."
    assert summary["graded_now"] == 5
    assert [(done, total) for done, total, _ in seen] == [(done, 5) for done in range(6)]
    assert {student for _, _, student in seen} == {"", *rows}


def test_a_stopped_run_that_was_forced_is_gone_on_with(school, tmp_path, monkeypatch):
    """Old and new results lie side by side then; what is stored must not pass for a finished table."""
    out = tmp_path / "out"
    grade_folder(*school, out)
    (out / "ana" / "results.json").write_text("{}", encoding="utf-8")  # as a run leaves it that was killed in between

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_grade", stopped)
        with pytest.raises(KeyboardInterrupt):
            grade_folder(*school, out, force=None)
    assert "collected" not in json.loads((out / batch.STATE).read_text())
    assert grade_folder(*school, out)["graded_now"] == 1
    assert table(out)[0]["score"] == "5"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux lets a thread keep to processors")
def test_two_jobs_share_the_processors(school, tmp_path):
    if len(before := os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor cannot be shared out")
    assignment, folder = school
    says = solved("import os\nprint('SEEN', sorted(os.sched_getaffinity(0)), 'END')")
    hand_in(folder, **{f"s{i}": says for i in range(6)})

    def seen(out):
        outputs = [result(out, f"s{i}")["output"] for i in range(6)]
        return {output.partition("SEEN ")[2].partition(" END")[0] for output in outputs}

    grade_folder(assignment, folder, tmp_path / "one", jobs=1)
    assert seen(tmp_path / "one") == {str(sorted(before))}
    grade_folder(assignment, folder, tmp_path / "two", jobs=2)
    assert seen(tmp_path / "two") == {str(sorted(before)[0::2]), str(sorted(before)[1::2])}
    grade_folder(assignment, folder, tmp_path / "more", jobs=len(before) + 1)
    assert seen(tmp_path / "more") == {str(sorted(before))}
    assert os.sched_getaffinity(0) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_twice_in_the_middle_and_resumed(school, tmp_path, number):
    assignment, folder = school
    slow = solved("import time\ntime.sleep(0.15)")
    hand_in(folder, **{f"s{i:03}": slow for i in range(45)})
    grade_folder(assignment, folder, tmp_path / "whole", jobs=2, seed=1)
    out = tmp_path / "out"
    done = 0
    for _ in range(2):
        # A shell's background job ignores SIGINT; a new session does not.
        process = subprocess.Popen(
            command(assignment, folder, "--out", out, "--jobs", 2, "--seed", 1),
            start_new_session=True,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        until = time.monotonic() + 60
        while len(list(out.glob("*/results.json"))) < done + 10 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1].decode()
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert "Stopped. Every finished result is stored; run the same command again" in said
        if number == signal.SIGINT:
            assert not list(out.rglob("*.part"))
        until = time.monotonic() + 20
        while workers_left(process.pid) and time.monotonic() < until:
            time.sleep(0.1)
        assert not workers_left(process.pid)
        done, before = len(list(out.glob("*/results.json"))), done
        assert before < done < 45
    run = subprocess.run(
        command(assignment, folder, "--out", out, "--jobs", 2), capture_output=True, text=True, check=True
    )
    assert f"48 submissions, {48 - done} graded now" in run.stdout
    assert (out / "grades.csv").read_bytes() == (tmp_path / "whole" / "grades.csv").read_bytes()


@pytest.mark.slow
def test_a_local_dask_cluster_gives_the_same_table(school, tmp_path):
    distributed = pytest.importorskip("distributed")
    assignment, folder = school
    hand_in(folder, **{f"s{i:03}": solved(mean=WRONG) if i % 3 else solved("while True: pass") for i in range(7)})
    grade_folder(assignment, folder, tmp_path / "one", seed=5)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        code = main(["grade", str(assignment), str(folder), "--out", str(tmp_path / "two"), "--seed", "5", "--quiet",
                     "--scheduler", cluster.scheduler_address])  # fmt: skip
    assert code == 0
    assert (tmp_path / "two" / "grades.csv").read_bytes() == (tmp_path / "one" / "grades.csv").read_bytes()
    assert result(tmp_path / "two", "ana")["isolation"] == result(tmp_path / "one", "ana")["isolation"]


def test_no_scheduler_at_the_address(school, tmp_path, capsys):
    pytest.importorskip("distributed")
    with pytest.raises(SystemExit) as caught:
        main(["grade", *map(str, school), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"])
    assert caught.value.code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
