"""The expectations: what passes, what fails, and that no message holds the expected answer."""

import numpy as np
import pytest

from course_cnn.grading import checks
from course_cnn.grading.checks import Failed, expect_close, expect_equal, expect_raises

SECRET = 73951


@pytest.mark.parametrize(
    "got, want",
    [
        (3, 3), (3.0, 3), (np.int64(3), 3), (np.array(3), 3), ("a", "a"), (True, True), (np.bool_(False), False),
        ((1, 2), (1, 2)), ([1, 2], (1, 2)), (np.array([1, 2]), [1, 2]), ([[1], [2, 3]], [[1], [2, 3]]),
        (np.eye(2), np.eye(2)),
    ],
)  # fmt: skip
def test_equal(got, want):
    expect_equal(got, want, "hint")


@pytest.mark.parametrize(
    "got, want",
    [
        (4, SECRET), (None, SECRET), (True, 1), (1, True), ("3", 3), (np.array([3]), 3), ([1], [1, 2]),
        ((1, 3), (1, 2)), (float("nan"), SECRET), (b"a", "a"), ({}, []), (np.eye(3), np.eye(2)), (5, [5]),
        (np.ones((2, 2)), [1, 1]),
    ],
)  # fmt: skip
def test_not_equal(got, want):
    with pytest.raises(Failed, match="Look at the border") as caught:
        expect_equal(got, want, "Look at the border.")
    assert str(SECRET) not in str(caught.value)


@pytest.mark.parametrize("got", [[1.0, 2.0], (1, 2), np.array([1, 2], "float32"), np.array([1 + 1e-9, 2])])
def test_close(got):
    expect_close(got, np.array([1.0, 2.0]), "hint")


@pytest.mark.parametrize(
    "got, want, options",
    [
        (1 + 5e-7, 1.0, {}), (1 + 2e-6, 1.0, {"rtol": 1e-5}), (5e-10, 0.0, {}), (0.05, 0.0, {"atol": 0.1}),
        (np.nan, np.nan, {}), ([np.nan, 1.0], np.array([np.nan, 1.0]), {}),
    ],
)  # fmt: skip
def test_close_within_the_tolerance(got, want, options):
    expect_close(got, want, "hint", **options)


@pytest.mark.parametrize(
    "got, want, options",
    [
        (1 + 2e-6, 1.0, {}), (1 + 2e-5, 1.0, {"rtol": 1e-5}), (2e-9, 0.0, {}), (0.2, 0.0, {"atol": 0.1}),
        (np.nan, 1.0, {}), (1.0, np.nan, {}), (np.inf, 1.0, {}),
    ],
)  # fmt: skip
def test_not_close_beyond_the_tolerance(got, want, options):
    with pytest.raises(Failed, match="hint"):
        expect_close(got, want, "hint", **options)


@pytest.mark.parametrize(
    "got, said",
    [
        (None, "is there a `return`"),
        ("text", "where numbers are wanted"),
        ([[1], [2, 3]], "where numbers are wanted"),
        ({"a": 1}, "where numbers are wanted"),
        (np.zeros((1, 2)), r"the shape \(1, 2\)"),
        ([1.0, 5.0], r"1 of 2 numbers is wrong, the first one at \[1\]"),
        ([np.nan, 5.0], r"2 of 2 numbers are wrong, the first one at \[0\]. 1 of them is NaN"),
        (7.0, "the shape"),
    ],
)
def test_not_close_says_what_came(got, said):
    with pytest.raises(Failed, match=said) as caught:
        expect_close(got, np.array([1.0, SECRET]), "Mind the border.")
    assert str(caught.value).endswith("Mind the border.")
    assert str(SECRET) not in str(caught.value)


@pytest.mark.parametrize("got, said", [(5, "Your answer was 5"), (np.nan, "not a number"), (np.float32(5), "was 5.0")])
def test_a_number_that_is_not_close_keeps_the_secret(got, said):
    with pytest.raises(Failed, match=said) as caught:
        expect_close(got, SECRET, "hint")
    assert str(SECRET) not in str(caught.value)
    assert str(SECRET - 5) not in str(caught.value)  # a difference would give it away


def test_raises():
    def raising(kind):
        def call():
            raise checks.AnswerError(f"f raised {kind}: no.", kind=kind)

        return call

    expect_raises(raising("ValueError"), "ValueError", "hint")
    with pytest.raises(Failed, match=r"f raised TypeError: no\. hint"):
        expect_raises(raising("TypeError"), "ValueError", "hint")
    with pytest.raises(Failed, match="No error was raised; your answer was 1"):
        expect_raises(lambda: 1, "ValueError", "hint")

    def gone():
        raise checks.WorkerLost("crashed")

    with pytest.raises(checks.WorkerLost):
        expect_raises(gone, "ValueError", "hint")


@pytest.mark.parametrize("points", [-1, float("nan"), float("inf"), "2", True, None])
def test_points_must_be_a_number(points):
    with pytest.raises(ValueError, match=r"`points` must be a finite number >= 0.*Use for example points=1"):
        checks.visible("q", points=points)
    checks.visible("q", points=1)
    checks.visible("q", points=0)


def test_answers_ask_by_name():
    asked = []
    answers = checks.Answers(lambda *message: asked.append(message))
    answers.conv2d(1, stride=2)
    answers.value("n")
    assert asked == [("call", "conv2d", (1,), {"stride": 2}), ("value", "n", (), {})]
    with pytest.raises(AttributeError):
        answers.__array__  # noqa: B018  NumPy asks for it


def test_loading_checks_writes_nothing_and_leaves_nothing(tmp_path):
    import sys

    path = tmp_path / "checks.py"
    path.write_text(
        "from course_cnn.grading import visible\n@visible('q', points=2)\ndef first(a, r):\n    'Title'\n    'x'\n"
    )
    before = set(sys.modules)
    (check,) = checks.load_checks(path)
    assert (check.question, check.name, check.title, check.points, check.hidden) == ("q", "first", "Title", 2, False)
    assert [p.name for p in tmp_path.iterdir()] == ["checks.py"]
    assert set(sys.modules) == before
    assert len(checks.load_checks(path)) == 1  # not two on the second time
