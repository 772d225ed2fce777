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
# What is trained: (network, images per step, {reference: how many times as fast we must be}).
TRAINING = (
    ("ResNet-20", 128, {"stock Keras": 1.2, "PyTorch": 1.0}),
    ("LeNet 20-50", 128, {"PyTorch": 1.1}),
)  # fmt: skip
TRIAL = 3  # rounds in which the fastest way of running PyTorch is found
PEAK_SIZE = 2048  # rows and columns of the matrices whose product tells what the processor can do
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # they choose the processor that NumPy's BLAS computes for
RULES = ("at most", "times faster", "seconds more", "seconds")


@dataclass(frozen=True)
class Row:
    """One comparison: the seconds of both sides, round by round, and the target.

    rule: "at most", ours / reference <= target; "times faster", reference / ours >= target; "seconds more",
    ours - reference < target, where the ratio is ours / reference; "seconds", ours <= target, without a reference. In
    the other rules a row without a reference, whose times are then empty, has no verdict, as one without a target.
    Rows of training also have `images` and `flops` of a step, and `peak`, in FLOP/s.
    """

    what: str
    against: str
    ours: list
    reference: list
    rule: str
    target: float | None
    images: int | None = None
    flops: int | None = None
    peak: float | None = None

    @property
    def ratios(self):
        pairs = zip(self.ours, self.reference, strict=bool(self.reference))
        return [b / a if self.rule == "times faster" else a / b for a, b in pairs]

    @property
    def differences(self):
        return [a - b for a, b in zip(self.ours, self.reference, strict=bool(self.reference))]

    @property
    def middle(self):
        """The round that is shown and judged: the one in the middle when they are sorted by what the rule compares."""
        judged = self.differences if self.rule == "seconds more" else self.ratios if self.reference else self.ours
        return judged.index(median_low(judged))

    @property
    def met(self):
        if self.target is not None and self.rule == "seconds":
            return self.ours[self.middle] <= self.target
        if self.target is None or not self.reference:
            return None
        if self.rule == "seconds more":
            return self.differences[self.middle] < self.target
        ratio = self.ratios[self.middle]
        return ratio >= self.target if self.rule == "times faster" else ratio <= self.target

    def share_of_peak(self, seconds):
        return self.flops / seconds / self.peak

    def as_json(self):
        ratios, middle = self.ratios, self.middle
        sides = {"ours": self.ours[middle], "reference": self.reference[middle] if self.reference else None}
        training = {}
        for side, seconds in sides.items() if self.images else ():
            training[f"{side}_images_per_s"] = seconds and self.images / seconds
            training[f"{side}_share_of_peak"] = seconds and self.share_of_peak(seconds)
        return {
            "what": self.what.replace("\n", " "),
            "against": self.against.replace("\n", " "),
            **{f"{side}_s": seconds for side, seconds in sides.items()},
            **training,
            "ratio": ratios[middle] if ratios else None,
            "ratio_min": min(ratios, default=None),
            "ratio_max": max(ratios, default=None),
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
    times = _in_turns(sides, shape, rounds, seconds, step)
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


def matmul_peak(workers, *, rounds, seconds, step=lambda: None):
    """Return {library: FLOP/s of its fastest float32 product of two large matrices}; workers = {library: ask}."""
    best = dict.fromkeys(workers, 0.0)
    for _ in range(rounds):
        for library, ask in workers.items():
            request = {"call": f"matmul_{library}", "shape": (PEAK_SIZE,), "seconds": seconds}
            best[library] = max(best[library], 2 * PEAK_SIZE**3 / ask(request)["best"])
        step()
    return best


def training(network, images, targets, tensorflow, torch, peak, *, rounds, seconds, step=lambda: None):
    """Compare one training step of a network of the zoo with stock Keras layers and with PyTorch; yield the Rows.

    targets: {"stock Keras": …, "PyTorch": …}. Stock Keras lives in our TensorFlow process. torch: {remark: ask}, its
    processes, which wait for their threads in different ways, or {}: then the row has no reference. A first trial
    finds the fastest of its processes and layouts, which then stands for PyTorch.
    """
    candidates = {
        f"PyTorch\n{layout}{remark}": (ask, f"train_torch_{layout.replace(' ', '_')}")
        for layout in ("channels last", "contiguous")
        for remark, ask in torch.items()
    }
    trial = _in_turns(candidates, (network, images), min(rounds, TRIAL), seconds, lambda: None)
    best = min(trial, key=lambda side: median_low(trial[side]), default="PyTorch\nnot installed")
    sides = {"ours": (tensorflow, "train_ours"), "stock Keras": (tensorflow, "train_stock")}
    sides = {side: call for side, call in sides.items() if side == "ours" or side in targets}
    sides |= {side: call for side, call in candidates.items() if side == best}
    times = _in_turns(sides, (network, images), rounds, seconds, step)
    work = {"images": images, "flops": images * tensorflow({"count": network})["flops"], "peak": peak}
    for reference, target in targets.items():
        against = best if reference == "PyTorch" else reference
        what = f"{network}\ntraining step\n{images} images"
        yield Row(what, against, times["ours"], times.get(against, []), "times faster", target, **work)


def inference(network, images, tensorflow, *, rounds, seconds, step=lambda: None):
    """Compare the answers of a network for a batch with our batch normalisation and with Keras's."""
    sides = {"ours": (tensorflow, "infer_ours"), "stock Keras": (tensorflow, "infer_stock")}
    times = _in_turns(sides, (network, images), rounds, seconds, step)
    return Row(f"{network}\ninference\n{images} images", "stock Keras", *times.values(), "at most", 1)


def _in_turns(sides, shape, rounds, seconds, step):
    """Return {side: seconds round by round}; each round asks in the opposite order of the one before."""
    times = {side: [] for side in sides}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            ask, call = sides[side]
            times[side].append(ask({"call": call, "shape": shape, "seconds": seconds})["seconds"])
        step()
    return times


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
def worker(library, *, threads, pinned=False, passive=False):
    """Start `benchmarks.worker` for "numpy", "tensorflow" or "torch" and give the function that asks it.

    It ends with the block. passive: OpenMP threads, which PyTorch computes with, sleep while they wait instead of
    spinning, which is better on a busy machine.
    """
    env = {name: value for name, value in os.environ.items() if pinned or name not in PINS}
    env |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    env |= {"OMP_WAIT_POLICY": "passive"} if passive else {}
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
