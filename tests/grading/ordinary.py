"""Ordinary submissions of an assignment with known marks: the reference, wrong answers, harmless oddities of both."""

import copy
import itertools
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from course_cnn.grading.assignment import Assignment
from course_cnn.grading.source import read_source, student_notebook, text_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "assignments").glob("*/assignment.toml"))


@dataclass
class Ordinary:
    """A submission and the truth about it: the checks that it fails."""

    name: str
    notebook: dict
    loses: set = field(default_factory=set)

    def score(self, assignment):
        checks = [check for check in assignment.checks if check.name not in self.loses]
        return sum(check.points for check in checks)


def wrong_answers(folder):
    """{name: {"why", "edits", "loses"}} as the assignment's author wrote them."""
    return tomllib.loads((Path(folder) / "wrong_answers.toml").read_text(encoding="utf-8"))


def edited(notebook, edits):
    """A copy of a notebook with `old` replaced by `new`; each `old` is there exactly once."""
    notebook = copy.deepcopy(notebook)
    for edit in edits:
        cells = [c for c in notebook["cells"] if c["cell_type"] == "code" and edit["old"] in text_of(c)]
        assert len(cells) == 1, f"in {len(cells)} cells: {edit['old']!r}"
        assert text_of(cells[0]).count(edit["old"]) == 1, edit["old"]
        cells[0]["source"] = text_of(cells[0]).replace(edit["old"], edit["new"])
    return notebook


def reference(folder):
    """The source notebook without nbgrader's test cells: what a student with all answers right would hand in."""
    notebook = read_source(Assignment(folder).source)
    notebook["cells"] = [c for c in notebook["cells"] if not _is_test(c)]
    return notebook


def ordinary(folder, number=20):
    """So many submissions of an assignment: every wrong answer, pairs of them, and oddities that cost nothing."""
    assignment, right = Assignment(folder), reference(folder)
    checks, wrong = {check.name for check in assignment.checks}, wrong_answers(folder)
    found = [
        Ordinary("reference", right),
        Ordinary("untouched", student_notebook(read_source(assignment.source)), checks),
    ]
    found += [Ordinary(name, edited(right, one["edits"]), set(one["loses"])) for name, one in wrong.items()]
    found += [Ordinary(oddity.__name__, oddity(copy.deepcopy(right))) for oddity in ODDITIES]
    for (first, a), (second, b) in itertools.combinations(wrong.items(), 2):
        questions = [{check.question for check in assignment.checks if check.name in one["loses"]} for one in (a, b)]
        if len(found) < number and not questions[0] & questions[1]:
            try:
                both = edited(right, [*a["edits"], *b["edits"]])
            except AssertionError:  # they change the same line
                continue
            found.append(Ordinary(f"{first}_and_{second}", both, {*a["loses"], *b["loses"]}))
    return found[:number]


def packed(folder):
    """All wrong answers of an assignment in few submissions: each holds mistakes in different questions."""
    assignment, right, bins = Assignment(folder), reference(folder), []
    for name, one in wrong_answers(folder).items():
        questions = {check.question for check in assignment.checks if check.name in one["loses"]}
        for box in bins:
            if not questions & box["questions"]:
                try:
                    book = edited(box["book"], one["edits"])
                except AssertionError:  # another mistake has changed that line
                    continue
                box["questions"] |= questions
                box["book"] = book
                box["names"].append(name)
                box["loses"] |= set(one["loses"])
                break
        else:
            book = edited(right, one["edits"])
            bins.append({"questions": questions, "book": book, "names": [name], "loses": set(one["loses"])})
    return [Ordinary("_and_".join(box["names"])[:100], box["book"], box["loses"]) for box in bins]


def prints_and_warns(notebook):
    code(
        notebook,
        'import sys, warnings\nprint("hello" * 100)\nprint("noise", file=sys.stderr)\nwarnings.warn("careful")',
    )
    return notebook


def lost_metadata(notebook):
    notebook["metadata"] = {}
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    return notebook


def magics_and_a_failing_cell(notebook):
    code(notebook, "%matplotlib inline\n!ls", 0)
    code(notebook, "1 / 0", 1)
    return notebook


def code(notebook, source, at=None):
    """Add a code cell."""
    cell = {
        "cell_type": "code",
        "id": f"extra-{at}",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    notebook["cells"].insert(len(notebook["cells"]) if at is None else at, cell)


def write_class(folder, submissions):
    """Write submissions as STUDENT/NAME.ipynb; return the folder."""
    for one in submissions:
        place = Path(folder) / one.name
        place.mkdir(parents=True)
        (place / "work.ipynb").write_text(json.dumps(one.notebook), encoding="utf-8")
    return Path(folder)


def _is_test(cell):
    nbgrader = cell.get("metadata", {}).get("nbgrader", {})
    return bool(nbgrader.get("grade")) and not nbgrader.get("solution")


ODDITIES = (prints_and_warns, lost_metadata, magics_and_a_failing_cell)
