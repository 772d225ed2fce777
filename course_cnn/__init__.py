"""The helper library of course-cnn, a course on convolutional networks.

`from course_cnn import shapes, plots` is how lectures import it: the reader sees which part a function lives in.
Submodules load on first use, so `import course_cnn` costs no TensorFlow.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "animate", "augment", "classical", "datasets", "layers", "plots",
        "report", "scratch", "shapes", "tfops", "training", "transfer", "zoo",
    ],
)  # fmt: skip
