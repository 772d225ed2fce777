"""Run the lectures from top to bottom and store their outputs: what `make notebooks` calls.

Each notebook runs in a fresh kernel. A file is replaced only when every cell ran, so a failing or interrupted run
leaves the stored lecture as it was. Timestamps and machine traces are not stored: the same code gives the same file.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
BUDGET = 60  # seconds a lecture may take on two cores
SKIP = "nbval-skip"  # cells that need a network or a GPU are left alone here and by nbval
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", metavar="NUMBER", help="such as 07 13; all lectures when left out")
    wanted = parser.parse_args().only
    paths = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if not wanted or path.name[:2] in wanted]
    if not paths:
        known = ", ".join(path.name[:2] for path in sorted(NOTEBOOKS.glob("*.ipynb")))
        parser.error(f"no lecture has the number {' or '.join(wanted)}; there are {known}")

    console, failed = Console(), 0
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        for path in paths:
            task = progress.add_task(path.stem)
            started = time.monotonic()
            try:
                execute(path, lambda done, total, task=task: progress.update(task, completed=done, total=total))
            except CellExecutionError as error:
                failed += 1
                console.print(f"[red]failed[/]  {path.name}: stored file left as it was\n{error}")
            else:
                seconds = time.monotonic() - started
                note = f"  [yellow]over the budget of {BUDGET} s[/]" if seconds > BUDGET else ""
                console.print(f"stored  {path.name}  {seconds:.0f} s{note}")
            progress.remove_task(task)
    return int(failed > 0)


def execute(path, report=lambda done, total: None):
    """Run one notebook in its own folder and replace the file once all of it ran; `report(done, total)` after cells."""
    notebook = nbformat.read(path, as_version=4)
    runs = [c for c in notebook.cells if c.cell_type == "code" and SKIP not in c.metadata.get("tags", [])]
    total, done = len(runs), 0

    def count(**_):
        nonlocal done
        done += 1
        report(done, total)

    report(0, total)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", record_timing=False, extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}}, on_cell_executed=count, skip_cells_with_tag=SKIP,
    )  # fmt: skip
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
    nbformat.validate(notebook)
    temporary = path.with_suffix(".ipynb.part")
    try:
        nbformat.write(notebook, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; finished lectures are stored, the others are as they were.")
