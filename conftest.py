"""Fixtures and settings that all tests and doctests share."""

import matplotlib

matplotlib.use("Agg")  # no screen in a test run

import matplotlib.pyplot as plt
import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = "tests/grading/"  # tests that watch the clock or look for what workers left: they disturb each other
NOT_TOGETHER = {"test_assignments.py", "test_nbgrader.py", "test_pages.py"}


@pytest.fixture(autouse=True)
def _names_and_figures(doctest_namespace):
    """Give every doctest `np`, close the figures that were opened, and see that no plot changed the global style."""
    doctest_namespace["np"] = np
    style = dict(plt.rcParams)
    yield
    plt.close("all")
    assert dict(plt.rcParams) == style


class OneProcessForGrading(LoadScopeScheduling):
    """Hand out tests one by one, those of `TOGETHER` to one process.

    Not by `xdist_group`: pytest-xdist 3.8 loses it with pytest 9.2 (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return TOGETHER if file.startswith(TOGETHER) and file.rpartition("/")[2] not in NOT_TOGETHER else nodeid


def pytest_xdist_make_scheduler(config, log):
    """What `--dist=loadgroup` means here."""
    return OneProcessForGrading(config, log) if config.getvalue("dist") == "loadgroup" else None
