"""What a handle is, and where the files of its model lie.

A handle names a pretrained feature extractor. There are four kinds: `"bundled"`, the one that comes with the course; a
folder that holds a SavedModel; an https:// address of tfhub.dev or Kaggle Models; and `"keras:NAME"`, a network of
`keras.applications`. Nothing here imports TensorFlow or Keras; tensorflow-hub is imported only to fetch an address.
"""

import hashlib
import json
import os
import pathlib
import re
import urllib.parse
from dataclasses import dataclass

from course_cnn._checks import argument_error

HERE = pathlib.Path(__file__).resolve().parent
INSTALLED, REPOSITORY = HERE / "bundled_extractor", HERE.parents[1] / "data" / "bundled_extractor"
BUNDLED = INSTALLED if INSTALLED.is_dir() else REPOSITORY
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
KINDS = (
    'Pass "bundled", the extractor that comes with the course; or the folder of a SavedModel, such as "models/mine"; '
    'or an address, such as "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5"; or '
    '"keras:mobilenet_v2", a network of keras.applications'
)

TENSORFLOW_1 = (
    "a module of TensorFlow 1, which cannot be trained further",
    "Take the model's TensorFlow 2 version: on tfhub.dev the feature vectors of version 4 and up",
)


class ModelError(RuntimeError):
    """The model cannot be had or read on this machine now: no network, a damaged archive, no SavedModel there.

    The message says what to do. A bad argument is a `ValueError` instead, as everywhere in `course_cnn`.
    """


def kind(handle):
    """Tell the four kinds of handle apart.

    Args:
        handle: str or path, what `FeatureExtractor` takes.

    Returns:
        `"bundled"`, `"keras"`, `"address"` or `"folder"`. A folder need not be there yet, unless its name is a single
        word that could be a slip for something else.

    Raises:
        ValueError: it is none of the four: a model or layer rather than its name, a misspelt word, `gs://…`.

    Example:
        >>> kind("bundled"), kind("keras:mobilenet_v2"), kind("https://tfhub.dev/google/x/1"), kind("models/mine")
        ('bundled', 'keras', 'address', 'folder')
    """
    if isinstance(handle, os.PathLike):
        return "folder"
    if not isinstance(handle, str):
        raise _not_a_name(handle)
    text = handle.strip()
    if text == "bundled":
        return "bundled"
    if text.startswith("keras:"):
        return "keras"
    if text.lower().startswith(("https://", "http://")):
        if not _has_server(text):
            raise argument_error("transfer", "an address must name a server, in one word",
                                 'Copy it from the page of the model, as in "https://tfhub.dev/google/…/5"',
                                 handle=handle)  # fmt: skip
        return "address"
    if re.match(r"(www\.)?(tfhub\.dev|kaggle\.com)/", text):
        raise argument_error("transfer", "an address begins with https://", f'Pass "https://{text}"', handle=handle)
    there = os.path.exists(os.path.expanduser(text))
    if re.fullmatch(r"[\w-]+/[\w-]+/tensorflow2/[\w-]+/\d+", text, re.I) and not there:
        raise argument_error("transfer", "a model on Kaggle is named by its address",
                             f'Pass "https://www.kaggle.com/models/{text}"', handle=handle)  # fmt: skip
    if "://" in text:
        raise argument_error(
            "transfer", "only http:// and https:// addresses are fetched",
            "Copy the model to this machine and pass its folder", handle=handle,
        )  # fmt: skip
    if text and (there or set(text) & {"/", os.sep} or text.endswith(ARCHIVES)):
        return "folder"
    raise argument_error("transfer", "`handle` must name a model, and there is no folder of this name here", KINDS,
                         handle=handle)  # fmt: skip


def _has_server(address):
    try:
        parts = urllib.parse.urlsplit(address)
        return bool(parts.hostname) and not re.search(r"\s", address) and parts.port != 0
    except ValueError:  # no number for a port, or a bracket left open
        return False


def _not_a_name(handle):
    """The ValueError for a model, a layer or anything else that is handed over instead of a name."""
    names = {cls.__name__ for cls in type(handle).__mro__}
    modules = {cls.__module__.partition(".")[0] for cls in type(handle).__mro__}
    rule, remedy = "`handle` must be a name: a str or a path", KINDS
    if "tensorflow_hub" in modules:
        address = getattr(handle, "_handle", None)
        address = repr(address) if isinstance(address, str) else "the address it was made with"
        rule = "hub.KerasLayer is a layer of Keras 2 and does not work in Keras 3 models"
        remedy = f"Pass {address}; FeatureExtractor takes its place"
    elif "TFSMLayer" in names:
        rule = "keras.layers.TFSMLayer trains a frozen model in silence and FeatureExtractor takes its place"
        remedy = f"Pass its folder, {getattr(handle, 'filepath', 'folder')!r}"
    elif modules & {"keras", "tf_keras"} and "Layer" in names:
        rule = "a Keras model or layer needs no FeatureExtractor"
        remedy = (
            "Put it into your model as it is: transfer.freeze(model) and transfer.replace_head(model, num_classes) do "
            "the rest. Or write it to a folder, model.export(folder), and pass the folder"
        )
    elif "AutoTrackable" in names:
        rule, remedy = "a loaded SavedModel no longer says where it lies", "Pass the folder it was loaded from"
    return argument_error("transfer", rule, remedy, **{"type(handle)": type(handle).__name__})


def resolve(handle):
    """Find the SavedModel folder behind a handle, fetching it where that is needed.

    Args:
        handle: str or path: `"bundled"`, a folder or an address; not `"keras:…"`, which has no folder.

    Returns:
        `pathlib.Path` of a folder that holds `saved_model.pb`, absolute except for a relative folder.

    Raises:
        ValueError: it is no handle, or one of keras.applications.
        ModelError: no model there, a damaged one, or it cannot be fetched.

    An address is fetched once, by tensorflow-hub (`pip install "course-cnn[hub]"`), and found in its cache afterwards,
    without a network. The cache is the folder named by the variable `TFHUB_CACHE_DIR`. Without it, tensorflow-hub keeps
    models in the temporary folder, which many systems empty when they start: set `TFHUB_CACHE_DIR` to a folder of your
    own to keep them.

    Example:
        >>> sorted(path.name for path in resolve("bundled").iterdir() if path.suffix == ".pb")
        ['saved_model.pb']
    """
    which = kind(handle)
    if which == "keras":
        raise argument_error("resolve", "a network of keras.applications has no folder",
                             f"Use FeatureExtractor({handle!r}), which builds it", handle=handle)  # fmt: skip
    if which == "bundled":
        return _bundled()
    if which == "address":
        from course_cnn.transfer import _hub

        return _hub.fetch(handle.strip())
    folder = pathlib.Path(os.path.expanduser(handle.strip() if isinstance(handle, str) else handle))
    check_folder(folder, "Copy or download the model again, all of its files")
    return folder


def _bundled():
    remedy = 'Install course-cnn anew, or, in a clone of the repository, run "git checkout -- data/bundled_extractor"'
    if not BUNDLED.is_dir():
        raise ModelError(f"transfer: the bundled extractor is not in {BUNDLED}. {remedy}.")
    check_folder(BUNDLED, remedy)
    wrong = []
    if (BUNDLED / "model.json").is_file():
        try:
            sums = json.loads((BUNDLED / "model.json").read_text(encoding="utf-8"))["sha256"]
            wrong = [name for name, published in sums.items() if _sum(BUNDLED / name) != published]
        except (OSError, ValueError, KeyError, TypeError) as error:
            wrong = [getattr(error, "filename", None) or "model.json"]
    if wrong:
        raise ModelError(
            f"transfer: the bundled extractor in {BUNDLED} is damaged: {', '.join(wrong)} is not as published. "
            f"{remedy}."
        )
    return BUNDLED


def check_folder(folder, remedy):
    """Raise `ModelError` unless `folder` holds a whole SavedModel; `remedy` says how to get a good one."""
    try:
        problem, advice = _problem(folder, remedy)
    except OSError as error:
        problem, advice = f"{folder} cannot be read ({error.strerror})", "Make it readable to you"
    if problem:
        raise ModelError(f"transfer: {problem}. {advice}.")


def _problem(folder, remedy):
    """(what is wrong with `folder` or None, what to do)."""
    if not folder.exists():
        where = "" if folder.is_absolute() else f" in {pathlib.Path.cwd()}"
        return f"there is no folder {folder}{where}", f"Correct the path. {KINDS}"
    if folder.is_file():
        return _file_problem(folder)
    if (folder / "tfhub_module.pb").is_file():
        return f"{folder} holds {TENSORFLOW_1[0]}", TENSORFLOW_1[1]
    model = folder / "saved_model.pb"
    if not model.is_file():
        return _missing_problem(folder)
    with model.open("rb") as stream:
        start = stream.read(64)
    if not start or start.startswith(b"version https://git-lfs") or start.lstrip().startswith(b"<"):
        what = "is empty" if not start else "is no model but a text that stands for it"
        return f"{model} {what}", remedy
    shards = sorted(path.name for path in (folder / "variables").glob("variables.data-*"))
    total = int(shards[0].rpartition("-")[2]) if shards else 1
    if len(shards) < total and (folder / "variables" / "variables.index").is_file():
        return f"{folder / 'variables'} holds {len(shards)} of the {total} files of its weights", remedy
    return None, None


def _file_problem(path):
    if path.name.lower().endswith(ARCHIVES):
        return (
            f"{path} is an archive",
            f'Unpack it, shutil.unpack_archive("{path}", "model"), and pass that folder',
        )
    if path.suffix in (".keras", ".h5"):
        return (
            f"{path} is a Keras model in one file, not a SavedModel folder",
            f'Load it, model = keras.models.load_model("{path}"), and use it as it is, or pass the folder of '
            "model.export(folder)",
        )
    if path.name == "saved_model.pb":
        return f"{path} is a part of a SavedModel", f'Pass the folder it lies in, "{path.parent}"'
    return f"{path} is a file, not the folder of a SavedModel", KINDS


def _missing_problem(folder):
    inside = sorted(path.name for path in folder.iterdir())
    children = [name for name in inside if (folder / name / "saved_model.pb").is_file()]
    files = [name for name in inside if name.endswith((".keras", ".h5", *ARCHIVES))]
    if children:
        return f"{folder} holds no saved_model.pb, but {children[0]!r} in it does", f'Pass "{folder / children[0]}"'
    if files:
        return _file_problem(folder / files[0])
    shown = ", ".join(inside[:6]) + (", …" if len(inside) > 6 else "")
    return (
        f"{folder} holds no saved_model.pb: it " + (f"holds {shown}" if inside else "is empty"),
        "Pass the folder written by model.export(folder) or tf.saved_model.save(model, folder)",
    )


def fingerprint(folder):
    """Return the sha256 of the files that make a SavedModel: its graph, variables and assets.

    Args:
        folder: str or path of a SavedModel.

    Returns:
        str, 64 hexadecimal digits, over the names below `folder` and the contents of `saved_model.pb`, `variables/` and
        `assets/`. Cards, licences and TensorFlow's own `fingerprint.pb` do not count.

    Example:
        >>> len(fingerprint(resolve("bundled")))
        64
    """
    folder = pathlib.Path(folder)
    parts = [folder / "saved_model.pb", *(folder / "variables").rglob("*"), *(folder / "assets").rglob("*")]
    whole = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in parts if path.is_file()):
        whole.update(f"{name}\0{_sum(path)}\n".encode())
    return whole.hexdigest()


def _sum(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Known:
    """What is known of a published feature extractor before it is fetched.

    Attributes:
        handle: str, its address.
        what: str, the network.
        size: int, height and width in pixels it was trained with.
        value_range: (float, float), the values its images must have.
        features: int, numbers per image that come out.
        params: int or None, parameters without the classifier, those of the same network in keras.applications.
        source: str, the paper.
    """

    handle: str
    what: str
    size: int
    value_range: tuple[float, float]
    features: int
    params: int | None
    source: str


# Multiplier in percent: parameters without the classifier.
MOBILENET_V1 = {100: 3_228_864, 75: 1_832_976, 50: 829_536, 25: 218_544}
MOBILENET_V2 = {140: 4_363_712, 130: 3_766_048, 100: 2_257_984, 75: 1_382_064, 50: 706_224, 35: 410_208}


def _table():
    """(name, what, size, features, params, source) of every network, in every width and size that was published."""
    yield ("inception_v1", "Inception V1 (GoogLeNet)", 224, 1024, None,
           "Szegedy et al., Going deeper with convolutions, 2015")  # fmt: skip
    yield ("inception_v2", "Inception V2 (with batch normalization)", 224, 1024, None,
           "Ioffe & Szegedy, Batch normalization, 2015")  # fmt: skip
    yield ("inception_v3", "Inception V3", 299, 2048, 21_802_784,
           "Szegedy et al., Rethinking the Inception architecture for computer vision, 2016")  # fmt: skip
    yield ("inception_resnet_v2", "Inception-ResNet V2", 299, 1536, 54_336_736,
           "Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections, 2017")  # fmt: skip
    for percent, params in MOBILENET_V1.items():
        for size in (224, 192, 160, 128):
            yield (f"mobilenet_v1_{percent:03}_{size}", f"MobileNet V1, multiplier {percent / 100:g}", size,
                   1024 * percent // 100, params, "Howard et al., MobileNets, 2017")  # fmt: skip
    for percent, params in MOBILENET_V2.items():  # a multiplier above 1 widens the last layer, too
        for size in (224, 192, 160, 128, 96) if percent <= 100 else (224,):
            yield (f"mobilenet_v2_{percent:03}_{size}", f"MobileNet V2, multiplier {percent / 100:g}", size,
                   1280 * max(percent, 100) // 100, params, "Sandler et al., MobileNetV2, 2018")  # fmt: skip


KNOWN = tuple(
    Known(f"https://tfhub.dev/google/imagenet/{name}/feature_vector/5", what, size, (0.0, 1.0), *rest)
    for name, what, size, *rest in _table()
)
_BY_NAME = {entry.handle.split("/")[-3]: entry for entry in KNOWN}
_SPELLINGS = (
    r"(?:tfhub\.dev|hub\.tensorflow\.google\.cn)/google/imagenet/(\w+)/feature_vector(?:/\d+)?",
    r"kaggle\.com/models/google/([\w-]+)(?:/frameworks)?/tensorflow2(?:/variations)?/([\d-]*)feature-vector"
    r"(?:/versions)?(?:/\d+)?",
)


def known(handle):
    """Look up what is known of a published feature extractor.

    Args:
        handle: str, the address, in the spelling of tfhub.dev or of Kaggle Models, in any version.

    Returns:
        `Known`, or None for every other handle.

    Example:
        >>> entry = known("https://www.kaggle.com/models/google/mobilenet-v1/TensorFlow2/025-128-feature-vector/2")
        >>> entry.what, entry.size, entry.features, entry.params
        ('MobileNet V1, multiplier 0.25', 128, 256, 218544)
    """
    if not isinstance(handle, str):
        return None
    text = re.sub(r"^https?://(www\.)?|[?#].*$", "", handle.strip().lower()).rstrip("/")
    for spelling in _SPELLINGS:
        if match := re.fullmatch(spelling, text):
            name = "_".join(part.strip("-").replace("-", "_") for part in match.groups() if part)
            return _BY_NAME.get(name)
    return None
