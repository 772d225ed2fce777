"""Visible checks of 'Batch normalisation and a ResNet': `course-cnn check resnet.ipynb` runs them."""

import numpy as np
from course_cnn.grading import expect, expect_close, expect_equal, visible


@visible("batch_norm", points=1)
def four_numbers(answers, rng):
    """Two images of two pixels, one channel: 1, 2, 3 and 6"""
    x = np.array([1.0, 2.0, 3.0, 6.0]).reshape(2, 1, 2, 1)
    got = answers.batch_norm_train(x, np.array([2.0]), np.array([1.0]), np.zeros(1), np.ones(1), epsilon=0.5)
    expect(isinstance(got, list | tuple) and len(got) == 3, "Return three arrays: y, moving mean, moving variance.")
    hint = "All four share one mean and one variance. Epsilon goes to the variance, and the root comes after that."
    expect_close(got[0], np.array([-1.0, 0.0, 1.0, 4.0]).reshape(2, 1, 2, 1), hint)


@visible("residual_block", points=1)
def same_shape(answers, rng):
    """A block whose output has the shape of its input: which layer follows which"""
    model = answers.one_block(8, 6, 6)
    expect(hasattr(model, "kinds"), "No Keras model came back. Does `residual_block` return a tensor?")
    kinds = ["ReLU" if name == "Activation" else name for name in model.kinds]
    want = ["Conv2D", "BatchNormalization", "ReLU", "Conv2D", "BatchNormalization", "Add", "ReLU"]
    hint = "Compare with the drawing, from top to bottom. The shortcut is x itself here and has no layer."
    expect_equal(kinds, want, hint)


@visible("residual_block", points=1)
def output_shapes(answers, rng):
    """The shape that comes out: more filters, strides, both, and an odd number of pixels"""
    for size, filters, strides, out in ((8, 12, 1, 8), (8, 6, 2, 4), (8, 12, 2, 4), (7, 6, 2, 4)):
        model = answers.one_block(size, 6, filters, strides)
        expect(hasattr(model, "kinds"), "No Keras model came back. Does `residual_block` return a tensor?")
        hint = f"It was a block for {size}×{size} pixels and 6 channels, with {filters} filters and strides {strides}."
        expect_equal(model.output_shape, [None, out, out, filters], hint)


@visible("build_resnet", points=1)
def eight_layers(answers, rng):
    """The smallest network: its input, its output, its blocks, its layers with weights"""
    model = answers.build_resnet(8, 4)
    expect(hasattr(model, "kinds"), "No Keras model came back. Does `build_resnet` return a `keras.Model`?")
    expect_equal(model.input_shape, [None, 16, 16, 3], "This is the input: the batch, rows, columns, channels.")
    expect_equal(model.output_shape, [None, 10], "The last table row: one number per class.")
    expect_equal(model.kinds.count("Add"), 3, "Count the additions: one per block. How many blocks are in a stage?")
    counted = [layer for layer in model.layers if layer.kind == "Dense"]
    counted += [layer for layer in model.layers if layer.kind == "Conv2D" and layer.config.get("kernel_size") == [3, 3]]
    expect_equal(len(counted), 8, "Count the 3×3 convolutions and the dense layer.")


@visible("count_params", points=1)
def narrowest(answers, rng):
    """8 layers and a single filter in the first stage"""
    hint = "Write down layer by layer what it has, on paper, and add up. Are the projections among them?"
    expect_equal(answers.count_params(8, 1), (459, 417), hint)


@visible("depth_experiment", points=1)
def one_row_per_depth(answers, rng):
    """Two losses for the one depth asked for"""
    x, y = rng.normal(size=(16, 16, 16, 3)), np.arange(16) % 10
    got = answers.depth_experiment([8], x, y, 1, steps=1)
    got = got.tolist() if isinstance(got, np.ndarray) else got
    expect(isinstance(got, list | tuple) and len(got) == 1, "Return a list with one tuple per depth.")
    expect(isinstance(got[0], list | tuple) and len(got[0]) == 2, "A row holds two losses: plain, residual.")
    good = all(isinstance(loss, int | float | np.number) and 0 < loss < 100 for loss in got[0])
    expect(good, "Each loss is the number that `train` returned for images and labels as given.")


SETTINGS = {'title': 'Batch normalisation and a ResNet', 'minutes': 120, 'time_limit': 240.0, 'memory_limit': 4096, 'preload': ['numpy', 'tensorflow', 'keras'], 'unavailable': ['torch', 'course_cnn'], 'questions': [{'name': 'batch_norm', 'title': 'Batch normalisation', 'points': 1.0, 'time_limit': 20.0, 'answers': ['batch_norm_train', 'batch_norm_inference']}, {'name': 'residual_block', 'title': 'The residual block', 'points': 2.0, 'time_limit': 30.0, 'answers': ['residual_block', 'one_block']}, {'name': 'build_resnet', 'title': 'The network', 'points': 1.0, 'time_limit': 30.0}, {'name': 'count_params', 'title': 'Counting without building', 'points': 1.0, 'time_limit': 20.0}, {'name': 'depth_experiment', 'title': 'What shortcuts are good for', 'points': 1.0, 'time_limit': 90.0}, {'name': 'conclusion', 'title': 'What does it show?', 'points': 3.0, 'manual': True}]}
