"""The grading commands of `course-cnn`: release, check, grade, feedback, gradescope."""

import contextlib
import sys
from pathlib import Path

FAILED = 2  # exit code of a mistake in what was named, as argparse uses it


def add(commands):
    """Add the grading commands to the subparsers of `course-cnn`."""
    release = commands.add_parser(
        "release", help="make the student version of an assignment",
        description="Make the student notebook and the visible checks from an assignment's one source. Refuses when "
        "the reference solution does not get full marks, or the untouched student version gets more than its free "
        "points.",
    )  # fmt: skip
    release.add_argument("assignment", help="the folder of the assignment, such as assignments/01_convolution")
    release.add_argument("--out", required=True, metavar="DIR", help="where to write; made if it is not there")
    release.set_defaults(command=_release)

    check = commands.add_parser(
        "check", help="run the visible checks on your notebook",
        description="Run the visible checks on your own notebook, in a process of its own. The checks are the "
        "NAME_checks.py beside it, so use `grade` for other people's work. Exit code 0 when all pass, 1 when not.",
    )  # fmt: skip
    check.add_argument("notebook", help="your notebook, such as convolution.ipynb")
    check.add_argument("--checks", metavar="FILE", help="the NAME_checks.py that came with it (default: beside it)")
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    check.set_defaults(command=_check)

    grade = commands.add_parser(
        "grade", help="grade a folder of submissions",
        description="Grade a folder of submissions: STUDENT/*.ipynb, STUDENT/ASSIGNMENT/*.ipynb or STUDENT.ipynb. "
        "Every student gets DIR/STUDENT/results.json, the class DIR/grades.csv. Run it again to grade what changed, or "
        "to go on after an interruption. Questions graded by hand are in DIR/manual.csv: fill in points, run again. "
        "Exit code 0 when every submission has a result, 2 when something named here is wrong.",
    )  # fmt: skip
    grade.add_argument("assignment", help="the folder of the assignment")
    grade.add_argument("submissions", help="the folder of submissions")
    grade.add_argument("--out", required=True, metavar="DIR", help="where results go; made if it is not there")
    grade.add_argument("--jobs", type=_count, default=1, metavar="N", help="submissions at the same time (default: 1)")
    grade.add_argument("--scheduler", metavar="ADDRESS", help="grade on a Dask cluster, such as tcp://10.0.0.1:8786")
    grade.add_argument(
        "--times", metavar="CSV", help="table with columns student, submitted (ISO 8601), extension_hours"
    )
    grade.add_argument("--seed", type=int, help="for the inputs that checks draw (default: drawn once, kept in DIR)")
    grade.add_argument("--force", action="store_true", help="grade all anew, changed or not")
    grade.add_argument("--only", nargs="+", default=[], metavar="STUDENT", help="grade these anew, changed or not")
    grade.add_argument("--quiet", action="store_true", help="print nothing but errors")
    grade.set_defaults(command=_grade)

    feedback = commands.add_parser(
        "feedback", help="write a page for each student and a report on the class",
        description="Write DIR/STUDENT/feedback.html for each student and DIR/report.html from what `grade` left "
        "in DIR.",
    )  # fmt: skip
    feedback.add_argument("results", metavar="DIR", help="the folder that `course-cnn grade --out DIR` wrote")
    feedback.set_defaults(command=_feedback)

    gradescope = commands.add_parser(
        "gradescope", help="make the autograder zip for Gradescope",
        description="Make the zip that Gradescope takes as an autograder: setup.sh, run_autograder, the course and the "
        "assignment.",
    )  # fmt: skip
    gradescope.add_argument("assignment", help="the folder of the assignment")
    gradescope.add_argument("--out", required=True, metavar="FILE", help="the zip to write, such as autograder.zip")
    gradescope.set_defaults(command=_gradescope)


def _count(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_count.__name__ = "number >= 1"  # argparse names it: invalid number >= 1 value: '0'


def _release(arguments):
    with _said():
        from course_cnn.grading.release import release

        say = _stderr if sys.stderr.isatty() else None
        for path in release(arguments.assignment, arguments.out, show=say):
            print(f"wrote {path}")
        return 0


def _check(arguments):
    with _said():
        from course_cnn.grading.local import check_notebook

        result, text = check_notebook(arguments.notebook, checks=arguments.checks)
        if arguments.json:
            import json

            print(json.dumps(result, indent=1))
        else:
            print(text)
        return int(result["status"] == "could not be graded" or not all(test["passed"] for test in result["tests"]))


def _grade(arguments):
    from course_cnn.grading import batch

    force = None if arguments.force else arguments.only
    with _said(interrupted="Stopped. Every finished result is stored; run the same command again to go on."):
        with _bar(arguments.quiet) as show:
            summary = batch.grade_folder(
                arguments.assignment, arguments.submissions, arguments.out, jobs=arguments.jobs,
                scheduler=arguments.scheduler, seed=arguments.seed, force=force, times=arguments.times, show=show,
            )  # fmt: skip
        if not arguments.quiet:
            _print(summary, Path(arguments.out))
        return 0


def _feedback(arguments):
    with _said():
        from course_cnn.grading import batch, files, pages

        out, count = Path(arguments.results), 0
        state = batch.state_of(out) if (out / batch.STATE).exists() else {}

        def results():
            """Write a page for each result, and hand it on to the report."""
            nonlocal count
            for result in batch.results_of(out):
                page = pages.feedback_page(result, show_hidden=state.get("feedback", "hidden"))
                files.write(batch.folder_of(out, result["student"]) / "feedback.html", page)
                count += 1
                yield result

        files.write(out / batch.REPORT, pages.report_page(results(), title=state.get("title", "")))
        print(f"wrote {count} pages feedback.html, and {out / batch.REPORT}")
        return 0


def _gradescope(arguments):
    with _said():
        from course_cnn.grading.gradescope import build

        print(f"wrote {build(arguments.assignment, arguments.out)}")
        return 0


def _print(summary, out):
    total, now = summary["submissions"], summary["graded_now"]
    mean = "" if summary["mean"] is None else f", mean {summary['mean']:.2f} of {summary['max_score']:g} points"
    print(f"{total} submissions, {now} graded now in {summary['seconds']:.1f} s{mean}")
    for status in ("graded", "needs manual grade", "could not be graded"):
        if summary[status]:
            print(f"  {summary[status]:>5} {status}")
    for student, reason in summary["ungraded"][:20]:
        print(f"        {student}: {reason}")
    if absent := sorted(layer for layer, held in summary["isolation"].items() if not held):
        print(f"Isolation: this system did not give {', '.join(absent)}. Grade only work of people you trust here.")
    elif summary["isolation"]:
        print(f"Isolation: {', '.join(summary['isolation'])}, for every submission.")
    print(f"wrote {out / 'grades.csv'}" + (f" and {out / 'manual.csv'}" if (out / "manual.csv").exists() else ""))


@contextlib.contextmanager
def _said(interrupted="Stopped; nothing was written."):
    """Turn mistakes that the user can mend into one sentence and an exit code."""
    from course_cnn.grading.batch import GradingError
    from course_cnn.grading.source import AssignmentError

    try:
        yield
    except (AssignmentError, GradingError) as error:  # what the user named
        _stderr(f"course-cnn: {error}")
        raise SystemExit(FAILED) from None
    except ModuleNotFoundError as error:
        _stderr(f'course-cnn: {error.name} is not installed. For grading: pip install -e ".[grade]"')
        raise SystemExit(FAILED) from None
    except KeyboardInterrupt:
        _stderr(f"\ncourse-cnn: {interrupted}")
        raise SystemExit(130) from None


@contextlib.contextmanager
def _bar(quiet):
    """Yield show(done, total, student), a bar where somebody watches, or None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, student: bar.update(task, completed=done, total=total, description=student[:40])


def _stderr(text):
    print(text, file=sys.stderr)
