"""The pages that come out of grading: what they say, what they keep to themselves, and that nothing in them runs."""

import base64
import math
import re
import time
import tracemalloc
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from course_cnn.grading.pages import feedback_page, plot_scores, report_page
from course_cnn.grading.results import Result

HOSTILE = [
    "</script><script>alert(1)</script>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    "<img src=x onerror=alert(1)>",
    "</bdi></pre></title></style><svg/onload=alert(1)>",
    "--><!-- <!doctype> <![CDATA[ &amp; &lt;b&gt; &#60;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u202eevil\u202c \u2066 אבג \u200f",
    "a" * 500,
    "\n  first line\n\ttabbed  twice\n",
    "µ 好 🂡 é",
]
TAGS = set(
    re.findall(
        r"\w+",
        "html head meta title style body main section footer div span p h1 h2 h3 ul ol li dl dt dd b bdi code pre "
        "details summary table thead tbody tr th td figure figcaption img a",
    )
)
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "id", "style", "scope", "colspan", "width"}
ATTRIBUTES |= {"height", "alt", "src", "href"}
VOID = {"meta", "img"}
ISOLATION = {
    "process": True,
    "limits": True,
    "folder": True,
    "network": True,
    "user": False,
    "namespaces": True,
}


class Page(HTMLParser):
    """A page as a browser reads it; parsing asserts that nothing in it can run or load and that it nests."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.stack, self.tags, self.attributes, self.pieces = [], [], [], []
        assert page.startswith("<!doctype html>\n")
        page.encode("utf-8")
        self.feed(page)
        self.close()
        assert not self.stack
        (policy,) = (a["content"] for _, a in self.attributes if a.get("http-equiv") == "Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "script-src 'none'" in policy
        assert self.attributes[0] == ("html", {"lang": "en"})
        self.ids = [a["id"] for _, a in self.attributes if "id" in a]
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        names = [name for name, _ in attrs]
        assert set(names) <= ATTRIBUTES, names
        assert len(names) == len(set(names))
        attributes = dict(attrs)
        assert re.match(r"data:image/svg\+xml;base64,[\w+/]+=*$|$", attributes.get("src", ""))
        assert attributes.get("href", "#").startswith("#")
        if "style" in attributes:
            assert attributes["style"].removeprefix("width: ").removesuffix("%").isdecimal()
        self.tags.append(tag)
        self.attributes.append((tag, attributes))
        if tag not in VOID:
            self.stack.append((tag, attributes.get("class", "")))

    def handle_endtag(self, tag):
        assert self.stack.pop()[0] == tag

    def handle_data(self, data):
        self.pieces.append((tuple(self.stack), data))

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_pi(self, data):
        raise AssertionError(f"an instruction: {data}")

    def unknown_decl(self, data):
        raise AssertionError(f"a declaration: {data}")

    def raw(self, tag):
        """The text inside every element of a tag or class, joined without a change."""
        return "".join(text for stack, text in self.pieces if any(tag in (name, *cls.split()) for name, cls in stack))

    def words(self, tag="body"):
        return " ".join(self.raw(tag).split())

    def each(self, tag):
        """The texts of every element with a tag, one by one; such elements do not nest."""
        found, inside = [], False
        for stack, text in self.pieces:
            here = any(tag == name for name, _ in stack)
            if here and not inside:
                found.append("")
            if here:
                found[-1] += text
            inside = here
        return found


def check(name, passed=True, *, question="size", hidden=False, points=1.0, message=""):
    return {
        "question": question,
        "name": name,
        "title": f"Title of {name}",
        "hidden": hidden,
        "score": points if passed else 0.0,
        "max_score": points,
        "passed": passed,
        "message": message,
    }


def question(name, score, max_score, *, manual=False, status="graded", comment="", answer=""):
    return {
        "name": name,
        "title": f"Question {name}",
        "score": score,
        "max_score": max_score,
        "manual": manual,
        "status": status,
        "comment": comment,
        "answer": answer,
    }


def result(student="ana", **changes):
    made = {
        "format": 1,
        "student": student,
        "assignment": "convolution",
        "title": "Convolution by hand",
        "status": "graded",
        "reason": "",
        "score": 5.5,
        "max_score": 10.0,
        "raw_score": 5.5,
        "late": None,
        "execution_time": 0.12,
        "questions": [
            question("size", 3.0, 6.0),
            question("essay", 2.5, 4.0, manual=True, comment="Say which digits.", answer="It mixes\n   4 and 9."),
        ],
        "tests": [
            check("seven", points=1.0),
            check("steps", False, points=1.0, message="Your answer was 4. Round down."),
            check("drawn", points=2.0, hidden=True),
            check("padded", False, points=2.0, hidden=True, message="Hidden word: kumquat."),
        ],
        "cells": [{"cell": 3, "error": "NameError: name 'np' is not defined"}],
        "output": "loss 0.5\n",
        "isolation": ISOLATION,
        "submission": {"file": f"{student}/convolution.ipynb", "sha256": "5e" * 32},
        "key": "k1",
    }
    assert set(changes) <= set(made)
    return made | changes


def ungraded(student="bo", reason="The file is not a notebook.", **changes):
    empty = {"status": "could not be graded", "reason": reason, "score": 0.0, "raw_score": 0.0, "questions": []}
    return result(student, **empty, tests=[], cells=[], output="", **changes)


def waiting(student="cy", score=3.0, **changes):
    questions = [question("size", 3.0, 6.0), question("essay", 0.0, 4.0, manual=True, status="needs manual grade")]
    return result(student, **{"status": "needs manual grade", "questions": questions, "score": score} | changes)


def feedback(made, show_hidden="named"):
    return Page(feedback_page(made, show_hidden=show_hidden))


def report(results, title="Convolution by hand"):
    return Page(report_page(results, title=title))


@pytest.mark.parametrize("make", [result, ungraded, waiting])
def test_the_results_of_these_tests_have_the_form_of_results_json(make):
    Result.model_validate(make())
    Result.model_validate(hostile("text", make()["status"]))


# --- a student's page -------------------------------------------------------------------------------------------------


def test_feedback_says_score_checks_answer_and_comment():
    page = feedback(result())
    words = page.words()
    assert "5.5 of 10 points" in words
    assert "Question size 3 of 6 points" in words
    assert "Question essay 2.5 of 4 points" in words
    assert "✓ passed Title of seven 1 of 1" in words
    assert "✗ not passed Title of steps 0 of 1 Your answer was 4. Round down." in words
    assert page.raw("answer") == "It mixes\n   4 and 9."
    assert page.raw("comment") == "Say which digits."
    assert "Code cell 3: NameError: name 'np' is not defined" in words
    assert page.raw("pre") == "loss 0.5\n"
    assert page.each("summary") == ["What the notebook printed (9 characters)"]
    assert not any("open" in attributes for _, attributes in page.attributes)  # folded
    assert "File: ana/convolution.ipynb, sha256 " + "5e" * 32 in words
    assert page.each("title") == ["Feedback on Convolution by hand: ana"]


def test_named_hidden_checks_have_a_title_and_no_message():
    text = feedback_page(result(), show_hidden="named")
    words = Page(text).words()
    assert "✓ passed Title of drawn hidden 2 of 2" in words
    assert "✗ not passed Title of padded hidden 0 of 2" in words
    assert "kumquat" not in text
    assert "Hidden checks: " not in words


def test_hidden_checks_are_one_sum_for_each_question():
    more = result()
    more["questions"].insert(1, question("third", 0.3, 0.4))
    more["tests"] += [check(f"h{i}", i < 3, question="third", hidden=True, points=0.1) for i in range(4)]
    text = feedback_page(more, show_hidden="hidden")
    page = Page(text)
    for secret in ("kumquat", "drawn", "padded", "Title of h"):
        assert secret not in text
    assert page.raw("hidden-sum") == "Hidden checks: 2 of 4 pointsHidden checks: 0.3 of 0.4 points"
    assert "Title of seven" in page.words()
    assert "Your answer was 4. Round down." in page.words()


def test_no_word_about_hidden_checks_where_there_are_none():
    made = result(tests=[check("seven")])
    for show_hidden in ("named", "hidden"):
        assert "idden" not in feedback(made, show_hidden).words()


def test_isolation_and_key_stay_with_the_instructor():
    page = feedback(result())
    for word in ("namespace", "network", "isolation", "k1"):
        assert word not in page.words()


def test_unknown_way_to_show_hidden_checks():
    with pytest.raises(ValueError, match=r'`show_hidden` must be "named" or "hidden" .*Use show_hidden="hidden"'):
        feedback_page(result(), show_hidden="all")
    feedback_page(result(), show_hidden="hidden")


def test_late_penalty_is_explained():
    words = feedback(result(late={"hours": 3.2, "percent": 10.0}, raw_score=5.5, score=4.95)).words("late")
    assert "3.2 hours late" in words
    assert "earned 5.5 points; 10 % of them (0.55 points) are taken off, which leaves 4.95." in words
    assert "same share" not in words
    words = feedback(result(late={"hours": 1.0, "percent": 0.0})).words("late")
    assert words == "Handed in 1 hour late. Nothing is taken off."
    assert "late" not in feedback(result()).words().lower()


def test_a_page_that_waits_for_a_manual_grade():
    page = feedback(waiting(late={"hours": 3.2, "percent": 10.0}, raw_score=3.0, score=2.7))
    words = page.words()
    assert "2.7 of 10 points so far" in words
    assert "A person still has to read: Question essay (4 points)." in words
    assert "Question essay not marked yet, 4 points possible" in words
    assert "The same share comes off the points that are still missing." in words
    assert "No answer was found." in words


def test_what_to_do_when_it_could_not_be_graded():
    words = feedback(ungraded()).words()
    assert "Could not be graded" in words
    assert "What to do" in words
    assert "The file is not a notebook." in words
    assert "counts 0 of 10 points" in words
    assert "Restart Kernel and Run All Cells" in words
    assert "course-cnn check NOTEBOOK" in words
    assert "send this page to your instructor" in words
    assert "bo/convolution.ipynb" in words
    assert "What to do" not in feedback(result()).words()


def test_a_reason_beside_a_score_is_shown():
    assert "Ran out of time in size." in feedback(result(reason="Ran out of time in size.")).words()


def test_nothing_was_handed_in():
    page = feedback(ungraded(submission={"file": "", "sha256": ""}, isolation={}, max_score=0.0))
    assert "File:" not in page.words()
    assert "counts 0" not in page.words()


@pytest.mark.parametrize(
    "value, shown",
    [(12.500000001, "12.5"), (1 / 3, "0.33"), (20.0, "20"), (1.0, "1"), (0.1 + 0.2, "0.3"), (-1e-9, "0")],
)
def test_numbers_are_short(value, shown):
    words = feedback(result(score=value, max_score=1.0)).words("score")
    assert words == f"{shown} of 1 point"


def test_long_text_is_cut_and_says_so():
    message, error = "m" * 1_000_000, "E" * 1_000_000
    cells = [{"cell": i, "error": error} for i in range(1, 31)]
    text = feedback_page(result(tests=[check("seven", False, message=message)], cells=cells), show_hidden="named")
    assert len(text) < 100_000
    words = Page(text).words()
    assert "m" * 4000 + "… (996,000 more characters)" in words
    assert "20 more not shown." in words


# --- whatever a student writes ----------------------------------------------------------------------------------------


def hostile(text, status):
    """A result with `text` wherever a student, a file name or a check can put it."""
    made = {"graded": result, "needs manual grade": waiting, "could not be graded": ungraded}[status](text)
    questions = [{**q, "title": text, "answer": text, "comment": text} for q in made["questions"]]
    tests = [{**t, "title": text, "message": text} for t in made["tests"]]
    return made | {
        "title": text, "reason": text, "output": text, "questions": questions, "tests": tests,
        "cells": [{"cell": 1, "error": text}], "submission": {"file": text, "sha256": text},
        "isolation": {text: False}, "late": {"hours": 1.0, "percent": 5.0},
    }  # fmt: skip


def outside_bdi(page, text):
    return sum(text in piece for stack, piece in page.pieces if not {"bdi", "title"} & set(dict(stack)))


def assert_harmless(text):
    """Page() asserts that nothing runs; here that nothing is lost either, and that directions stay inside."""
    for status in ("graded", "needs manual grade", "could not be graded"):
        made = hostile(text, status)
        for show_hidden in ("named", "hidden"):
            page = feedback(made, show_hidden)
            if text.strip():
                assert page.raw("pre") == text
                assert page.raw("reason") == text * (status != "needs manual grade")  # it only repeats what waits
            if text.strip() and status == "graded":
                assert page.raw("answer") == text
                assert page.raw("comment") == text
            if not text.isascii():
                assert outside_bdi(page, text) == 1  # the sha256 of this made-up result
    with mock.patch("course_cnn.grading.pages._picture", return_value=""):  # it holds no text of theirs and takes time
        page = report(
            [hostile(text, status) for status in ("graded", "needs manual grade", "could not be graded")], text
        )
    if not text.isascii():
        assert outside_bdi(page, text) == 1  # the layer of isolation of this made-up result
    assert page.raw("h1") == f"Report on {text}"
    assert text in page.raw("ungraded")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_only_text(text):
    assert_harmless(text)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from([*HOSTILE, "<", ">", '"', "'", "&", "=", "/", " ", "`", "<!--", "]]>", "\u202e", "é"]),
        min_size=1,
        max_size=6,
    )
)
def test_hostile_text_in_any_order(parts):
    assert_harmless("".join(parts))


def test_half_a_surrogate_pair_can_be_written():
    page = feedback(result("a\ud800b", output="x\udfffy"))
    assert page.raw("pre") == "x?y"
    assert "a?b" in page.words()
    report([ungraded("a\ud800b", "why\ud800")], "t\ud800")


# --- the instructor's page --------------------------------------------------------------------------------------------


def numbers(page):
    return dict(zip(page.each("dt"), page.each("dd"), strict=True))


def test_numbers_at_the_top():
    scores = [10.0, 4.0, 5.5]
    page = report([*(result(f"s{i}", score=s) for i, s in enumerate(scores)), waiting(score=3.0), ungraded()])
    assert numbers(page) == {
        "submissions": "5",
        "graded": "3",
        "need a manual grade": "1",
        "could not be graded": "1",
        "mean, of 10 points": "5.62",
        "median, of 10 points": "4.75",
    }
    assert "Lowest 3, median 4.75, highest 10 of 10 points." in page.words("figcaption")
    assert "those of the 4 submissions that ran" in page.words()
    assert "1 of them counts with the points so far" in page.words()


def test_pass_rates_stand_in_the_order_of_the_assignment():
    full = result("b", tests=[*result()["tests"], check("last", question="essay")])
    first = result("a", tests=full["tests"][1:2])  # a result with fewer checks comes first
    page = report([first, full, result("c", tests=[check("seven", False), *full["tests"][1:]])])
    rows = [row for row in page.each("tr") if "Title of" in row or "Question" in row]
    assert [" ".join(row.split()) for row in rows] == [
        "Question size mean 3 of 6 points",
        "Title of seven 50 % (1 of 2)",
        "Title of steps 0 % (0 of 3)",
        "Title of drawn hidden 100 % (2 of 2)",
        "Title of padded hidden 0 % (0 of 2)",
        "Question essay mean 2.5 of 4 points",
        "Title of last 100 % (2 of 2)",
    ]
    bars = [attributes["style"] for tag, attributes in page.attributes if "style" in attributes]
    assert bars == ["width: 50%", "width: 0%", "width: 100%", "width: 0%", "width: 100%"]


def test_all_and_nobody_are_not_rounded_to():
    page = report(result(f"s{i}", tests=[check("most", i > 0), check("few", i == 0)]) for i in range(1000))
    assert "99 % (999 of 1000)" in page.words()
    assert "1 % (1 of 1000)" in page.words()


def test_a_mean_is_over_marked_answers_only():
    assert "Question essay mean 2.5 of 4 points" in report([result(), waiting()]).words()
    assert "Question essay not marked yet, 4 points possible" in report([waiting()]).words()


def test_commonest_messages_with_their_counts():
    said = [
        "Your answer was 4. Down.",
        "Your answer was 5. Down.",
        "Nothing came.",
        "Nothing came.",
        "",
        "One.",
        "Two.",
    ]
    tests = [[check("steps", False, message=message), check("easy", i > 1, message="Hm.")]
             for i, message in enumerate([*said, "Your answer was 1e-7. Down."])]  # fmt: skip
    page = report(result(f"s{i}", tests=some) for i, some in enumerate(tests))
    section = page.words().split("What most people got wrong")[1].split("Cells that did not")[0]
    assert section.index("Title of steps") < section.index("Title of easy")
    assert "Question size: 8 of 8 did not pass 3 × Your answer was 4. Down. numbers vary 2 × Nothing came. 1 × (no" in (
        section
    )
    assert "Question size: 2 of 8 did not pass 2 × Hm." in section
    assert "One." not in section  # the three commonest only
    assert "kumquat" in report([result()]).words()  # an instructor reads hidden messages


def test_long_messages_are_cut_in_the_report():
    long = "m" * 5000
    page = report([result(tests=[check("steps", False, message=long)]), ungraded(reason=long)])
    assert page.raw("message").startswith("m" * 300 + "… (4,700 more characters)")
    assert "m" * 1000 + "… (4,000 more characters)" in page.raw("ungraded")


def test_checks_that_stumbled_are_for_the_instructor():
    problem = "TypeError: no len() at checks.py, line 12"
    made = result(tests=[check("seven"), check("steps", False, message="It made no sense.") | {"problem": problem}])
    section = report([made, made]).words().split("Checks that raised an error of their own")[1]
    assert f"Title of steps 2 × {problem} Cells" in section
    assert "Title of seven" not in section
    assert "an error of their own" not in report([result()]).words()
    assert "TypeError" not in feedback_page(made, show_hidden="named")


def test_cells_that_raised_most_often():
    name, other = "NameError: name 'np' is not defined", "ValueError: no"
    cells = [[(7, name)], [(7, other), (7, other), (3, name)], [(7, other)], [(i, name) for i in range(100, 112)]]
    page = report(result(f"s{i}", cells=[{"cell": c, "error": e} for c, e in some]) for i, some in enumerate(cells))
    section = page.words().split("Cells that did not finish")[1]
    assert (
        f"Code cell 7, in 3 submissions 2 × {other} 1 × {name} Code cell 3, in 1 submission 1 × {name} Code cell 100"
        in section
    )
    assert "Code cell 107" in section
    assert "Code cell 108" not in section
    assert "4 cells more, each in no more submissions than these." in section


def test_every_ungraded_file_has_its_reason():
    many = [ungraded(f"s{i:04d}", f"Reason number {i}.") for i in range(300)]
    page = report([*reversed(many), ungraded("zoe", "Nothing was handed in.", submission={"file": "", "sha256": ""})])
    rows = [" ".join(row.split()) for row in page.each("tr")]
    assert [row for row in rows if row.startswith("s0")] == [
        f"s{i:04d}s{i:04d}/convolution.ipynbReason number {i}." for i in range(300)
    ]
    assert "zoeno fileNothing was handed in." in rows
    assert numbers(page) == {
        "submissions": "301",
        "graded": "0",
        "need a manual grade": "0",
        "could not be graded": "301",
        "mean": "–",
        "median": "–",
    }
    assert "img" not in page.tags


def test_students_that_still_need_manual_grades():
    page = report([result(), waiting("dan"), waiting("cy")])
    assert "Waiting for a manual grade Question essay, 2 students cy, dan" in page.words()
    assert "waiting" in page.ids
    assert "Waiting for" not in report([result()]).words()


def test_layers_of_isolation_are_counted():
    page = report([result(), ungraded(isolation={}), result(isolation={**ISOLATION, "namespaces": False})])
    rows = page.words("isolation")
    assert "a process of its own 2 of 2" in rows
    assert "a user without rights 0 of 2" in rows
    assert "a namespace sandbox 1 of 2" in rows
    assert page.raw("bad") == "0 of 21 of 2"  # two cells


def test_a_report_on_nothing():
    page = report([])
    assert numbers(page)["submissions"] == "0"
    assert "img" not in page.tags


# --- the picture ------------------------------------------------------------------------------------------------------


def drawn(scores, some_waiting, max_score):
    ax = plot_scores(Figure(layout="constrained").add_subplot(), scores, some_waiting, max_score)
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_y(), bar.get_height()) for bar in ax.patches]
    return ax, [tuple(round(number, 6) for number in bar) for bar in bars if bar[2]]


def test_bars_count_the_submissions():
    ax, bars = drawn([20, 20, 19.4, 0, 12.5], [12.6], 20)
    assert sorted(bars) == [(0, 0, 1), (13, 0, 1), (13, 1, 1), (19, 0, 1), (20, 0, 2)]
    assert ax.get_xlabel() == "score (points, rounded to whole points)"
    assert ax.get_ylabel() == "submissions (number)"
    assert ax.get_title() == "Half of them have 16 of 20 points or more"
    assert ax.get_xlim()[1] > 20
    assert ax.get_ylim()[1] > 2


def test_points_so_far_look_different_without_colour():
    ax, _ = drawn([5], [7], 10)
    cues = {(to_hex(bar.get_facecolor()), bar.get_hatch()) for bar in ax.patches if bar.get_height()}
    assert cues == {("#006ba4", None), ("#ff800e", "///")}
    names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert set(names) == {"graded", "points so far, manual grades missing", "median 6"}


@pytest.mark.parametrize("max_score, step", [(1, 1), (25, 1), (26, 2), (100, 5), (101, 5), (1000, 50)])
def test_bars_stay_few(max_score, step):
    ax, bars = drawn([max_score], [], max_score)
    assert bars == [(step * math.floor(max_score / step + 0.5), 0, 1)]
    assert len(ax.patches) <= 26


def test_odd_scores_are_drawn_too():
    assert drawn([0], [], 0)[1] == [(0, 0, 1)]
    assert drawn([-1, 12], [], 10)[1] == [(0, 0, 1), (12, 0, 1)]  # below zero and above what can be reached


def test_no_label_is_cut_off():
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    ax = plot_scores(figure.add_subplot(), [3, 1000] * 500, [500], 1000)
    figure.draw_without_rendering()
    low, high = ax.get_xlim()
    ticks = [label for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert len(ticks) > 3
    for part in (ax.title, ax.xaxis.label, ax.yaxis.label, figure.legends[0], *ticks):
        box = part.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1


def test_the_picture_is_the_same_each_time_and_needs_nothing():
    results = [result(), waiting()]
    text = report_page(results, title="t")
    assert text == report_page(iter(results), title="t")
    (image,) = (attributes for tag, attributes in Page(text).attributes if tag == "img")
    assert image["alt"] == "Histogram of 2 scores: lowest 3, median 4.25, highest 5.5 of 10 points"
    root = ElementTree.fromstring(base64.b64decode(image["src"].partition(",")[2]))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [element for element in root.iter() if element.tag.endswith(("script", "image", "foreignObject"))]


# --- a large class ----------------------------------------------------------------------------------------------------


def large_class(count, checks=20):
    for i in range(count):
        message = f"student {i} says something else " + chr(97 + i % 26) * (i % 4000)
        tests = [check(f"c{k}", (i + k) % 3 > 0, message=message) for k in range(checks)]
        yield result(f"s{i:04d}", tests=tests, score=i % 11, output=f"{i}" + "x" * 20_000)


def test_two_thousand_results_are_let_go_one_by_one():
    report_page(large_class(10, 5), title="t")  # what is loaded once is not counted
    tracemalloc.start()
    try:
        report_page(large_class(200, 5), title="t")
        small = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        report_page(large_class(2000, 5), title="t")
        large = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert large < small + 10_000_000  # their outputs alone are 40 MB


def test_two_thousand_results_take_seconds():
    start = time.process_time()
    text = report_page(large_class(2000), title="t")
    assert time.process_time() - start < 20
    assert len(text) < 200_000
    assert numbers(Page(text))["submissions"] == "2000"
