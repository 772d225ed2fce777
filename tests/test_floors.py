"""Imports point down only, and `import course_cnn` costs no TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "course_cnn"

# From the ground up; see ARCHITECTURE.md. A module may import what stands on a lower floor, or its own folder.
FLOORS = {
    "_checks": 0, "_tensorflow": 0, "_progress": 0, "shapes": 0,
    "scratch": 1, "tfops": 1, "datasets": 1, "classical": 1,
    "layers": 2, "plots": 2, "animate": 2, "augment": 2,
    "zoo": 3, "training": 3,
    "transfer": 4, "report": 5,
    "grading": 6, "doctor": 6, "cli": 9, "__main__": 10,
}  # fmt: skip
SAME_FLOOR = {("shapes", "_checks")}
NO_TENSORFLOW = {"shapes", "_checks", "_progress", "scratch", "datasets", "classical", "plots", "animate", "grading"}


def part(path):
    """Name of the module or sub-package a file belongs to."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported(path):
    """Yield the parts of course_cnn, and the top-level names of other packages, that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports from course_cnn in full"
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "course_cnn" else [node.module]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            yield rest[0] if first == "course_cnn" and rest else first


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    here = part(path)
    assert here in FLOORS, f"give {here} a floor in this test and in ARCHITECTURE.md"
    for name in imported(path):
        if name in FLOORS and name != here:
            allowed = FLOORS[name] < FLOORS[here] or (here, name) in SAME_FLOOR
            assert allowed, f"{path.name} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[name]})"
        if here in NO_TENSORFLOW:
            assert name not in ("tensorflow", "keras", "_tensorflow"), f"{path.name} imports {name}"


def test_every_part_exists():
    assert {part(path) for path in FILES} == set(FLOORS)


def loaded_after(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_no_tensorflow():
    modules = loaded_after("import course_cnn")
    assert not modules & {"tensorflow", "keras", "numpy", "matplotlib"}
    assert "numpy" not in loaded_after("from course_cnn import shapes; shapes.output_size(7, 3)")
    assert "tensorflow" not in loaded_after("from course_cnn import scratch, datasets, plots; datasets.names()")


def test_tensorflow_arrives_in_silence():
    """TensorFlow's start-up lines would open every lecture with a red block."""
    run = subprocess.run(
        [sys.executable, "-c", "from course_cnn import tfops; import tensorflow"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stderr == ""
    assert run.stdout == ""
