"""Real images that come inside scikit-learn and scikit-image: no download."""

import warnings

import numpy as np

from course_cnn import _checks
from course_cnn.datasets._dataset import Dataset, resize, split, unit

DIGITS_SOURCE = (
    "1,797 digits written by 13 people, shrunk to 8×8 counts from 0 to 16. E. Alpaydin and C. Kaynak, "
    "'Optical Recognition of Handwritten Digits', UCI Machine Learning Repository, 1998, "
    "https://doi.org/10.24432/C50P49 (its test part, as scikit-learn ships it). Licence: CC BY 4.0."
)
FACES_SOURCE = (
    "100 faces and 100 pieces of background, 25×25, cut from Labeled Faces in the Wild: G. Huang, M. Mattar, H. Lee "
    "and E. Learned-Miller, 'Learning to Align from Scratch', NIPS 2012, http://vis-www.cs.umass.edu/lfw/; ships with "
    "scikit-image (`skimage.data.lfw_subset`). Licence: no terms stated; news photographs collected for research."
)
# Our class name, scikit-image's function, credit and licence as that function's documentation gives them. Photographs
# without a stated licence (page, moon) are left out.
PHOTOS = (
    ("astronaut", "astronaut", "Eileen Collins, NASA Great Images; public domain"),
    ("camera", "camera", "Lav Varshney; CC0"),
    ("cat", "chelsea", "Chelsea, by Stéfan van der Walt; CC0"),
    ("coffee", "coffee", "Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0"),
    ("rocket", "rocket", "Falcon 9 with DSCOVR, SpaceX; public domain"),
    ("coins", "coins", "Greek coins from Pompeii, Brooklyn Museum; no known copyright restrictions"),
    ("bricks", "brick", "CC0Textures, Bricks25; CC0"),
    ("grass", "grass", "linolafett, DeviantArt; CC0"),
    ("gravel", "gravel", "CC0Textures, Gravel04; CC0"),
    ("galaxies", "hubble_deep_field", "Hubble eXtreme Deep Field, NASA; public domain"),
    ("retina", "retina", "Mikael Häggström, 2014; CC0"),
    ("tissue", "immunohistochemistry", "Center for Microscopy and Molecular Imaging; no known copyright restrictions"),
)


def load_digits(*, size=8):
    """Load scikit-learn's handwritten digits, (n, size, size, 1), a quarter held back. See `datasets.load`."""
    from sklearn.datasets import load_digits

    size = _checks.integer("load", "size", size, minimum=1)
    raw = load_digits()
    x = resize(raw.images[..., None] / 16, size)  # 16: the largest count of a cell
    return split("digits", x, raw.target, tuple("0123456789"), DIGITS_SOURCE)


def load_faces(*, size=25):
    """Load scikit-image's faces and non-faces, (n, size, size, 1), a quarter held back. See `datasets.load`."""
    size = _checks.integer("load", "size", size, minimum=1)
    raw = _skimage_image("lfw_subset")
    y = np.repeat([1, 0], 100)  # faces come first in the file
    return split("faces", resize(raw[..., None], size), y, ("not a face", "face"), FACES_SOURCE)


def load_photos(*, size=256):
    """Load twelve photographs, one a class, cut square around the middle, (12, size, size, 3). See `datasets.load`."""
    size = _checks.integer("load", "size", size, minimum=1)
    x = np.concatenate([resize(_square(_skimage_image(function)), size) for _, function, _ in PHOTOS])
    y = np.arange(len(PHOTOS), dtype=np.int64)
    class_names = tuple(name for name, _, _ in PHOTOS)
    credits = "; ".join(f"{name}: {credit.replace('; ', ', ')}" for name, _, credit in PHOTOS)
    source = f"Photographs that ship with scikit-image (`skimage.data`), cut square. Licences: {credits}."
    return Dataset("photos", x, y, x[:0], y[:0], class_names, source)


def _skimage_image(function):
    """Call a function of `skimage.data`. It imports tqdm, which tells every notebook in red to install ipywidgets."""
    from skimage import data

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(data, function)()


def _square(photo):
    """Cut the largest square out of the middle of a photograph, as one float image (1, side, side, 3)."""
    side = min(photo.shape[:2])
    top, left = ((extent - side) // 2 for extent in photo.shape[:2])
    photo = unit(photo[top : top + side, left : left + side])
    return np.broadcast_to(photo if photo.ndim == 3 else photo[..., None], (1, side, side, 3))
