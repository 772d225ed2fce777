"""What is measured: rows of paired times, from which every ratio, and every verdict, is computed."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

ROOT = Path(__file__).parents[1]
SHAPES = ((32, 28, 28, 16, 5, 32), (32, 14, 14, 32, 3, 64), (8, 56, 56, 64, 3, 64))  # (n, h, w, c, k, filters)
RESIDUAL = (128, 32, 32, 16, 3)  # (n, h, w, filters of the first stage, blocks per stage): ResNet-20 on CIFAR images
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they choose the processor that NumPy's BLAS computes for
RULES = ("at most", "times faster", "seconds more")


@dataclass(frozen=True)
class Row:
    """One comparison: the seconds of both sides, round by round, and the target.

    rule: "at most", ours / reference <= target; "times faster", reference / ours >= target; "seconds more",
    ours - reference < target, where the ratio is ours / reference. Without a target there is no verdict.
    """

    what: str
    against: str
    ours: list
    reference: list
    rule: str
    target: float | None

    @property
    def ratios(self):
        pairs = zip(self.ours, self.reference, strict=True)
        return [b / a if self.rule == "times faster" else a / b for a, b in pairs]

    @property
    def differences(self):
        return [a - b for a, b in zip(self.ours, self.reference, strict=True)]

    @property
    def middle(self):
        """The round that is shown and judged: the one in the middle when they are sorted by what the rule compares."""
        judged = self.differences if self.rule == "seconds more" else self.ratios
        return judged.index(median_low(judged))

    @property
    def met(self):
        if self.target is None:
            return None
        if self.rule == "seconds more":
            return self.differences[self.middle] < self.target
        ratio = self.ratios[self.middle]
        return ratio >= self.target if self.rule == "times faster" else ratio <= self.target

    def as_json(self):
        ratios, middle = self.ratios, self.middle
        return {
            "what": self.what.replace("\n", " "),
            "against": self.against,
            "ours_s": self.ours[middle],
            "reference_s": self.reference[middle],
            "ratio": ratios[middle],
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
            "rule": self.rule,
            "target": self.target,
            "met": self.met,
            "rounds": {"ours_s": self.ours, "reference_s": self.reference},
        }


def against_tensorflow(shape, ours, tensorflow, *, rounds, seconds, step=lambda: None):
    """Compare one forward and backward pass; yield a Row for every way `ours` = {remark: ask} of running NumPy.

    The sides take turns block by block, each round in the opposite order of the one before: a machine that gets
    slower meanwhile slows all of them.
    """
    sides = {remark: (ask, "scratch_pass") for remark, ask in ours.items()} | {None: (tensorflow, "tensorflow_pass")}
    times = {side: [] for side in sides}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            ask, call = sides[side]
            times[side].append(ask({"call": call, "shape": shape, "seconds": seconds})["seconds"])
        step()
    n, h, w, c, k, filters = shape
    for remark in ours:
        what = f"conv2d + gradients\n{n}×{h}×{w}×{c}\nby {k}×{k}×{c}×{filters}{remark}"
        yield Row(what, "TensorFlow", times[remark], times[None], "at most", None if remark else 1.5)


def against_loops(shape, ask, *, rounds, seconds, patience=20, step=lambda: None):
    """Compare conv2d_forward on one image with the seven loops, on fewer image rows if those need > `patience` s."""
    _, h, w, c, k, filters = shape
    one_row = ask({"call": "loops", "shape": (1, k, w, c, k, filters), "seconds": 0})["seconds"]
    rows = min(h, k - 1 + max(1, int(patience / one_row)))
    image = (1, rows, w, c, k, filters)
    loops = ask({"call": "loops", "shape": image, "seconds": 0})["seconds"]
    step()
    times = []
    for _ in range(rounds):
        times.append(ask({"call": "forward", "shape": image, "seconds": seconds})["seconds"])
        step()
    part = "" if rows == h else f"\nfirst {rows} of {h} rows"
    what = f"conv2d_forward\n1×{h}×{w}×{c}\nby {k}×{k}×{c}×{filters}{part}"
    return Row(what, "seven loops", times, [loops] * rounds, "times faster", 300)


def batch_normalization(shape, tensorflow, *, rounds, seconds, step=lambda: None):
    """Compare a residual network with our batch normalisation and with Keras's; yield a Row for training, inference.

    Both live in one TensorFlow process and take turns step by step: the medians of neighbouring steps make a pair.
    """
    n, *_, blocks = shape
    net = f"ResNet-{6 * blocks + 2}, n={n}"
    for call, what, rule, target in (
        ("train", "one training step", "times faster", 1.2), ("infer", "inference", "at most", 1),
    ):  # fmt: skip
        times = {"fused": [], "keras": []}
        for number in range(rounds):
            for side in list(times)[:: -1 if number % 2 else 1]:
                request = {"call": f"{call}_{side}", "shape": shape, "seconds": seconds}
                times[side].append(tensorflow(request)["seconds"])
            step()
        yield Row(f"BatchNormalization\n{net}\n{what}", "Keras's layer", *times.values(), rule, target)


def import_time(*, rounds, step=lambda: None):
    """Compare starting Python and importing the library with starting Python alone: whole processes, in pairs."""
    times = {"import course_cnn": [], "pass": []}
    for number in range(rounds + 1):  # the first pair only brings the files into memory
        for statement, seconds in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT)
            if number:
                seconds.append(time.perf_counter() - start)
        step()
    return Row("import course_cnn", "bare Python", *times.values(), "seconds more", 0.1)


@contextlib.contextmanager
def worker(library, *, threads, pinned=False):
    """Start `benchmarks.worker` for "numpy" or "tensorflow" and give the function that asks it; end it afterwards."""
    env = {name: value for name, value in os.environ.items() if pinned or name not in PINS}
    env |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    env["CUDA_VISIBLE_DEVICES"] = "-1"  # processor against processor
    command = [sys.executable, "-m", "benchmarks.worker", str(threads), library]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=env
        )

        def ask(request):
            try:
                print(json.dumps(request), file=process.stdin, flush=True)
                reply = json.loads(process.stdout.readline())
            except (BrokenPipeError, json.JSONDecodeError):
                log.seek(0)
                raise RuntimeError(f"the {library} process ended with {process.wait()}:\n{log.read()}") from None
            if "error" in reply:
                raise RuntimeError(f"in the {library} process:\n{reply['error']}")
            return reply

        try:
            yield ask
        finally:
            process.kill()
            process.communicate()
