"""Import TensorFlow without its start-up chatter; the library's one way in: `from course_cnn._tensorflow import tf`.

TensorFlow 2.21 writes several lines about CUDA and oneDNN straight to file descriptor 2 while it is imported and while
it first looks for a GPU, before any setting can quiet it. In a notebook they arrive as a red block under the first
cell. We hold that descriptor during the import and, should the import fail, let everything out. What was held tells
`course-cnn doctor` why there is no GPU.
"""

import contextlib
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Python exceptions say enough; a value set by the user wins


@contextlib.contextmanager
def _held_stderr():
    """Hold what is written to file descriptor 2 inside the block; on an error, let it out where it belongs."""
    held = []
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no standard error at all (pythonw on Windows)
        yield held
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield held
        except BaseException:
            os.dup2(saved, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        held.append(file.read().decode(errors="replace"))


with _held_stderr() as _held:
    import tensorflow as tf

    tf.config.list_physical_devices()  # the search for a GPU happens here, once, and writes as well; nothing is set up

STARTUP_LOG = "".join(_held)

__all__ = ["STARTUP_LOG", "tf"]
