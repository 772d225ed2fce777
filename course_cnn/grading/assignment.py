"""An assignment as its folder holds it: `assignment.toml`, `checks.py` and the source notebook, read and verified."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from course_cnn.grading.checks import load_checks
from course_cnn.grading.source import AssignmentError, find_source

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Points = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _unique(items):
    if len(set(items)) < len(items):
        raise ValueError(f"names must be different: {', '.join(items)}")
    return items


class Question(BaseModel):
    """One question: what it is worth, and which names of the notebook answer it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Name
    title: str = Field(min_length=1)
    points: Points
    time_limit: Seconds = 10
    answers: Annotated[list[Name], AfterValidator(_unique)] = []
    manual: bool = False
    free_points: Points = 0  # what the untouched student notebook may get

    @property
    def names(self):
        return self.answers or [self.name]


class Late(BaseModel):
    """What late work loses: `table` holds (hours late, percent taken off), the last row reached counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    due: datetime
    table: list[tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0, le=100)]]] = Field(min_length=1)

    @model_validator(mode="after")
    def _rising(self):
        hours, percent = zip(*self.table, strict=True)
        if list(hours) != sorted(set(hours)) or list(percent) != sorted(percent):
            raise ValueError("hours must rise from row to row, and percent must not fall")
        if self.due.tzinfo is None:
            raise ValueError("due needs an offset from UTC, such as 2026-12-01T23:59:00+01:00")
        return self

    def percent(self, hours):
        """Percent taken off work that is so many hours late.

        Example:
            >>> late = Late(due="2026-12-01T12:00:00Z", table=[(0, 10), (24, 50)])
            >>> late.percent(-1), late.percent(0.5), late.percent(24), late.percent(1000)
            (0.0, 10.0, 10.0, 50.0)
        """
        return max([0.0, *(float(off) for after, off in self.table if hours > after)])


class Settings(BaseModel):
    """What `assignment.toml` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str = Field(min_length=1)
    minutes: Annotated[int, Field(gt=0)]
    time_limit: Seconds = 60
    cell_time_limit: Seconds | None = None
    memory_limit: Annotated[int, Field(ge=64)] = 1024
    preload: list[str] = ["numpy"]
    unavailable: list[str] = []
    feedback: Literal["named", "hidden"] = "named"
    questions: Annotated[list[Question], Field(min_length=1)]
    late: Late | None = None

    @model_validator(mode="after")
    def _different(self):
        _unique([question.name for question in self.questions])
        return self


class Assignment:
    """An assignment: `name`, `folder`, `settings`, its `checks` and the `digest` of all that decides a mark.

    Raises:
        AssignmentError: something in the folder is missing, contradicts itself or does not load.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.source = find_source(self.folder)
        self.name = self.source.stem
        self.settings = self._settings(self.folder / "assignment.toml")
        self.questions = self.settings.questions
        self.checks = self._checks(self.folder / "checks.py")
        self.max_score = float(sum(question.points for question in self.questions))

    def checks_of(self, question):
        """The checks of a question, visible ones first, each kind in the order of the file."""
        own = [check for check in self.checks if check.question == question.name]
        return sorted(own, key=lambda check: check.hidden)

    def _settings(self, path):
        try:
            return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise AssignmentError(
                f"{path} cannot be read ({error.strerror}). Write it: title, minutes, questions."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise AssignmentError(f"{path} is not TOML: {error}.") from None
        except ValidationError as error:
            said = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors(include_url=False)
            )
            raise AssignmentError(f"{path}: {said}.") from None

    def _checks(self, path):
        if not path.exists():
            raise AssignmentError(f"{path} is missing. Write the checks of the questions there.")
        try:
            checks = load_checks(path)
        except Exception as error:  # an instructor's module may raise anything
            raise AssignmentError(f"{path} does not load: {type(error).__name__}: {error}.") from error
        known = {question.name: question for question in self.questions}
        for check in checks:
            if check.question not in known:
                raise AssignmentError(
                    f"{path}: the check {check.name!r} belongs to the question {check.question!r}, which is not in "
                    f"assignment.toml; it has {', '.join(known)}."
                )
        names = [check.name for check in checks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise AssignmentError(f"{path}: there are two checks called {twice[0]!r}. Give each its own name.")
        for question in self.questions:
            own = [check for check in checks if check.question == question.name]
            if question.manual:
                if own:
                    raise AssignmentError(f"{path}: {own[0].name!r} checks {question.name!r}, which is graded by hand.")
                continue
            total = sum(check.points for check in own)
            if abs(total - question.points) > 1e-9:
                raise AssignmentError(
                    f"The question {question.name!r} is worth {question.points:g} points, but its {len(own)} checks "
                    f"add up to {total:g}. Change its points in assignment.toml or those of its checks in {path.name}."
                )
        return checks
