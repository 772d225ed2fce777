"""Fixtures and settings that all tests and doctests share."""

import matplotlib

matplotlib.use("Agg")  # no screen in a test run

import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _names_and_figures(doctest_namespace):
    """Give every doctest `np`, close the figures that were opened, and see that no plot changed the global style."""
    doctest_namespace["np"] = np
    style = dict(plt.rcParams)
    yield
    plt.close("all")
    assert dict(plt.rcParams) == style
