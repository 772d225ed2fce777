"""The autograder: checks run here, answers run in a worker process, and only plain data crosses between them.

Authors of assignments write `from course_cnn.grading import expect_close, hidden, visible`; the last cell of a student
notebook calls `grading.check(...)`; everything else is behind the command `course-cnn`. Nothing in the library imports
this package.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checks": ["expect", "expect_close", "expect_equal", "expect_raises", "hidden", "visible"],
        "local": ["check"],
    },
)
