"""Transfer learning: pretrained feature extractors as Keras layers, cached features, freezing and fine-tuning.

`FeatureExtractor(handle)` takes the extractor that comes with the course, a SavedModel, a TF-Hub or Kaggle address or a
network of `keras.applications`. Importing this is enough for Keras to load models that hold one.
"""

import lazy_loader

from course_cnn.transfer.extractor import FeatureExtractor  # noqa: F401  (registers it)

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "handles": ["KNOWN", "Known", "ModelError", "known", "resolve"],
        "extractor": ["FeatureExtractor"],
        "freezing": ["freeze", "replace_head", "stages", "unfreeze"],
        "fine_tuning": ["Phase", "fine_tune", "plan"],
        "cache": ["cache_features"],
        "few_labels": [
            "LABELS", "FineTuned", "FromScratch", "build_untrained", "compare_methods", "curve_array", "curve_table",
            "draw_labels", "fit_head", "learn_linear", "learning_curve", "stage_features",
        ],
    },
)  # fmt: skip
