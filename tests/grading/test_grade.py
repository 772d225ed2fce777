"""One submission: marks, messages, what is kept of its output, and damage that stays where it was done."""

import ast
import json

import numpy as np
import pytest

from course_cnn.grading import session
from course_cnn.grading.results import Result
from tests.grading.conftest import cell, notebook, solved


def scores(result):
    return {q["name"]: q["score"] for q in result["questions"]}


def messages(result):
    return {t["name"]: t["message"] for t in result["tests"] if not t["passed"]}


def test_full_marks(graded):
    result = graded(solved())
    assert (result["status"], result["score"], result["max_score"]) == ("needs manual grade", 5, 9)
    assert result["reason"] == "To be graded by hand: essay."
    assert scores(result) == {"double": 3, "mean": 2, "essay": 0}
    assert [t["passed"] for t in result["tests"]] == [True] * 4
    Result.model_validate({**result, "submission": {"file": "", "sha256": ""}, "key": ""})


def test_visible_checks_only(graded):
    result = graded(solved(), hidden=False)
    assert [t["name"] for t in result["tests"]] == ["of_three", "of_two"]
    assert result["score"] == 2


def test_partial_credit_per_check(graded):
    result = graded(solved(double="def double(x):\n    return 6"))
    assert scores(result) == {"double": 1, "mean": 2, "essay": 0}
    assert list(messages(result)) == ["of_drawn_numbers"]


def test_an_answer_that_holds_prepared_results_fails_with_the_next_seed(graded):
    spied = graded(
        solved(mean="def mean(x):\n    print('MEAN', float(np.mean(x)))\n    return float(np.mean(x))"), seed=0
    )
    seen = {line.split()[1] for line in spied["output"].splitlines() if line.startswith("MEAN")}
    (drawn,) = seen - {"1.5"}  # of the visible check
    prepared = solved(mean=f"def mean(x):\n    return 1.5 if len(x) == 2 else {drawn}")
    assert scores(graded(prepared, seed=0))["mean"] == 2
    assert scores(graded(prepared, seed=1))["mean"] == 1


def test_inputs_are_drawn_anew_with_every_seed(graded):
    learned = {}
    for seed in (0, 1):
        result = graded(
            solved(mean="seen = []\ndef mean(x):\n    print('SEEN', list(x))\n    return float(np.mean(x))"), seed=seed
        )
        learned[seed] = result["output"]
    assert learned[0] != learned[1]
    assert (
        learned[0]
        == graded(solved(mean="def mean(x):\n    print('SEEN', list(x))\n    return float(np.mean(x))"))["output"]
    )


@pytest.mark.parametrize(
    "mean, said",
    [
        ("def mean(x):\n    raise NotImplementedError()",
         "`mean` is not done yet: it still raises NotImplementedError."),
        ("def mean(x):\n    return y / 2", "`mean` raised NameError: name 'y' is not defined (cell 3, line 2)."),
        ("def average(x):\n    return 1", "There is no `mean` in the notebook. Was it renamed or deleted"),
        ("mean = 5", "`mean` is not a function but int."),
        ("def mean(x, y):\n    return 1",
         "`mean` raised TypeError: mean() missing 1 required positional argument: 'y'."),
        ("def mean(x):\n    pass", "Nothing came back (None): is there a `return`? Divide by how many there are."),
        ("def mean(x):\n    return object()", "`mean` answered, but what it returned is of type object"),
        ("def mean(x):\n    return np.zeros(10**6)", "`mean` answered, but what it returned is larger than 1 MB."),
        ("def mean(x:\n    return 1", "There is no `mean` in the notebook."),
        ("def mean(x):\n    import scipy",
         "`mean` raised ModuleNotFoundError: scipy may not be used in this assignment"),
        ("def mean(x):\n    raise SystemExit('bye')", "`mean` raised SystemExit: bye"),
        ("def mean(x):\n    return input()", "`mean` raised EOFError"),
    ],
)  # fmt: skip
def test_messages_teach(graded, mean, said):
    result = graded(solved(mean=mean))
    assert messages(result)["of_two"].startswith(said)
    assert scores(result) == {"double": 3, "mean": 0, "essay": 0}


def test_no_message_holds_the_expected_value(graded):
    for double in ("def double(x):\n    return x", "def double(x):\n    return 5", "double = 3"):
        for text in messages(graded(solved(double=double))).values():
            assert "1975308" not in text
            assert " 6" not in text


def test_a_cell_that_fails_is_told_and_does_not_stop_the_rest(graded):
    result = graded(
        notebook(
            "1 / 0", "import numpy as np", "def double(x):\n    return 2 * x", "def mean(x):\n    return np.mean(x)"
        )
    )
    assert result["score"] == 5
    assert result["cells"] == [{"cell": 1, "error": "ZeroDivisionError: division by zero (cell 1, line 1)"}]


def test_a_function_that_hangs_costs_its_question(graded):
    result = graded(solved(mean="def mean(x):\n    while True: pass"))
    assert scores(result) == {"double": 3, "mean": 0, "essay": 0}
    assert messages(result)["of_two"] == "`mean` took longer than the 2 s that this question has."
    assert messages(result)["of_many"].startswith("Not run: an earlier check of this question ended your process")


def test_a_function_that_ends_the_process(graded):
    result = graded(solved(double="def double(x):\n    import os\n    os._exit(0)"))
    assert scores(result) == {"double": 0, "mean": 2, "essay": 0}
    assert messages(result)["of_three"] == "`double` ended its process (os._exit, a crash or a kill)."


def test_checks_that_passed_before_the_loss_keep_their_points(graded):
    result = graded(
        solved(
            mean="calls = []\ndef mean(x):\n    calls.append(1)\n"
            "    if len(x) > 2: import os; os._exit(1)\n    return float(np.mean(x))"
        )
    )
    assert scores(result)["mean"] == 1


def test_a_cell_that_hangs_is_left_out(graded):
    result = graded(solved("while True: pass", "z = 1"))
    assert result["score"] == 5
    assert result["cells"] == [{"cell": 4, "error": "This cell took longer than 2 s; it was left out from then on."}]


def test_a_patched_library_damages_its_own_question_alone(graded):
    patch = "def double(x):\n    return 2 * x\nnp.mean = np.sum = None"
    result = graded(solved(double=patch))
    assert scores(result) == {"double": 3, "mean": 2, "essay": 0}


def test_a_later_cell_that_deletes_an_answer(graded):
    result = graded(solved("del mean"))
    assert result["score"] == 5


def test_the_last_definition_counts(graded):
    assert scores(graded(solved("def mean(x):\n    return 0")))["mean"] == 0


def test_magics_shell_lines_and_await(graded):
    cells = [
        "%matplotlib inline\nimport numpy as np\n!rm -rf /\nx = !ls\nhelp?",
        "%%bash\nrm -rf /",
        "%%time\ndef double(x):\n    return 2 * x",
        "import asyncio\nawait asyncio.sleep(0)\ndef mean(x):\n    return np.mean(x)",
        "get_ipython().run_line_magic('ls', '')\ndisplay(1)",
        "y = 7\nz = (y\n % 4)\nassert z == 3",
    ]
    result = graded(notebook(*cells))
    assert result["score"] == 5
    assert result["cells"] == []


def test_output_is_kept_to_a_limit(graded):
    result = graded(solved("for _ in range(3000):\n    print('x' * 1000)", "print('unseen')"))
    assert result["score"] == 5
    assert result["output"].startswith("xxx")
    assert len(result["output"]) <= 20_002


def test_output_memory_is_capped():
    output = session.Output()
    for _ in range(50):
        output.add(b"x" * 65536)
    assert len(output._data) == session.OUTPUT_LIMIT == 1_000_000
    assert output.dropped == 50 * 65536 - 1_000_000


def test_text_from_outside_is_cleaned(graded):
    result = graded(solved("print('a\\x1b[31mb\\x00c\\u202ed')", "raise ValueError('\\ud800\\x1b')"))
    json.dumps(result, ensure_ascii=False).encode()  # no half surrogate
    assert "\x1b" not in json.dumps(result, ensure_ascii=False)
    assert result["output"].splitlines()[0] == "a[31mbcd"


def test_a_check_that_stumbles_is_told_to_the_instructor(tmp_path):
    from course_cnn.grading.assignment import Assignment
    from course_cnn.grading.grade import fork_server, grade_bytes
    from tests.grading.conftest import CHECKS, make_assignment

    checks = CHECKS.replace("expect_close(answers.mean(x), x.mean()", "expect_close(answers.mean(x) + 0, x.mean()")
    assignment = Assignment(make_assignment(tmp_path / "tiny", checks=checks))
    with fork_server(assignment) as server:
        book = solved(mean="def mean(x):\n    return 'a'")
        result = grade_bytes(assignment, server, "s", "x", json.dumps(book).encode(), seed=0)
    (test,) = (t for t in result["tests"] if t["name"] == "of_many")
    assert not test["passed"]
    assert test["message"] == "This check could not make sense of what your answer returned."
    assert test["problem"].startswith("TypeError: can only concatenate str")


def test_answers_in_words_are_kept_for_the_marker(graded):
    text = cell("### Answer: essay\nBecause <b>I</b> say so.", "markdown")
    book = solved()
    book["cells"].append(text)
    (essay,) = (q for q in graded(book)["questions"] if q["manual"])
    assert (essay["answer"], essay["max_score"], essay["status"]) == (
        "Because <b>I</b> say so.",
        4,
        "needs manual grade",
    )


def test_unreadable_is_a_result(graded):
    result = graded(b"not a notebook")
    assert (result["status"], result["score"], result["max_score"]) == ("could not be graded", 0, 9)
    assert "is not a complete notebook" in result["reason"]


@pytest.mark.parametrize("layer", ["process", "folder", "limits", "network", "user", "namespaces"])
def test_layers_are_reported(graded, layer):
    assert graded(solved())["isolation"][layer] in (True, False)


def test_arguments_may_be_larger_than_answers(tmp_path):
    from course_cnn.grading.assignment import Assignment
    from course_cnn.grading.grade import fork_server, grade_bytes
    from tests.grading.conftest import CHECKS, make_assignment

    checks = CHECKS.replace("size=7", "size=700_000")
    assignment = Assignment(make_assignment(tmp_path / "tiny", checks=checks))
    with fork_server(assignment) as server:
        result = grade_bytes(assignment, server, "s", "x", json.dumps(solved()).encode(), seed=0)
    assert scores(result)["mean"] == 2


def test_needed_cells_are_found_through_what_they_use():
    from course_cnn.grading.worker import _bound, _touchy, _used, needed, parse

    cells = ["import numpy as np", "def helper(x):\n    return np.sum(x)", "def f(x):\n    return helper(x)", "g = 5",
             "for i in range(3):\n    k = i", "f.note = 1", "with open(p) as h: pass", "syntax error here",
             "del g"]  # fmt: skip
    trees = {number: parse(source, number) for number, source in enumerate(cells, 1)}
    good = {number: tree for number, tree in trees.items() if isinstance(tree, ast.AST)}
    assert list(good) == [1, 2, 3, 4, 5, 6, 7, 9]
    parts = {number: (_bound(tree), _used(tree)) for number, tree in good.items()}
    assert needed(parts, ["f"]) == [1, 2, 3]
    assert needed(parts, ["g"]) == [4]
    assert needed(parts, ["k", "h"]) == [5, 7]
    assert needed(parts, ["nothing"]) == []
    assert [number for number, tree in good.items() if _touchy(tree)] == [6, 9]


@pytest.mark.parametrize(
    "source, touchy",
    [
        ("y = np.zeros(3)\ny[0] = 1", False),
        ("def f(x):\n    y = x.copy()\n    y[0] += 1\n    x[1] = 2\n    return y", False),
        ("class A:\n    def __init__(self):\n        self.n = 1", False),
        ("data[0] = 1", True),  # data of another cell
        ("import numpy as np\nnp.sum = None", True),
        ("os.environ['A'] = '1'", True),
        ("sys.modules['numpy'] = None", True),
        ("globals()['f'] = 1", True),
        ("setattr(np, 'sum', 0)", True),
        ("def f():\n    global x\n    x = 1", True),
    ],
)
def test_cells_that_change_more_than_their_own_names(source, touchy):
    from course_cnn.grading.worker import _touchy, parse

    assert _touchy(parse(source, 1)) is touchy


def test_a_cell_that_is_no_python_says_so(graded):
    book = solved("x = = 5")
    assert graded(book)["cells"] == [{"cell": 4, "error": "SyntaxError: invalid syntax (line 1)"}]


def test_tensors_cross_as_arrays():
    from course_cnn.grading.worker import Student

    class Tensor:
        def numpy(self):
            return np.arange(3)

    student = Student(None)
    assert student._special(Tensor()) is None  # of somebody else
    Tensor.__module__ = "tensorflow.python.framework.ops"
    np.testing.assert_array_equal(student._special(Tensor()), [0, 1, 2])
