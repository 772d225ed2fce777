"""The two pages that come out of grading: one for each student, one for the instructor.

Any string in a result may be a student's. The templates escape every one of them, keep its writing direction to itself
with `<bdi>` and let long lines wrap; the pages forbid scripts and load nothing, so they can be mailed, opened from a
disk and printed.
"""

import base64
import io
import math
import re
import statistics
from collections import Counter

import jinja2
import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from course_cnn import _checks

LONGEST = 4000  # characters of one message on a student's page
EXAMPLE = 300  # characters of one message in the report
MESSAGES = 3  # commonest messages that the report shows of one check, and errors of one cell
CELLS = 10  # cells that did not finish, on either page
BARS = 25  # bars of the histogram, at most, beside the one at zero

LAYERS = {  # names in results.json, and what they mean
    "process": "a process of its own",
    "limits": "limits on time, memory, files and output",
    "folder": "an empty folder of its own",
    "network": "no network",
    "user": "a user without rights",
    "namespaces": "a namespace sandbox",
}

_INK, _BLUE, _ORANGE = "#222222", "#006BA4", "#FF800E"  # the last two from matplotlib's tableau-colorblind10
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def feedback_page(result, *, show_hidden):
    """Write the page that one student reads.

    Args:
        result: dict, what stands in the student's `results.json`.
        show_hidden: "named" or "hidden". "named" shows the title and points of each hidden check and whether it
            passed, "hidden" only their sum in each question. The messages of hidden checks are never shown.

    Returns:
        str, a complete HTML page that needs no other file.

    Raises:
        ValueError: `show_hidden` is something else.
    """
    if show_hidden not in ("named", "hidden"):
        raise _checks.argument_error(
            "feedback_page",
            '`show_hidden` must be "named" or "hidden"',
            'Use show_hidden="hidden" to show only sums',
            show_hidden=show_hidden,
        )
    questions = []
    for question in result["questions"]:
        tests = [test for test in result["tests"] if test["question"] == question["name"]]
        secret = [test for test in tests if test["hidden"]]
        listed = tests if show_hidden == "named" else [test for test in tests if not test["hidden"]]
        hidden_sum = None
        if secret and show_hidden == "hidden":
            hidden_sum = {key: math.fsum(test[key] for test in secret) for key in ("score", "max_score")}
        # A template that never gets a hidden message cannot show it.
        listed = [{**test, "message": ""} if test["hidden"] else test for test in listed]
        questions.append({**question, "tests": listed, "hidden_sum": hidden_sum, "secret": bool(secret)})
    return _render("feedback.html", result={**result, "questions": questions, "tests": None, "isolation": None})


def report_page(results, *, title):
    """Write the page that the instructor reads: the class in numbers, what went wrong, and what is left to do.

    Args:
        results: iterable of dicts as in `results.json`. Each is looked at once and let go, so a generator that reads
            one file at a time keeps memory flat.
        title: str, the title of the assignment.

    Returns:
        str, a complete HTML page that needs no other file.
    """
    seen = _Class()
    for result in results:
        seen.add(result)
    return _render("report.html", title=title, layers=LAYERS, **seen.summary())


class _Class:
    """What the report says of all results, added up one result at a time."""

    def __init__(self):
        self.statuses = Counter()
        self.scores = {"graded": [], "needs manual grade": []}
        self.max_score = 0
        self.questions, self.question_order = {}, []
        self.checks, self.check_order = {}, []
        self.cells = {}
        self.ungraded = []
        self.layers = {}

    def add(self, result):
        status = result["status"]
        self.statuses[status] += 1
        self._add_isolation(result["isolation"])
        if status not in self.scores:
            self.ungraded.append((result["student"], result["submission"]["file"], _clip(result["reason"], 1000)))
            return
        self.scores[status].append(result["score"])
        self.max_score = max(self.max_score, result["max_score"])
        self._add_questions(result["student"], result["questions"])
        self._add_tests(result["tests"])
        self._add_cells(result["cells"])

    def _add_isolation(self, isolation):
        for layer, held in isolation.items():
            count = self.layers.setdefault(layer, [0, 0])
            count[0] += bool(held)
            count[1] += 1

    def _add_questions(self, student, questions):
        if len(questions) > len(self.question_order):  # the fullest result has the order of the assignment
            self.question_order = [question["name"] for question in questions]
        for question in questions:
            entry = self.questions.setdefault(
                question["name"],
                {"title": question["title"], "max_score": question["max_score"], "sum": 0.0, "count": 0, "waiting": []},
            )
            if question["status"] == "graded":
                entry["sum"] += question["score"]
                entry["count"] += 1
            else:
                entry["waiting"].append(student)

    def _add_tests(self, tests):
        if len(tests) > len(self.check_order):
            self.check_order = [(test["question"], test["name"]) for test in tests]
        for test in tests:
            entry = self.checks.setdefault(
                (test["question"], test["name"]),
                {
                    "title": test["title"],
                    "hidden": test["hidden"],
                    "passed": 0,
                    "count": 0,
                    "messages": {},
                    "problems": {},
                },
            )
            entry["count"] += 1
            if test["passed"]:
                entry["passed"] += 1
            else:
                _count(entry["messages"], test["message"])
            if test.get("problem"):  # only where the check itself stumbled
                _count(entry["problems"], test["problem"])

    def _add_cells(self, cells):
        for cell in {cell["cell"]: cell for cell in cells}.values():  # once for each submission
            entry = self.cells.setdefault(cell["cell"], {"count": 0, "messages": {}})
            entry["count"] += 1
            _count(entry["messages"], cell["error"])

    def summary(self):
        """Return what `report.html` shows."""
        scores = [score for some in self.scores.values() for score in some]
        names = [*self.question_order, *(name for name in self.questions if name not in set(self.question_order))]
        keys = [*self.check_order, *(key for key in self.checks if key not in set(self.check_order))]
        sections = []
        for name in names:
            question = self.questions[name]
            mean = question["sum"] / question["count"] if question["count"] else None
            checks = [_with_percent(self.checks[key]) for key in keys if key[0] == name]
            sections.append({**question, "mean": mean, "checks": checks})
        stumbled = [check for part in sections for check in part["checks"] if check["problems"]]
        wrong = [
            check | {"question": part["title"]} for part in sections for check in part["checks"] if check["failed"]
        ]
        wrong.sort(key=lambda check: -check["failed"] / check["count"])  # equal shares stay as in the assignment
        cells = sorted(self.cells.items(), key=lambda item: (-item[1]["count"], item[0]))
        return {
            "submissions": self.statuses.total(),
            "graded": self.statuses["graded"],
            "manual": self.statuses["needs manual grade"],
            "scored": len(scores),
            "mean": statistics.fmean(scores) if scores else None,
            "median": statistics.median(scores) if scores else None,
            "lowest": min(scores, default=None),
            "highest": max(scores, default=None),
            "max_score": self.max_score,
            "picture": _picture(self.scores, self.max_score) if scores else None,
            "sections": sections,
            "wrong": [{**check, "messages": _commonest(check["messages"])} for check in wrong],
            "stumbled": [{**check, "problems": _commonest(check["problems"])} for check in stumbled],
            "cells": [(cell, entry["count"], _commonest(entry["messages"])) for cell, entry in cells[:CELLS]],
            "more_cells": max(0, len(cells) - CELLS),
            "ungraded": sorted(self.ungraded),
            "waiting": [(part["title"], sorted(part["waiting"])) for part in sections if part["waiting"]],
            "isolation": self.layers,
        }


def _with_percent(check):
    # Rounded towards the middle: 100 % says that all passed, 0 % that nobody did.
    percent = 100 * check["passed"] / check["count"]
    percent = math.floor(percent) if percent > 50 else math.ceil(percent)
    return {**check, "failed": check["count"] - check["passed"], "percent": percent}


def _count(messages, message):
    """Count a message with those that differ in numbers only: inputs are drawn, so the same slip says other numbers."""
    message = _clip(message, EXAMPLE)
    entry = messages.setdefault(_NUMBER.sub("0", message), {"count": 0, "example": message, "differ": False})
    entry["count"] += 1
    entry["differ"] |= message != entry["example"]


def _commonest(messages):
    return sorted(messages.values(), key=lambda entry: -entry["count"])[:MESSAGES]


def plot_scores(ax, scores, waiting, max_score):
    """Draw how the scores are spread: how many submissions have how many points. Returns the Axes.

    Args:
        ax: matplotlib Axes.
        scores: list of numbers, points of what is graded.
        waiting: list of numbers, points so far where manual grades are missing; hatched, on top of the others.
        max_score: number, points that can be reached.
    """
    top = max([max_score, *scores, *waiting])
    step = next(f * 10**e for e in range(300) for f in (1, 2, 5) if top <= BARS * f * 10**e)
    bars = math.floor(top / step + 0.5) + 1
    heights = [[0] * bars, [0] * bars]
    for row, numbers in zip(heights, (scores, waiting), strict=True):
        for number in numbers:
            row[max(0, math.floor(number / step + 0.5))] += 1
    places = [step * i for i in range(bars)]
    if scores:
        ax.bar(places, heights[0], 0.85 * step, color=_BLUE, label="graded")
    if waiting:
        ax.bar(places, heights[1], 0.85 * step, bottom=heights[0], color=_ORANGE, edgecolor="white", hatch="///",
               label="points so far, manual grades missing")  # fmt: skip
    median = statistics.median([*scores, *waiting])
    ax.axvline(median, color=_INK, linestyle="--", linewidth=1.2, label=f"median {_number(median)}")
    ax.set_xlim(-0.6 * step, places[-1] + 0.6 * step)
    ax.set_ylim(0, 1.08 * max(map(sum, zip(*heights, strict=True))))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    rounded = "whole points" if step == 1 else f"the nearest {step}"
    ax.set(xlabel=f"score (points, rounded to {rounded})", ylabel="submissions (number)")
    ax.set_title(f"Half of them have {_number(median)} of {_number(max_score)} points or more")
    ax.spines[["top", "right"]].set_visible(False)
    ax.figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return ax


def _picture(scores, max_score):
    """Return the histogram as a data URI; the same scores give the same bytes."""
    figure = Figure(figsize=(7, 3.6), layout="constrained", facecolor="white")
    plot_scores(figure.add_subplot(), scores["graded"], scores["needs manual grade"], max_score)
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "course-cnn"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _number(value):
    """Write a number with two decimals at most: 12.5, 0.33, 20."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _counted(value, word):
    """Write a number with its noun: 1 point, 12.5 points."""
    text = _number(value)
    return f"{text} {word}" if text == "1" else f"{text} {word}s"


def _clip(text, length):
    return text if len(text) <= length else f"{text[:length]}… ({len(text) - length:,} more characters)"


def _render(template, **values):
    page = _TEMPLATES.get_template(template).render(values)
    return page.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is a string, but not a file


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("course_cnn.grading"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"number": _number, "counted": _counted, "clip": _clip}
_TEMPLATES.globals |= {"LONGEST": LONGEST, "CELLS": CELLS}
