"""The form of `results.json`, one file per student.

`python -m course_cnn.grading.results` prints its JSON schema.
"""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Score = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Question(_Closed):
    """One question: its points, and for one graded by hand the student's text and the marker's comment."""

    name: str
    title: str
    score: Score
    max_score: Score
    manual: bool
    status: Literal["graded", "needs manual grade"]
    comment: str
    answer: str


class Test(_Closed):
    """One check: whether it passed, and what the student is told; `problem` is for the instructor."""

    question: str
    name: str
    title: str
    hidden: bool
    score: Score
    max_score: Score
    passed: bool
    message: str
    problem: str | None = None


class Cell(_Closed):
    """A code cell that raised or was lost; `cell` counts code cells from 1."""

    cell: Annotated[int, Field(ge=1)]
    error: str


class Lateness(_Closed):
    """How late, and what it costs."""

    hours: float
    percent: Annotated[float, Field(ge=0, le=100)]


class SubmittedFile(_Closed):
    """The file that was graded, as the grader found it."""

    file: str
    sha256: str


class Result(_Closed):
    """What `grade` says about one submission. `score` is `raw_score` less what lateness costs."""

    format: Literal[1]
    student: str
    assignment: str
    title: str
    status: Literal["graded", "needs manual grade", "could not be graded"]
    reason: str
    score: Score
    raw_score: Score
    max_score: Score
    late: Lateness | None
    execution_time: Score
    questions: list[Question]
    tests: list[Test]
    cells: list[Cell]
    output: str
    isolation: dict[str, bool]
    submission: SubmittedFile
    key: str


def schema():
    """The JSON schema of `results.json`, a dict."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Result.model_json_schema()}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
