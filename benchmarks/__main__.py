"""`python -m benchmarks`: measure, then print one table of ratios with their targets."""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import grading, measure, pytorch

PARTS = ("library", "grading")


def main(arguments=None):
    options = _options(arguments)
    try:
        head, rows = run(options)
    except KeyboardInterrupt:
        print("Stopped. Nothing is left running.", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps({**head, "rows": [row.as_json() for row in rows]}, indent=2))
    else:
        show(head, rows, Console())
    return int(options.strict and any(row.met is False for row in rows))


def run(options):
    """Measure what is asked for. Returns (what the machine is, [Row, …])."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    head = {
        "processor": _processor(), "cores": _cores(), "load": load, "threads": options.threads,
        "python": platform.python_version(), "notes": [],
    }  # fmt: skip
    rows, columns = [], (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for measured in (_library, _grading):
            if options.only in (None, measured.__name__[1:]):
                task = progress.add_task("starting", total=None)
                rows.extend(measured(options, head, progress, task))
                progress.remove_task(task)
    return head, rows


def _library(options, head, progress, task):
    """Measure the library against TensorFlow, Keras and PyTorch; yield the Rows, add to `head`."""
    rounds, seconds, starts, patience = (3, 0.1, 5, 1) if options.quick else (21, 0.15, 15, 20)
    threads = options.threads
    pins = {name: os.environ[name] for name in measure.PINS if name in os.environ}
    with contextlib.ExitStack() as stack:
        torch_rounds = len(measure.TRAINING) * rounds
        steps = len(measure.SHAPES) * rounds + rounds + 1 + starts + 1 + rounds + torch_rounds + rounds
        progress.update(task, description="starting the libraries", total=steps)

        def part(name):
            progress.update(task, description=name)
            return lambda: progress.advance(task)

        numpy = stack.enter_context(measure.worker("numpy", threads=threads))
        tensorflow = stack.enter_context(measure.worker("tensorflow", threads=threads))
        torch = {}
        if pytorch.available():
            torch = {
                remark: stack.enter_context(measure.worker("torch", threads=threads, passive=bool(remark)))
                for remark in ("", "\nthreads sleep")
            }
        else:
            head["notes"].append(f"PyTorch is not installed, so there is nothing to compare with: {pytorch.INSTALL}")
        ours, about = {"": numpy}, numpy({})
        if pins:
            pinned = stack.enter_context(measure.worker("numpy", threads=threads, pinned=True))
            ours["\nBLAS as set here"] = pinned
            about["pinned_blas"] = pinned({})["blas"]
        head |= {"pins": pins, **about}
        step = part("scratch and TensorFlow in turns")
        timing = dict(rounds=rounds, seconds=seconds, step=step)
        for shape in measure.SHAPES:
            yield from measure.against_tensorflow(shape, ours, tensorflow, **timing)
        part("the seven loops")
        yield measure.against_loops(measure.SHAPES[0], numpy, patience=patience, **timing)
        part("matrix products")
        libraries = {"numpy": numpy, "tensorflow": tensorflow, **({"torch": torch[""]} if torch else {})}
        head["matmul_flops"] = peaks = measure.matmul_peak(libraries, **timing)
        for network, images, targets in measure.TRAINING:
            part(f"training {network}")
            yield from measure.training(network, images, targets, tensorflow, torch, max(peaks.values()), **timing)
        part("inference")
        yield measure.inference(*measure.TRAINING[0][:2], tensorflow, **timing)
        part("starting Python")
        yield measure.import_time(rounds=starts, step=step)


def _grading(options, head, progress, task):
    """Measure the autograder, against nbgrader where it is; yield the Rows, add to `head`."""
    if not grading.available():
        head["notes"].append(f"The autograder is not measured; it needs more packages: {grading.OURS}")
        return
    nbgrader = grading.command(options.nbgrader)
    head["nbgrader"] = grading.version(nbgrader) if nbgrader else None
    head["notes"] += grading.notes(nbgrader)
    progress.update(task, total=grading.steps(options.quick))
    yield from grading.rows(
        nbgrader, quick=options.quick, step=lambda: progress.advance(task),
        part=lambda name: progress.update(task, description=name),
    )  # fmt: skip


def show(head, rows, console):
    """Print what the machine is and the table."""
    console.print(f"{head['processor']}, {head['cores']} cores; Python {head['python']}", highlight=False)
    if "numpy" in head:
        _show_libraries(head, console)
    if "nbgrader" in head:
        console.print(head["nbgrader"] or "nbgrader not installed", highlight=False)
    if head["load"] is not None and head["load"] > 0.5 * head["cores"]:
        console.print(
            f"The machine is busy (load average {head['load']:.1f} on {head['cores']} cores): expect wide ranges. "
            "Repeat when it is quiet.", style="yellow", highlight=False,
        )  # fmt: skip
    table = Table(
        caption="ratio: ours / reference, or reference / ours where the target is ≥ or the ratio has a ×; the middle "
        "round and, in parentheses, the smallest and largest of all rounds",
        box=box.SIMPLE,
        pad_edge=False,
        collapse_padding=True,
        show_lines=True,
    )
    table.add_column("what", no_wrap=True)
    for name in ("ours", "reference", "ratio", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        verdict = {True: "[green]met", False: "[red]missed", None: "–"}[row.met]
        reference = _side(row, row.reference) + row.against
        table.add_row(row.what, _side(row, row.ours).rstrip(), reference, _ratio(row), _target(row), verdict)
    console.print(table)
    if any(row.images for row in rows):
        console.print(
            "Training rows: also images per second and the share of the highest peak above that the step's "
            "multiply-adds reach.", highlight=False,
        )  # fmt: skip
    for note in head["notes"]:
        console.print(note, style="yellow", highlight=False, soft_wrap=True)


def _show_libraries(head, console):
    console.print(f"NumPy {head['numpy']} with {head['blas']}", highlight=False)
    libraries = f"TensorFlow {head['tensorflow']}, Keras {head['keras']}, PyTorch {head['torch'] or 'not installed'}"
    console.print(f"{libraries}, on the processor, {head['threads']} threads", highlight=False)
    products = ", ".join(f"{library} {flops / 1e9:.0f}" for library, flops in head["matmul_flops"].items())
    console.print(f"Peak, products of large float32 matrices, GFLOP/s: {products}", highlight=False)
    if head["pins"]:
        pins = " ".join(f"{name}={value}" for name, value in head["pins"].items())
        console.print(
            f"This shell sets {pins}, which holds NumPy's BLAS and not TensorFlow. Removed for the rows with a target; "
            f"kept for the rows 'BLAS as set here', with {head['pinned_blas']}.",
            style="yellow", highlight=False,
        )  # fmt: skip


def _side(row, times):
    """What one side took in the round that is shown: lines, or nothing where there are no times."""
    if not times:
        return ""
    seconds = times[row.middle]
    if row.images is None:
        return f"{_time(seconds)}\n"
    return f"{_time(seconds)}\n{row.images / seconds:,.0f}/s\n{100 * row.share_of_peak(seconds):.0f} % peak\n"


def _ratio(row):
    ratios, middle = row.ratios, row.middle
    if row.rule == "seconds":
        return f"({_time(min(row.ours))}–{_time(max(row.ours))})"
    if not ratios:
        return "–"
    low, shown, high = (
        f"{r:.{0 if r >= 100 else 2 if r >= 0.1 else 3}f}" for r in (min(ratios), ratios[middle], max(ratios))
    )
    extra = f"{1000 * row.differences[middle]:+.0f} ms\n" if row.rule == "seconds more" else ""
    times = "×" if row.rule == "times faster" and row.target is None else ""
    return f"{extra}{shown}{times}\n({low}–{high})"


def _target(row):
    if row.target is None:
        return "–"
    return {
        "at most": f"≤ {row.target:g}",
        "times faster": f"≥ {row.target:g}",
        "seconds more": f"< {1000 * row.target:g} ms",
        "seconds": f"≤ {1000 * row.target:g} ms",
    }[row.rule]


def _time(seconds):
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.{0 if seconds > 0.1 else 2}f} ms"


def _processor():
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure course_cnn against its targets and print one table. Every figure is a ratio of two "
        "measurements from this run; targets are reported, not enforced.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and submissions, the loops on part of an image: a rough look"
    )
    parser.add_argument("--json", action="store_true", help="print JSON with all rounds instead of the table")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--threads", type=int, default=2, help="threads for NumPy and for TensorFlow (default: 2)")
    parser.add_argument("--only", choices=PARTS, help="measure one part: the library, or the autograder")
    parser.add_argument(
        "--nbgrader", metavar="PATH", help="nbgrader's command, to compare the autograder with (default: NBGRADER in "
        "the environment, else the one beside this Python or on the path)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    options.nbgrader = options.nbgrader or os.environ.get("NBGRADER")
    if options.nbgrader and not grading.command(options.nbgrader):
        parser.error(f"--nbgrader or NBGRADER must name nbgrader's command; there is none at {options.nbgrader}")
    if options.threads < 1:
        parser.error(f"--threads must be at least 1, not {options.threads}")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit like any other, which ends the workers
    sys.exit(main())
