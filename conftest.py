"""Fixtures and settings that all tests and doctests share."""

import matplotlib

matplotlib.use("Agg")  # no screen in a test run

import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _names_and_figures(doctest_namespace):
    """Give every doctest `np`, and close the figures that a test or doctest opened."""
    doctest_namespace["np"] = np
    yield
    plt.close("all")
