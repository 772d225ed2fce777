"""One process that times calls on request, so that two libraries never wait on each other's threads.

BLAS threads keep spinning for a while after a call, and would slow down whatever runs next in the same process. So
NumPy and TensorFlow each get a process of their own: `python -m benchmarks.worker` reads one JSON request per line and
answers with one JSON line. `answer` is the same without a process.
"""

import functools
import json
import os
import signal
import sys
import time
import traceback
from importlib.metadata import version
from statistics import median

import numpy as np

from course_cnn import scratch


def arrays(shape):
    """Draw x (n, h, w, c), kernel (k, k, c, filters) and dy for a convolution without padding, all float32."""
    n, h, w, c, k, filters = shape
    rng = np.random.default_rng(0)
    sizes = (n, h, w, c), (k, k, c, filters), (n, h - k + 1, w - k + 1, filters)
    return [rng.normal(size=size).astype("float32") for size in sizes]


def scratch_pass(shape):
    """Forward and backward in NumPy: dx, dkernel and dbias."""
    x, kernel, dy = arrays(shape)
    return lambda: scratch.conv2d_backward(dy, scratch.conv2d_forward(x, kernel)[1])


def tensorflow_pass(shape):
    """Forward and backward in TensorFlow, not compiled: dx and dkernel, as NumPy arrays."""
    from course_cnn._tensorflow import tf

    x, kernel, dy = map(tf.constant, arrays(shape))

    def call():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, filters=kernel, strides=1, padding="VALID")
        return [gradient.numpy() for gradient in tape.gradient(y, [x, kernel], output_gradients=dy)]

    return call


def forward(shape):
    x, kernel, _ = arrays(shape)
    return lambda: scratch.conv2d_forward(x, kernel)[0]


def loops(shape):
    x, kernel, _ = arrays(shape)
    return lambda: scratch.conv2d_loops(x, kernel)


CALLS = {call.__name__: functools.cache(call) for call in (scratch_pass, tensorflow_pass, forward, loops)}


def answer(request):
    """Time one block of calls, `{"call": name, "shape": […], "seconds": 0.2}`, or describe this process, `{}`.

    Returns:
        {"seconds": float}, the median of one call, after two unmeasured calls. A block of 0 seconds is one single call.
    """
    if not request:
        return about()
    call, block = CALLS[request["call"]](tuple(request["shape"])), request["seconds"]
    times, end = [], time.perf_counter() + block
    for _ in range(2 * bool(block)):
        call()
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"seconds": median(times)}


def about():
    """Say what computes in this process: versions and BLAS libraries."""
    import threadpoolctl

    blas = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    seen = [
        f"{b['internal_api']} {b['version']} {b.get('architecture', '?')}, {b['num_threads']} threads" for b in blas
    ]
    return {
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "tensorflow": version("tensorflow"),
        "blas": " and ".join(sorted(set(seen))) or "unknown to threadpoolctl",
    }


def main(threads):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input or kills us
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not mix with the replies
    if "tensorflow" in sys.argv:
        from course_cnn._tensorflow import tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception:
            reply = {"error": traceback.format_exc()}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
