"""Measure how accuracy grows with the labelled images per class, for six ways of learning, and store every run.

Lecture 19 shows the file beside its own short measurement. Each finished run is written at once, so that Ctrl-C loses
only the one it happens in: the same command goes on from there, and more labels, seeds, sets or methods can be added.
The runs go round by round: one seed of everything before the next.

  pixels     a linear classifier on the pixels
  hog        the same classifier on histograms of gradients
  frozen     the same classifier on the features of the frozen extractor
  stages     the same classifier on two of its stages, the middle one on a grid: transfer.stage_features
  scratch    the extractor's network from random weights
  finetuned  the extractor and the classifier of `frozen`, then trained on, all of it
"""

import argparse
import sys
from pathlib import Path

from depth_experiment import _count, _rate, _resume, _versions, write

DATA = ("faces", "digits", "shapes")
METHODS = ("pixels", "hog", "frozen", "stages", "scratch", "finetuned")
EXTRACTING = ("frozen", "stages", "finetuned")
FREE = ("data", "methods", "labels", "seeds", "first_seed", "out")  # may change from call to call; the rest must stay
KEY = ("data", "method", "labels", "seed")
SIZE = 32  # pixels along a side, what the extractor takes


def main(arguments=None):
    given = sys.argv[1:] if arguments is None else [str(word) for word in arguments]
    options = _options(given)
    try:
        return _measure(options, given)
    except KeyboardInterrupt:
        kept = f"What was finished is in {options.out}" if options.out.exists() else "Nothing was finished yet"
        print(f"Stopped. {kept}; the same command goes on from there.", file=sys.stderr)
        return 130


def _measure(options, given):
    import shlex

    from course_cnn import datasets, transfer  # here, so that --help need not wait for TensorFlow
    from course_cnn.transfer import handles

    try:
        extractor = handles.fingerprint(handles.resolve(options.extractor))
    except (transfer.ModelError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    settings = {key: value for key, value in vars(options).items() if key not in FREE}
    record = _resume(options.out, settings)
    if any(run["method"] in EXTRACTING for run in record["runs"]) and record["extractor_sha256"] != extractor:
        raise SystemExit(f"{options.out} holds runs with another extractor. Choose another --out.")
    sets = {name: datasets.load(name, size=SIZE) for name in options.data}
    try:
        for dataset in sets.values():
            transfer.draw_labels(dataset.y_train, max(options.labels))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    command = f"python tools/labels_experiment.py {shlex.join(given)}".strip()
    record.update(
        commands=[*record["commands"], *([] if command in record["commands"] else [command])], versions=_versions(),
        extractor_sha256=extractor,
        data={**record.get("data", {}), **{name: _facts(dataset) for name, dataset in sets.items()}},
    )  # fmt: skip
    runs, missing = record["runs"], _missing(options, record["runs"])
    total, ways = len(runs) + len(missing), {}
    for name, method, labels, seed in missing:
        if (name, method) not in ways:
            ways[name, method] = _way(method, sets[name], options)

        def keep(run, name=name, method=method):
            rounded = {"accuracy": round(run["accuracy"], 5), "seconds": round(run["seconds"], 2)}
            runs.append({"data": name, "method": method, **run, **rounded})
            write(options.out, record, KEY)
            print(f"[{len(runs)}/{total}] {name}, {method}, {run['labels']} labels per class, seed {run['seed']}: "
                  f"accuracy {run['accuracy']:.3f}, {run['seconds']:.1f} s", flush=True)  # fmt: skip

        transfer.learning_curve(*ways[name, method], labels=[labels], seeds=[seed], each=keep)
    write(options.out, record, KEY)
    return 0


def _missing(options, runs):
    done = {tuple(run[name] for name in KEY) for run in runs}
    wanted = [
        (name, method, labels, seed)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for labels in options.labels
        for name in options.data
        for method in options.methods
    ]
    return [run for run in wanted if run not in done]


def _way(method, dataset, options):
    """Return (function that learns, data set it learns from)."""
    from course_cnn import transfer

    classes = len(dataset.class_names)
    if method not in ("scratch", "finetuned"):
        features = {"pixels": _pixels, "hog": _hog}.get(method) or _features(method, options.extractor)
        return lambda *given: transfer.learn_linear(*given, C=options.C), _mapped(dataset, features)
    shared = {"steps": options.steps, "batch_size": options.batch_size}
    if method == "scratch":
        learn = transfer.FromScratch(
            lambda: transfer.build_untrained(classes), learning_rate=options.scratch_rate, **shared
        )
        return learn, _mapped(dataset, _colours)
    extractor = transfer.FeatureExtractor(options.extractor, trainable=True)
    learn = transfer.FineTuned(
        extractor, classes, (SIZE, SIZE, 3), learning_rate=options.finetune_rate, C=options.C, **shared
    )
    return learn, _mapped(dataset, _colours)


def _features(method, handle):
    """Return the function from images to what the frozen extractor makes of them."""
    import numpy as np

    from course_cnn import transfer

    extractor = transfer.FeatureExtractor(handle)
    if method == "stages":
        return lambda x: transfer.stage_features(extractor, x)
    return lambda x: np.concatenate([np.asarray(extractor(x[i : i + 64])) for i in range(0, len(x), 64)])


def _pixels(x):
    return x.reshape(len(x), -1)


def _hog(x):
    from course_cnn.classical import HOGFeatures

    return HOGFeatures().fit_transform(x)


def _colours(x):
    """Repeat a grey channel three times, as the extractor does."""
    return x.repeat(3 // x.shape[-1], axis=-1)


def _mapped(dataset, change):
    from dataclasses import replace

    return replace(dataset, x_train=change(dataset.x_train), x_test=change(dataset.x_test))


def _facts(dataset):
    return {"train": len(dataset.x_train), "test": len(dataset.x_test), "shape": dataset.x_train.shape[1:],
            "classes": len(dataset.class_names)}  # fmt: skip


def _options(given):
    parser = argparse.ArgumentParser(
        prog="python tools/labels_experiment.py", description=__doc__.partition("\n\n  pixels")[0],
        epilog=f"methods:\n{__doc__.partition(METHODS[0])[2].join(['  pixels', ''])}\n"
        "example: python tools/labels_experiment.py --labels 5 --seeds 10 --methods frozen scratch",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--data", choices=DATA, nargs="+", default=list(DATA), help="sets to learn (all three)")
    add("--methods", choices=METHODS, nargs="+", default=list(METHODS), help="ways of learning (all six)")
    add("--labels", type=_count, nargs="+", default=[1, 2, 5, 10, 20, 50], help="images per class (1 2 5 10 20 50)")
    add("--seeds", type=_count, default=5, help="runs of each, each with other labelled images (5)")
    add("--first-seed", type=_seed, default=0, help="the first seed; settings were chosen on 100 and up (0)")
    add("--steps", type=_count, default=150, help="training steps of scratch and finetuned (150)")
    add("--batch-size", type=_count, default=32, help="images per step; with fewer labels all of them (32)")
    add("--scratch-rate", type=_rate, default=3e-3, help="learning rate of scratch: Adam's, cosine to 0 (0.003)")
    add("--finetune-rate", type=_rate, default=1e-4, help="learning rate of finetuned, the same way (0.0001)")
    add("--C", type=_rate, default=100.0, help="of the linear classifier; see transfer.fit_head (100)")
    add("--extractor", default="bundled", help="handle of the extractor: bundled, a folder or an address (bundled)")
    folder = Path(__file__).resolve().parent.parent / "data" / "experiments"
    add("--out", type=Path, default=folder / "labels.json", help="file to write (data/experiments/labels.json)")
    return parser.parse_args(given)


def _seed(text):
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to below 2**32")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
