"""Data augmentation: new training images from old ones, on-line as Keras layers and off-line as a larger data set."""
