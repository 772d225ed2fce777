"""Fixtures and settings that all tests share."""

import matplotlib

matplotlib.use("Agg")  # no screen in a test run

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _doctest_namespace(doctest_namespace):
    doctest_namespace["np"] = np
