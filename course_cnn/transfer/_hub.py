"""Fetch a model by tensorflow-hub, whole or not at all."""

import pathlib

from course_cnn.transfer.handles import ModelError, check_folder


def fetch(address):
    """Return the folder of the model at `address`, from tensorflow-hub's cache or fetched into it."""
    try:
        import tensorflow_hub as hub
    except ImportError as error:
        raise ModelError('transfer: tensorflow-hub is not installed. Run pip install "course-cnn[hub]".') from error
    folder = pathlib.Path(hub.resolve(address))
    check_folder(folder, f"Delete {folder} and try again")
    return folder
