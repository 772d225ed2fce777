"""`gradient_field` is quiet in a loop, as lectures call it."""

import logging

import numpy as np

from course_cnn import report
from course_cnn._tensorflow import tf

# isort: split
import keras


def test_calls_in_a_loop_do_not_warn_of_retracing():
    model = keras.Sequential([keras.Input((5, 5, 1)), keras.layers.Conv2D(1, 3)])
    images, records = np.ones((12, 5, 5, 1), "float32"), []
    handler = logging.Handler()
    handler.emit = records.append
    tf.get_logger().addHandler(handler)
    try:
        fields = [report.gradient_field(model, images=image[None]) for image in images]
    finally:
        tf.get_logger().removeHandler(handler)
    assert [record.getMessage()[:60] for record in records] == []
    np.testing.assert_allclose(np.mean(fields, axis=0), report.gradient_field(model, images=images), rtol=1e-6)
