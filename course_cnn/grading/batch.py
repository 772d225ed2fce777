"""Grade a folder of submissions: what changed, in parallel, resumable at any point.

Every result is stored as soon as it is there, under a key made of the bytes of the submission and of the assignment.
So a second run grades only what changed, and a run that was killed goes on where it was. What is added afterwards,
marks given by hand and what lateness costs, is worked out anew each time from the stored results.

This module is light on purpose: a run that finds nothing to do imports neither NumPy nor pydantic.
"""

import contextlib
import csv
import hashlib
import json
import os
import time
from pathlib import Path

from course_cnn.grading import files
from course_cnn.grading import submission as submissions
from course_cnn.grading.source import digest_of, files_of, find_source

STATE, GRADES, MANUAL, REPORT = ".course-cnn.json", "grades.csv", "manual.csv", "report.html"
RESERVED = {STATE, GRADES, MANUAL, REPORT}
COLUMNS = ["student", "score", "max_score", "status", "reason"]
MANUAL_COLUMNS = ["student", "question", "max_points", "points", "comment", "note", "answer_id", "answer"]
STATUSES = ("graded", "needs manual grade", "could not be graded")


class GradingError(Exception):
    """Something about the folders or tables that the instructor named is wrong; the text says what to do."""


def grade_folder(folder, handed_in, out, *, jobs=1, scheduler=None, seed=None, force=(), times=None, show=None):
    """Grade all submissions of a folder.

    Args:
        folder: path of the assignment.
        handed_in: path of the submissions: `STUDENT/*.ipynb`, `STUDENT/ASSIGNMENT/*.ipynb` or `STUDENT.ipynb`.
        out: path for the results; made if it is not there.
        jobs: int >= 1, submissions graded at the same time on this machine.
        scheduler: address of a Dask scheduler, to grade on its workers instead.
        seed: int, or None to draw one; kept in `out`, so that a run that goes on draws the same inputs.
        force: names of students to grade anew, or None for all.
        times: path of a CSV with columns `student, submitted` (ISO 8601) and maybe `extension_hours`.
        show: callable (done, total, student) for progress, or None.

    Returns:
        dict: counts of each status, `graded_now`, `seconds`, `mean`, `max_score`, `isolation`,
            `ungraded` [(student, reason)].

    Raises:
        AssignmentError: the assignment is broken.
        GradingError: a folder or table is not what it has to be; nothing was written.
    """
    started = time.monotonic()
    folder, handed_in, out = Path(folder), Path(handed_in), Path(out)
    source = find_source(folder)
    if not handed_in.is_dir():
        raise GradingError(f"There is no folder {handed_in}. Name the folder that holds the submissions.")
    state = _open(out, source.stem, handed_in)
    with _locked(out):
        digest = digest_of(files_of(folder))
        todo, keys, stored = [], {}, {}
        found = submissions.find_submissions(handed_in, source.stem)
        for one in found:
            key, reason = _key(one, digest)
            keys[one.student] = key
            stored[one.student] = old = _stored(out, one.student)
            again = force is None or one.student in force
            if again or old is None or old["key"] != key:
                todo.append((one, reason))
        if force and (unknown := sorted(set(force) - set(keys))):
            raise GradingError(f"There is no submission of {', '.join(unknown)} in {handed_in}.")
        extra = _extra(out, times)
        collected = hashlib.sha256(json.dumps([sorted(keys.items()), extra]).encode()).hexdigest()
        if not todo and state.get("collected") == collected and (out / GRADES).exists():
            return _summary(stored.values(), 0, started)
        from course_cnn.grading.assignment import Assignment

        assignment = Assignment(folder)
        late = _hours_late(times, assignment.settings.late)  # a table that is wrong is said before the work
        marks = read_manual(out / MANUAL)
        state.update(title=assignment.settings.title, feedback=assignment.settings.feedback)
        if todo:
            if seed is not None or "seed" not in state:
                state["seed"] = int.from_bytes(os.urandom(4), "big") if seed is None else seed
            state.pop("collected", None)
            files.write_json(out / STATE, state)
            _grade(assignment, handed_in, out, todo, keys, state["seed"], jobs, scheduler, show)
        results = _collect(out, found, assignment.settings.late, late, marks)
        state["collected"] = hashlib.sha256(json.dumps([sorted(keys.items()), _extra(out, times)]).encode()).hexdigest()
        files.write_json(out / STATE, state)
        return _summary(results, len(todo), started)


def folder_of(out, student):
    """Where a student's results lie; names of our own files get a tail."""
    plain = student
    while plain.endswith(".student"):
        plain = plain.removesuffix(".student")
    return Path(out) / (f"{student}.student" if plain in RESERVED else student)


def results_of(out):
    """Yield the stored results of a folder, one at a time, sorted by student."""
    out = Path(out)
    if not (out / STATE).exists():
        raise GradingError(f"{out} is not a folder that `course-cnn grade` wrote. Name the one given as --out.")
    for path in sorted(out.glob("*/results.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def state_of(out):
    """What is kept about a folder of results."""
    return json.loads((Path(out) / STATE).read_text(encoding="utf-8"))


def _open(out, assignment, handed_in):
    """Read the state of the folder of results, or begin one; never write into a folder of something else."""
    if (out / STATE).exists():
        try:
            state = state_of(out)
        except ValueError:
            raise GradingError(f"{out / STATE} is damaged. Delete it to go on; the stored results stay.") from None
        if state.get("assignment") != assignment:
            raise GradingError(
                f"{out} holds the results of {state.get('assignment')!r}, not of {assignment!r}. Name another --out."
            )
        return state
    if out.exists() and not out.is_dir():
        raise GradingError(f"{out} is a file. Name a folder as --out.")
    inside = out.resolve()
    if inside == handed_in.resolve() or handed_in.resolve() in inside.parents:
        raise GradingError(f"{out} lies in the folder of submissions. Name an --out outside of it.")
    if out.exists() and any(out.iterdir()) and not any(out.glob("*/results.json")):
        raise GradingError(f"{out} holds other things. Name a new or empty folder as --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        state = {"format": 1, "assignment": assignment}
        files.write_json(out / STATE, state)
    except OSError as error:
        raise GradingError(f"{out} cannot be written to ({error.strerror}). Name another --out.") from None
    return state


@contextlib.contextmanager
def _locked(out):
    """Let one grader at a time work in a folder."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(out / STATE) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GradingError(f"Another grader is at work in {out}. Wait for it, or name another --out.") from None
        yield


def _key(one, digest):
    """(key, reason) of a submission: the key is made of the assignment and of the file, or of the reason."""
    reason, data = one.reason, None
    if one.path is not None:
        try:
            data = submissions.read_bytes(one.path)
        except submissions.Unreadable as error:
            reason = str(error)
    inside = hashlib.sha256(data).hexdigest() if data is not None else f"reason {reason}"
    return hashlib.sha256(f"{digest}\0{inside}".encode("utf-8", "replace")).hexdigest(), reason


def _stored(out, student):
    """What is needed of the stored result of a student, or None where there is none or a damaged one."""
    try:
        result = json.loads((folder_of(out, student) / "results.json").read_text(encoding="utf-8"))
        slim = {name: result[name] for name in (*COLUMNS, "isolation", "key")}  # the rest would fill the memory
        return slim if result["format"] == 1 and isinstance(result["key"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _extra(out, times):
    """What besides submissions decides the table: marks given by hand, and times."""
    paths = [out / MANUAL, *([Path(times)] if times else [])]
    return [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in paths]


def _grade(assignment, handed_in, out, todo, keys, seed, jobs, scheduler, show):
    """Grade what is to do and store each result at once."""
    from course_cnn.grading import grade
    from course_cnn.grading.results import Result

    done = 0

    def store(one, result, failed=False):
        nonlocal done
        try:
            shown = one.path.relative_to(handed_in).as_posix() if one.path else ""
            sha = hashlib.sha256(submissions.read_bytes(one.path)).hexdigest() if one.path else ""
        except submissions.Unreadable:
            sha = ""
        key = "" if failed else keys[one.student]
        result |= {"submission": {"file": _plain(shown), "sha256": sha}, "key": key}
        Result.model_validate(result)
        place = folder_of(out, one.student)
        place.mkdir(exist_ok=True)
        files.write_json(place / "results.json", result)
        done += 1
        if show:
            show(done, len(todo), one.student)

    def broken(one, error):
        why = (
            f"The grader itself failed ({type(error).__name__}: {error}); "
            "this is not the student's fault, grade it again."
        )
        store(one, grade.ungraded(assignment, _plain(one.student), why), failed=True)

    if show:
        show(0, len(todo), "")
    ready = []
    for one, reason in todo:
        if reason:
            store(one, grade.ungraded(assignment, _plain(one.student), reason))
        else:
            ready.append(one)
    if scheduler is not None:
        from course_cnn.grading import cluster

        cluster.grade(scheduler, files_of(assignment.folder), ready, seed, store, broken)
        return
    with grade.fork_server(assignment, hide=[handed_in.resolve(), out.resolve()]) as server:

        def work(one):
            return grade.grade_file(assignment, server, _plain(one.student), one.path, seed=seed)

        _in_threads(work, ready, jobs, store, broken)


def _in_threads(work, items, jobs, store, broken):
    """Do the work in threads, a few ahead and no more, and hand on each result in the main thread."""
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

    waiting, items = {}, iter(items)
    pool = ThreadPoolExecutor(jobs, initializer=_pinning(jobs))
    try:
        while True:
            while len(waiting) < 2 * jobs and (item := next(items, None)) is not None:
                waiting[pool.submit(work, item)] = item
            if not waiting:
                break
            ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                item = waiting.pop(future)
                try:
                    result = future.result()
                except Exception as error:  # ours, not the student's: said as such
                    broken(item, error)
                else:
                    store(item, result)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _pinning(jobs):
    """A function that lets the thread which calls it keep to one of `jobs` parts of the processors.

    A thread and its worker wait for each other in turn: on one processor they do not wait for a place as well. And
    TensorFlow starts as many threads as it may use.
    """
    if jobs == 1 or not hasattr(os, "sched_setaffinity") or jobs > len(os.sched_getaffinity(0)):
        return None
    processors = sorted(os.sched_getaffinity(0))
    parts = iter([processors[i::jobs] for i in range(jobs)])

    def pin():
        with contextlib.suppress(OSError):  # slower, but no reason not to grade
            os.sched_setaffinity(0, next(parts))

    return pin


def _collect(out, found, table, hours, marks):
    """Bring marks by hand and lateness into the stored results; write the tables. Returns the results, slimmed."""
    rows, manual_rows, results = [], [], []
    for one in found:
        path = folder_of(out, one.student) / "results.json"
        before = path.read_text(encoding="utf-8")
        result = json.loads(before)
        manual_rows += _mark(result, marks)
        penalize(result, hours.get(one.student), table)
        after = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        if after != before:
            files.write(path, after)
        rows.append({**{name: result[name] for name in COLUMNS}, "score": _number(result["score"]),
                     "max_score": _number(result["max_score"])})  # fmt: skip
        results.append({name: result[name] for name in (*COLUMNS, "isolation")})
    here = {(row["student"], row["question"]) for row in manual_rows}
    kept = [row for key, row in marks.items() if key not in here and row["points"]]  # marks are never thrown away
    if manual_rows or kept:
        files.write_csv(out / MANUAL, MANUAL_COLUMNS, [*manual_rows, *kept])
    files.write_csv(out / GRADES, COLUMNS, rows)
    return results


def read_manual(path):
    """Read the marks given by hand: {(student, question): row}.

    Raises:
        GradingError: a mark is no number between 0 and the question's points.
    """
    if not path.exists():
        return {}
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    marks = {}
    for number, row in enumerate(table, 2):
        row = {name: row.get(name) or "" for name in MANUAL_COLUMNS}
        points = row["points"].strip().replace(",", ".")
        if points:
            try:
                good = 0 <= float(points) <= float(row["max_points"])
            except ValueError:
                good = False
            if not good:
                raise GradingError(
                    f"{path}, row {number}: points must be a number from 0 to {row['max_points']}, "
                    f"not {row['points']!r}."
                )
        marks[row["student"], row["question"]] = {**row, "points": points}
    return marks


def _mark(result, marks):
    """Put marks by hand into a result; return the rows of its questions for the table."""
    rows = []
    for question in result["questions"]:
        if not question["manual"]:
            continue
        answer_id = hashlib.sha256(question["answer"].encode()).hexdigest()[:12]
        row = marks.get((result["student"], question["name"]), {"points": "", "comment": "", "answer_id": ""})
        given = bool(row["points"])
        note = "the answer has changed since it was marked" if given and row["answer_id"] not in ("", answer_id) else ""
        question |= {
            "score": float(row["points"]) if given else 0.0, "comment": row["comment"],
            "status": "graded" if given else "needs manual grade",
        }  # fmt: skip
        rows.append({
            "student": result["student"], "question": question["name"], "max_points": _number(question["max_score"]),
            "points": row["points"], "comment": row["comment"], "note": note,
            "answer_id": row["answer_id"] if note else answer_id if given else "", "answer": _cell(question["answer"]),
        })  # fmt: skip
    if result["questions"]:
        missing = [q["name"] for q in result["questions"] if q["status"] == "needs manual grade"]
        result["status"] = "needs manual grade" if missing else "graded"
        result["reason"] = f"To be graded by hand: {', '.join(missing)}." if missing else ""
        result["raw_score"] = sum(question["score"] for question in result["questions"])
    return rows


def penalize(result, hours, table):
    """Set a result's `late` and `score` from its `raw_score`; `hours` late may be None, as may the `Late` table."""
    result["late"], result["score"] = None, result["raw_score"]
    if hours is not None and table is not None and (percent := table.percent(hours)):
        result["late"] = {"hours": round(hours, 3), "percent": percent}
        result["score"] = round(result["raw_score"] * (100 - percent) / 100, 6)


def _hours_late(times, late):
    """{student: hours late} from the table of times."""
    if times is None:
        return {}
    if late is None:
        raise GradingError(
            "assignment.toml has no [late] table, so times change nothing. Write one, or leave --times out."
        )
    from datetime import datetime

    hours = {}
    with open(times, encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                submitted = datetime.fromisoformat(row["submitted"])
                if submitted.tzinfo is None:
                    raise ValueError("no offset from UTC")
                extension = float(row.get("extension_hours") or 0)
                hours[row["student"]] = (submitted - late.due).total_seconds() / 3600 - extension
            except (KeyError, TypeError, ValueError) as error:
                raise GradingError(
                    f"{times}, row {number}: wanted are the columns student, submitted "
                    f"(such as 2026-12-01T23:59:00+01:00) and maybe extension_hours ({error})."
                ) from None
    return hours


def _summary(results, graded_now, started):
    results = list(results)
    scores = [result["score"] for result in results if result["status"] != STATUSES[2]]
    layers = {}
    for result in results:
        for layer, held in result["isolation"].items():
            layers[layer] = layers.get(layer, True) and held
    return {
        **{status: sum(result["status"] == status for result in results) for status in STATUSES},
        "submissions": len(results), "graded_now": graded_now, "seconds": time.monotonic() - started,
        "mean": sum(scores) / len(scores) if scores else None,
        "max_score": max((result["max_score"] for result in results), default=0.0), "isolation": layers,
        "ungraded": [(r["student"], r["reason"]) for r in results if r["status"] == STATUSES[2]],
    }  # fmt: skip


def _plain(text):
    """A file name as text: bytes that are no text in this system are shown as such."""
    return os.fsencode(text).decode("utf-8", "backslashreplace") if isinstance(text, str) else str(text)


def _number(value):
    """12.0 as 12, 12.5 as 12.5."""
    return f"{round(value, 6):g}"


def _cell(text):
    """A student's text for a spreadsheet: not a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
