"""Handles, folders, and tensorflow-hub's resolver with a small server that misbehaves. No test leaves this machine."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from savedmodels import hub_format, keras_export, network

from course_cnn.transfer import KNOWN, ModelError, _hub, handles, known, resolve

IMAGES = np.random.default_rng(0).random((3, 8, 8, 3), "float32")
FILES = ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A real SavedModel: its folder, and the features it gives for IMAGES."""
    folder = tmp_path_factory.mktemp("model") / "net"
    body = hub_format(folder)
    return SimpleNamespace(folder=folder, features=body(IMAGES, training=False).numpy())


@pytest.fixture
def copy(model, tmp_path):
    """A copy of the model's folder, to be damaged."""
    return pathlib.Path(shutil.copytree(model.folder, tmp_path / "copy"))


def pack(folder, *, mode="w:gz", top=".", extra=()):
    """An archive of a folder as tfhub.dev and Kaggle send it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        archive.add(folder, top)
        for name, data in extra:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data or b""))
    return stream.getvalue()


def check(folder, model):
    """`folder` holds the model, whole."""
    from course_cnn._tensorflow import tf

    np.testing.assert_array_equal(tf.saved_model.load(str(folder))(IMAGES, training=False), model.features)
    assert handles.fingerprint(folder) == handles.fingerprint(model.folder)


# What a handle is


@pytest.mark.parametrize("handle, kind", [
    ("bundled", "bundled"), ("keras:mobilenet_v2", "keras"), ("keras:mobilenet_v2_035_96", "keras"),
    ("https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5", "address"), ("http://localhost/x", "address"),
    (" HTTPS://tfhub.dev/x/1 ", "address"), ("./bundled", "folder"), ("models/mine", "folder"), ("~/mine", "folder"),
    ("/models/mine", "folder"), (pathlib.Path("mine"), "folder"), ("model.tgz", "folder"),
])  # fmt: skip
def test_kind(handle, kind):
    assert handles.kind(handle) == kind


def test_a_single_word_is_a_folder_where_there_is_one(copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    assert handles.kind("copy") == "folder"
    assert resolve("copy") == pathlib.Path("copy")


@pytest.mark.parametrize("handle", ["mobilenet_v2", "Bundled", "", "  ", 5, None, b"bundled", "\0"])
def test_other_things_are_refused_and_all_four_kinds_named(handle):
    with pytest.raises(ValueError, match=r"^transfer: `handle` must ") as caught:
        handles.kind(handle)
    for example in ('"bundled"', '"models/mine"', '"https://tfhub.dev/', '"keras:mobilenet_v2"'):
        assert example in str(caught.value)
    named = re.findall(r'"([^"]+)"', str(caught.value).partition(". Pass")[2])
    assert [handles.kind(name) for name in named] == ["bundled", "folder", "address", "keras"]


@pytest.mark.parametrize("handle, remedy", [
    ("tfhub.dev/google/imagenet/inception_v1/feature_vector/5",
     "https://tfhub.dev/google/imagenet/inception_v1/feature_vector/5"),
    ("www.kaggle.com/models/google/x/TensorFlow2/y/2", "https://www.kaggle.com/models/google/x/TensorFlow2/y/2"),
    ("google/mobilenet-v2/tensorFlow2/100-224-feature-vector/2",
     "https://www.kaggle.com/models/google/mobilenet-v2/tensorFlow2/100-224-feature-vector/2"),
])  # fmt: skip
def test_half_an_address_is_completed(handle, remedy):
    with pytest.raises(ValueError, match=re.escape(f'Pass "{remedy}".')):
        handles.kind(handle)
    assert handles.kind(remedy) == "address"


@pytest.mark.parametrize("handle", ["gs://bucket/model", "file:///models/mine", "s3://bucket/model"])
def test_other_addresses_are_refused(handle):
    with pytest.raises(ValueError, match=r"only http:// and https:// addresses .* pass its folder"):
        handles.kind(handle)


@pytest.mark.parametrize("handle", ["http://no host/x/1", "http://127.0.0.1:99999/x", "http://", "https://[/x/1"])
def test_addresses_without_a_server(handle):
    with pytest.raises(ValueError, match="an address must name a server, in one word"):
        resolve(handle)


def test_models_and_layers_handed_over(model, tmp_path):
    import keras

    from course_cnn._tensorflow import tf

    tfsm = keras.layers.TFSMLayer(str(model.folder), call_endpoint="__call__")
    with pytest.raises(ValueError, match="TFSMLayer trains a frozen model in silence") as caught:
        resolve(tfsm)
    assert resolve(re.search("Pass its folder, '(.+)'", str(caught.value))[1]) == model.folder
    with pytest.raises(ValueError, match="a Keras model or layer needs no FeatureExtractor") as caught:
        resolve(network())
    assert "model.export(folder)" in str(caught.value)
    keras_export(tmp_path / "exported")
    assert resolve(tmp_path / "exported") == tmp_path / "exported"
    with pytest.raises(ValueError, match=r"a loaded SavedModel .* Pass the folder it was loaded from"):
        resolve(tf.saved_model.load(str(model.folder)))


def test_a_hub_layer_handed_over(model):
    _hub._tensorflow_hub()
    import tensorflow_hub as hub

    with pytest.raises(ValueError, match=r"hub\.KerasLayer is a layer of Keras 2 and does not work") as caught:
        resolve(hub.KerasLayer(str(model.folder)))
    assert resolve(re.search("Pass '(.+)';", str(caught.value))[1]) == model.folder
    with pytest.raises(ValueError, match="Pass the address it was made with"):
        resolve(hub.KerasLayer(lambda x: x))


def test_keras_handles_have_no_folder():
    with pytest.raises(ValueError, match=r"Use FeatureExtractor\('keras:mobilenet_v2'\), which builds it"):
        resolve("keras:mobilenet_v2")


# Folders


@pytest.mark.parametrize("write", [str, pathlib.Path, lambda path: f" {path}/ "])
def test_folder(write, model):
    assert resolve(write(model.folder)) == model.folder


def test_folder_in_the_home(copy, monkeypatch):
    monkeypatch.setenv("HOME", str(copy.parent))
    monkeypatch.setenv("USERPROFILE", str(copy.parent))
    assert resolve("~/copy") == copy


def test_missing_folder(copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    with pytest.raises(
        ModelError, match=re.escape(f"there is no folder models/mine in {copy.parent}. Correct the path")
    ):
        resolve("models/mine")
    with pytest.raises(ModelError, match=r"there is no folder /no/where\. Correct the path"):
        resolve("/no/where")


def test_folder_around_the_model(copy):
    with pytest.raises(ModelError, match=r"holds no saved_model.pb, but 'copy' in it does") as caught:
        resolve(copy.parent)
    assert resolve(re.search('Pass "(.+)"', str(caught.value))[1]) == copy


def test_file_in_the_model(copy):
    with pytest.raises(ModelError, match=r"saved_model.pb is a part of a SavedModel") as caught:
        resolve(copy / "saved_model.pb")
    assert resolve(re.search('Pass the folder it lies in, "(.+)"', str(caught.value))[1]) == copy


@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")
@pytest.mark.parametrize("inside", [False, True])
def test_archive(inside, model, tmp_path, monkeypatch):
    (tmp_path / "mine.tar.gz").write_bytes(pack(model.folder))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"mine\.tar\.gz is an archive") as caught:
        resolve(tmp_path if inside else "mine.tar.gz")
    eval(re.search(r"shutil\.unpack_archive\(.+?\)", str(caught.value))[0])
    check(resolve("./model"), model)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_file(suffix, inside, tmp_path):
    (tmp_path / f"mine{suffix}").write_bytes(b"a model")
    with pytest.raises(ModelError, match=r"is a Keras model in one file, .* keras\.models\.load_model\("):
        resolve(tmp_path if inside else tmp_path / f"mine{suffix}")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # NumPy 2 in keras.Model.save
def test_remedy_of_a_keras_file_works(tmp_path):
    import keras

    network().save(tmp_path / "mine.keras")
    with pytest.raises(ModelError, match=r"pass the folder of model.export") as caught:
        resolve(tmp_path / "mine.keras")
    loaded = eval(re.search(r"keras\.models\.load_model\(.+?\)", str(caught.value))[0], {"keras": keras})
    loaded.export(str(tmp_path / "exported"), verbose=False)
    assert resolve(tmp_path / "exported") == tmp_path / "exported"


def test_other_files_and_folders(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ModelError, match="is a file, not the folder of a SavedModel"):
        resolve(tmp_path / "notes.txt")
    with pytest.raises(ModelError, match=r"holds no saved_model\.pb: it holds notes\.txt\. Pass the folder written by"):
        resolve(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="it is empty"):
        resolve(tmp_path / "empty")
    for k in range(9):
        (tmp_path / "empty" / f"{k}.png").touch()
    with pytest.raises(ModelError, match=r"it holds 0\.png, .*5\.png, …\."):
        resolve(tmp_path / "empty")


def test_module_of_tensorflow_1(copy):
    (copy / "tfhub_module.pb").write_bytes(b"\x08\x03")
    with pytest.raises(ModelError, match=r"holds a module of TensorFlow 1, .* TensorFlow 2 version"):
        resolve(copy)


@pytest.mark.parametrize("content, what", [
    (b"", "empty"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a text that stands for it"),
    (b"\n<!DOCTYPE html>", "a text that stands for it"),
])  # fmt: skip
def test_no_graph(content, what, copy, model):
    (copy / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=f"saved_model.pb is .*{what}. Copy or download the model again, all of its"):
        resolve(copy)
    shutil.copytree(model.folder, copy, dirs_exist_ok=True)
    assert resolve(copy) == copy


@pytest.mark.parametrize("name, number", [("variables.data-00000-of-00001", "0 of the 1"),
                                          ("variables.data-00001-of-00002", "1 of the 2")])  # fmt: skip
def test_missing_weights(name, number, copy):
    data = copy / "variables" / "variables.data-00000-of-00001"
    if number[-1] == "1":
        data.unlink()
    else:
        data.rename(data.with_name(name))
    with pytest.raises(ModelError, match=f"variables holds {number} files of its weights"):
        resolve(copy)


def test_unreadable_folder(copy, monkeypatch):
    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", forbidden)
    with pytest.raises(ModelError, match=r"cannot be read \(Permission denied\)\. Make it readable"):
        resolve(copy)


# Fingerprints


def test_fingerprint_is_that_of_the_content(copy, model):
    same = handles.fingerprint(model.folder)
    assert re.fullmatch("[0-9a-f]{64}", same)
    assert handles.fingerprint(str(copy)) == same
    (copy / "README.md").write_text("a card")
    (copy / "fingerprint.pb").unlink(missing_ok=True)
    assert handles.fingerprint(copy) == same


@pytest.mark.parametrize("name", FILES)
def test_fingerprint_sees_every_file(name, copy):
    before = handles.fingerprint(copy)
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    altered = handles.fingerprint(copy)
    (copy / name).unlink()
    assert len({before, altered, handles.fingerprint(copy)}) == 3


def test_fingerprint_sees_names_and_assets(copy):
    seen = {handles.fingerprint(copy)}
    (copy / "assets").mkdir(exist_ok=True)
    for name, text in [("a", "one"), ("b", "one"), ("b", "one" * 2)]:
        (copy / "assets" / name).write_text(text)
        seen.add(handles.fingerprint(copy))
    (copy / "assets" / "a").rename(copy / "assets" / "aa")  # same order, same contents
    assert len(seen | {handles.fingerprint(copy)}) == 5


# The bundled extractor


@pytest.fixture
def bundled(copy, monkeypatch):
    """A stand-in for the bundled extractor, with its sums beside it."""
    sums = {name: hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in FILES}
    (copy / "model.json").write_text(json.dumps({"sha256": sums}))
    monkeypatch.setattr(handles, "BUNDLED", copy)
    return copy


def test_bundled_lies_in_the_repository():
    assert resolve("bundled") == handles.BUNDLED
    assert handles.BUNDLED.is_absolute()


def test_bundled(bundled, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled").mkdir()  # a folder of this name changes nothing
    assert resolve("bundled") == bundled
    (bundled / "model.json").unlink()
    assert resolve("bundled") == bundled


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_damaged_bundled(damage, name, bundled, model):
    path = bundled / name
    if damage == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    else:
        path.unlink()
    with pytest.raises(ModelError, match=re.escape(pathlib.Path(name).name) + "|its weights|holds no saved") as caught:
        resolve("bundled")
    if damage == "altered":
        assert "is damaged" in str(caught.value)
        assert "Install course-cnn anew" in str(caught.value)
    shutil.copytree(model.folder, bundled, dirs_exist_ok=True)
    assert resolve("bundled") == bundled


@pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
def test_bundled_with_a_damaged_list_of_sums(text, bundled):
    (bundled / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"is damaged: model\.json is not as published"):
        resolve("bundled")


def test_bundled_is_gone(monkeypatch, tmp_path):
    monkeypatch.setattr(handles, "BUNDLED", tmp_path / "gone")
    with pytest.raises(ModelError, match=r"the bundled extractor is not in .*gone. Install course-cnn anew"):
        resolve("bundled")


# Addresses

PATH = "/google/imagenet/tiny_8/feature_vector/5"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, mode = self.server, self.server.mode
        server.asked.append(self.path)
        if mode == "redirect" and not self.path.startswith("/models"):
            self.send_response(302)
            self.send_header("Location", f"/models{self.path}")
            self.end_headers()
            return
        data = server.archive
        if mode == "altered":  # a weight, and the gzip checksum no longer fits
            raw = gzip.decompress(data)
            place = raw.index(server.weights) + 20
            data = gzip.compress(raw[:place] + bytes([raw[place] ^ 64]) + raw[place + 1 :])[:-8] + data[-8:]
        elif mode == "page":
            data = b"\n<!DOCTYPE html><html>Please log in</html>"
        self.send_response(mode if isinstance(mode, int) else 200)
        if mode != "no length":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if mode in ("cut", "no length", "slow") else data)
        if mode == "slow":
            self.wfile.flush()
            server.patience.wait(5)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(model):
    """A running server; `mode` says how it misbehaves, `archive` what it sends, `asked` what it was asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.asked, server.patience = None, [], threading.Event()
    server.archive, server.weights = pack(model.folder), (model.folder / FILES[1]).read_bytes()
    server.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.patience.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of tensorflow-hub, and no proxy on the way to the server."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "TFHUB_DOWNLOAD_PROGRESS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache" / "hub"))
    return tmp_path / "cache" / "hub"


def left(cache):
    """What lies in the cache."""
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*")) if cache.exists() else []


@pytest.mark.parametrize("mode", [None, "redirect"])
def test_address(mode, server, cache, model):
    server.mode = mode
    folder = resolve(server.url)
    check(folder, model)
    assert folder == cache / hashlib.sha1(server.url.encode()).hexdigest()  # tensorflow-hub's name
    assert server.asked[0] == f"{PATH}?tf-hub-format=compressed"  # what tfhub.dev and Kaggle answer with an archive
    assert {name.partition("/")[0] for name in left(cache)} == {folder.name, f"{folder.name}.descriptor.txt"}
    server.mode, number = 500, len(server.asked)
    for spelling in (server.url, f"{server.url}/", f" {server.url} "):
        assert resolve(spelling) == folder  # from the cache
    assert len(server.asked) == number


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2"])
def test_kinds_of_archive(mode, server, model):
    server.archive = pack(model.folder, mode=mode)
    check(resolve(server.url), model)


def test_cache_is_shared_with_tensorflow_hub(server, cache, model):
    _hub._tensorflow_hub()
    import tensorflow_hub as hub

    ours = resolve(server.url)
    assert hub.resolve(server.url) == str(ours)
    theirs = hub.resolve(f"{server.url}/")  # a name of its own in the cache
    shutil.rmtree(ours)
    server.mode = 500
    assert resolve(f"{server.url}/") == pathlib.Path(theirs)
    assert len(server.asked) == 2


def test_cached_model_needs_no_network_and_no_tensorflow_hub(server, cache, monkeypatch):
    folder = resolve(server.url)
    server.mode = 500
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    assert resolve(server.url) == folder


def test_default_cache_is_that_of_tensorflow_hub(server, tmp_path, monkeypatch):
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = resolve(server.url)
    assert folder.parent == tmp_path / "tfhub_modules"
    server.mode = 500
    assert resolve(server.url) == folder


def test_empty_folder_in_the_cache_is_filled(server, cache, model):
    (cache / _hub._name(server.url)).mkdir(parents=True)
    check(resolve(server.url), model)


@pytest.mark.parametrize("damage", ["empty", "no graph", "no weights"])
def test_damaged_cache(damage, server, cache, model):
    folder = resolve(server.url)
    if damage == "empty":
        (folder / "saved_model.pb").write_bytes(b"")
    else:
        (folder / FILES[0 if damage == "no graph" else 1]).unlink()
    with pytest.raises(ModelError, match=r"is empty|holds no saved_model|0 of the 1") as caught:
        resolve(server.url)
    if damage != "no graph":
        shutil.rmtree(re.search(r"Delete (\S+) and try again", str(caught.value))[1])
        check(resolve(server.url), model)


@pytest.mark.parametrize("mode, message", [
    (404, r"does not exist on the server \(HTTP status 404\)\. Check the address, whose last part is the version"),
    (410, "does not exist on the server"),
    (403, r"was refused \(HTTP status 403\)\. Try again later: .* log in at kaggle\.com"),
    (401, "was refused"),
    (500, r"the server has a problem \(HTTP status 500\)\. Try again later"),
    (429, "Try again later"),
    ("page", "sent a web page, not a model. Check the address: it must end in a version"),
    ("cut", r"the transfer broke off after [\d,]+ of [\d,]+ bytes\. Try again"),
    ("no length", "an archive that is cut short or damaged .* It was thrown away. Try again"),
    ("altered", "an archive that is cut short or damaged .*CRC.*"),
])  # fmt: skip
def test_failed_transfer_leaves_nothing(mode, message, server, cache, model):
    server.mode = mode
    with pytest.raises(ModelError, match=f"^transfer: {server.url} .*{message}") as caught:
        resolve(server.url)
    assert "\n" not in str(caught.value)
    assert left(cache) == []
    server.mode = None
    check(resolve(server.url), model)


def test_transfer_that_breaks_off_between_two_files(server, cache, model):
    """Without a length and without compression nothing but the missing end tells."""
    server.archive = server.archive[: len(server.archive) // 2]  # same, length and all: a server with half a file
    with pytest.raises(ModelError, match="cut short or damaged"):
        resolve(server.url)
    whole = pack(model.folder, mode="w")
    server.archive = whole[: whole.index(b"./variables")]
    with pytest.raises(ModelError, match="cut short"):
        resolve(server.url)
    assert left(cache) == []


@pytest.mark.parametrize(
    "sent", [b"", b"\0" * 2000, b"a model", gzip.compress(b"a model", mtime=0)], ids=["empty", "zeros", "text", "gzip"]
)
def test_no_archive(sent, server, cache):
    server.archive = sent
    with pytest.raises(ModelError, match=r"cut short or damaged|without saved_model.pb at its top; it holds nothing"):
        resolve(server.url)
    assert left(cache) == []


def test_archives_of_other_things(server, cache, model, tmp_path):
    (tmp_path / "lite").mkdir()
    (tmp_path / "lite" / "1.tflite").write_bytes(b"TFL3")
    for archive, message in [
        (pack(tmp_path / "lite"), r"without saved_model\.pb at its top; it holds 1\.tflite\. Take the TensorFlow 2"),
        (pack(model.folder, top="net"), r"it holds net, net/.*if a folder inside holds the model, unpack it"),
        (pack(model.folder, extra=[("tfhub_module.pb", b"\x08\x03")]), "is a module of TensorFlow 1, .* version 4"),
        (pack(model.folder, extra=[("variables/link", None)]), "with links .* so nothing was unpacked"),
        (pack(model.folder, extra=[("../../escaped", b"out")]), "with links or with files that would leave its folder"),
    ]:
        server.archive = archive
        with pytest.raises(ModelError, match=message):
            resolve(server.url)
        assert left(cache) == []
    assert not list(tmp_path.rglob("escaped"))


def test_no_network(cache, model, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}{PATH}"
    with pytest.raises(ModelError) as caught:
        resolve(url)
    for part in (url, f"not in the cache {cache}", "could not be fetched: no connection", "pass that folder",
                 '"bundled"'):  # fmt: skip
        assert part in str(caught.value)
    assert left(cache) == []
    assert resolve(model.folder) == model.folder
    assert resolve("bundled") == handles.BUNDLED


def test_silent_server_is_given_up(server, cache, monkeypatch):
    server.mode = "slow"
    monkeypatch.setattr(_hub, "TIMEOUT", 0.2)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="could not be fetched: no answer in time"):
        resolve(server.url)
    assert time.perf_counter() - start < 4
    assert left(cache) == []


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_interrupt_while_it_arrives(server, cache, monkeypatch, model):
    @contextlib.contextmanager
    def bar():
        yield interrupt

    monkeypatch.setattr(_hub, "progress", bar)
    with pytest.raises(KeyboardInterrupt):
        resolve(server.url)
    assert left(cache) == []
    shown = []
    monkeypatch.setattr(_hub, "progress", lambda: contextlib.nullcontext(lambda *args: shown.append(args)))
    check(resolve(server.url), model)
    assert shown[-1] == (1, f"fetching the model, {len(server.archive) / 1e6:.1f} MB")


def test_interrupt_while_it_is_unpacked(server, cache, monkeypatch, model):
    _hub._tensorflow_hub()
    from tensorflow_hub import file_utils

    extract, done = file_utils.extract_file, []

    def interrupted(*args, **kwargs):
        extract(*args, **kwargs)
        done.extend(left(cache))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(file_utils, "extract_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resolve(server.url)
    assert any(name.endswith(".lock") for name in done)
    assert left(cache) == []
    check(resolve(server.url), model)


def dead():
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leftovers(cache, url, pid, host=None):
    """What a process leaves that was killed while it unpacked."""
    name = _hub._name(url)
    (cache / f"{name}.0123.tmp").mkdir(parents=True)
    (cache / f"{name}.0123.tmp" / "saved_model.pb").write_bytes(b"half")
    (cache / f"{name}.lock").write_text(f"{host or socket.gethostname()}.{pid}.0123")
    return cache / f"{name}.lock"


@pytest.mark.skipif(os.name != "posix", reason="asks the system for a process in POSIX's way")
def test_killed_process(server, cache, model):
    leftovers(cache, server.url, dead())
    start = time.perf_counter()
    folder = resolve(server.url)  # tensorflow-hub alone waits for ten minutes
    assert time.perf_counter() - start < 5
    check(folder, model)
    assert {name.partition("/")[0] for name in left(cache)} == {folder.name, f"{folder.name}.descriptor.txt"}


def test_files_of_a_killed_process_without_its_lock(server, cache):
    leftovers(cache, server.url, 1).unlink()
    name = _hub._name(server.url)
    (cache / f"{name}.lock.tmp0123").touch()
    for path in cache.iterdir():
        os.utime(path, (time.time() - 7200,) * 2)
    (cache / f"{name}.4567.tmp").mkdir()  # somebody is at work on this one
    resolve(server.url)
    assert {path.name for path in cache.iterdir()} == {name, f"{name}.descriptor.txt", f"{name}.4567.tmp"}


@pytest.mark.parametrize("host, pid", [(None, os.getpid()), (None, 1), ("another.machine", 99999999)],
                         ids=["this process", "another", "another machine"])  # fmt: skip
def test_process_at_work_is_waited_for(host, pid, server, cache, monkeypatch, model):
    resolver, _ = _hub._tensorflow_hub()
    lock = leftovers(cache, server.url, pid, host)
    part = cache / f"{_hub._name(server.url)}.0123.tmp"
    os.utime(part, (time.time() - 7200,) * 2)  # a slow one

    def other_finishes(_):
        assert part.exists()
        shutil.copytree(model.folder, cache / _hub._name(server.url))
        lock.unlink()

    monkeypatch.setattr(resolver, "time", SimpleNamespace(time=time.time, sleep=other_finishes))
    check(resolve(server.url), model)
    assert server.asked == []


def test_alive_when_the_system_does_not_tell(monkeypatch):
    def kill(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert _hub._alive(1)


def test_two_at_once(server, cache, monkeypatch, model):
    resolver, _ = _hub._tensorflow_hub()
    monkeypatch.setattr(resolver, "time", SimpleNamespace(time=time.time, sleep=lambda _: time.sleep(0.01)))
    found = []
    threads = [threading.Thread(target=lambda: found.append(resolve(server.url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / _hub._name(server.url)] * 4
    check(found[0], model)
    assert len(server.asked) == 1


# A cache that takes nothing


class Full(io.BytesIO):
    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


def full_spool(monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())


def no_spool(monkeypatch):
    def denied(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)


def unpacking(name):
    def set_up(monkeypatch):
        _, errors = _hub._tensorflow_hub()
        from tensorflow_hub import file_utils

        def fails(*_, **__):
            raise getattr(errors, name)(None, None, f"hub says {name}")

        monkeypatch.setattr(file_utils, "extract_file", fails)

    return set_up


@pytest.mark.parametrize("set_up, problem", [
    (full_spool, "the disk is full"), (unpacking("ResourceExhaustedError"), "the disk is full"),
    (no_spool, "it may not be written to"), (unpacking("PermissionDeniedError"), "it may not be written to"),
    (unpacking("UnknownError"), "hub says UnknownError"),
])  # fmt: skip
def test_cache_that_cannot_be_written(set_up, problem, server, cache, monkeypatch, model, tmp_path):
    with monkeypatch.context() as patch:
        set_up(patch)
        with pytest.raises(ModelError, match=f"hub's cache {cache}: {problem}. Set TFHUB_CACHE_DIR to a folder that"):
            resolve(server.url)
    assert left(cache) == []
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "other"))
    check(resolve(server.url), model)


def test_cache_below_a_file(server, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "hub"):
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(path))
        with pytest.raises(ModelError, match=r"File exists|Not a directory"):
            resolve(server.url)
    assert server.asked == []


# Without tensorflow-hub


def test_tensorflow_hub_is_not_installed(server, monkeypatch, cache):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tensorflow_hub", None)
        with pytest.raises(ModelError, match=r'tensorflow-hub is not installed\. Run pip install "course-cnn\[hub\]"'):
            resolve(server.url)
    assert left(cache) == []
    resolve(server.url)


@pytest.mark.parametrize("module, message", [("pkg_resources", "needs pkg_resources, which setuptools 82 and newer do"),
                                             ("tf_keras", "import of tf_keras halted")])  # fmt: skip
def test_tensorflow_hub_cannot_be_imported(module, message, server, monkeypatch, cache, capsys):
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow_hub"]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, module, None)
        with pytest.raises(ModelError, match=message):
            resolve(server.url)
    assert capsys.readouterr() == ("", "")
    assert left(cache) == []


@pytest.mark.slow  # starts TensorFlow
def test_fetching_says_nothing(server):
    code = f"from course_cnn import transfer; transfer.resolve({server.url!r})"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(server.asked) == 1


# The table


def test_table():
    assert len(KNOWN) == len({entry.handle for entry in KNOWN}) == 4 + 4 * 4 + 4 * 5 + 2
    for entry in KNOWN:
        assert handles.kind(entry.handle) == "address"
        assert known(entry.handle) is entry
        assert entry.value_range == (0, 1)  # TensorFlow Hub's convention for images
        assert entry.what.split()[0] in ("Inception", "Inception-ResNet", "MobileNet")
        assert re.search(r", 20\d\d$", entry.source)


@pytest.mark.parametrize("name, size, features", [
    ("inception_v1", 224, 1024), ("inception_v2", 224, 1024), ("inception_v3", 299, 2048),
    ("inception_resnet_v2", 299, 1536), ("mobilenet_v1_100_224", 224, 1024), ("mobilenet_v1_025_128", 128, 256),
    ("mobilenet_v2_035_96", 96, 1280), ("mobilenet_v2_130_224", 224, 1664), ("mobilenet_v2_140_224", 224, 1792),
])  # fmt: skip
def test_feature_lengths(name, size, features):
    entry = known(f"https://tfhub.dev/google/imagenet/{name}/feature_vector/5")
    assert (entry.size, entry.features) == (size, features)


@pytest.mark.parametrize("percent, total", [(100, 4_253_864), (75, 2_601_976), (50, 1_342_536), (25, 475_544)])
def test_mobilenet_sizes_of_the_lecture(percent, total):
    """With the classifier of 1000 classes, one weight per feature and a bias, as the lecture counts them."""
    for size in (224, 192, 160, 128):
        entry = known(f"https://tfhub.dev/google/imagenet/mobilenet_v1_{percent:03}_{size}/feature_vector/5")
        assert entry.params + 1000 * (entry.features + 1) == total
        assert entry.features == 1024 * percent // 100


SMALL = ["mobilenet_v1_025_128", "mobilenet_v2_035_96"]
LARGE = ["inception_v3", "inception_resnet_v2", *(f"mobilenet_v1_{percent}_128" for percent in ("050", "075", "100")),
         *(f"mobilenet_v2_{percent}_224" for percent in ("050", "075", "100", "130", "140"))]  # fmt: skip


@pytest.mark.parametrize("name", SMALL + [pytest.param(name, marks=pytest.mark.slow) for name in LARGE])
def test_params_and_features_are_those_of_keras_applications(name):
    entry = known(f"https://tfhub.dev/google/imagenet/{name}/feature_vector/5")
    import course_cnn._tensorflow  # noqa: F401  first, quietly

    # isort: split
    import keras

    build = {"Inception V3": "InceptionV3", "Inception-ResNet V2": "InceptionResNetV2"}.get(entry.what, "MobileNet")
    settings = {"weights": None, "include_top": False, "pooling": "avg", "input_shape": (entry.size, entry.size, 3)}
    if build == "MobileNet":
        settings["alpha"] = float(entry.what.split()[-1])
        build += "V2" * ("V2" in entry.what)
    network = getattr(keras.applications, build)(**settings)
    assert (network.count_params(), network.output_shape[-1]) == (entry.params, entry.features)


@pytest.mark.parametrize("address", [
    "https://tfhub.dev/google/imagenet/mobilenet_v2_035_128/feature_vector/5",
    "https://tfhub.dev/google/imagenet/mobilenet_v2_035_128/feature_vector/5/",
    "https://tfhub.dev/google/imagenet/mobilenet_v2_035_128/feature_vector",
    " http://www.tfhub.dev/google/imagenet/mobilenet_v2_035_128/feature_vector/4 ",
    "https://hub.tensorflow.google.cn/google/imagenet/mobilenet_v2_035_128/feature_vector/5",
    "https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow2/035-128-feature-vector/2",
    "https://kaggle.com/models/google/mobilenet-v2/tensorFlow2/035-128-feature-vector",
    "https://www.kaggle.com/models/google/mobilenet-v2/tensorFlow2/035-128-feature-vector/1?tfhub-redirect=true",
    "https://www.kaggle.com/models/google/mobilenet-v2/frameworks/TensorFlow2/variations/035-128-feature-vector/versions/2",
])  # fmt: skip
def test_spellings(address):
    assert known(address) is known(KNOWN_35) is not None


KNOWN_35 = "https://tfhub.dev/google/imagenet/mobilenet_v2_035_128/feature_vector/5"


@pytest.mark.parametrize("address, what", [
    ("https://www.kaggle.com/models/google/inception-v3/TensorFlow2/feature-vector/2", "Inception V3"),
    ("https://www.kaggle.com/models/google/inception-resnet-v2/TensorFlow2/feature-vector/2", "Inception-ResNet V2"),
    ("https://www.kaggle.com/models/google/inception-v1/TensorFlow2/feature-vector/2", "Inception V1 (GoogLeNet)"),
])  # fmt: skip
def test_spellings_without_a_multiplier(address, what):
    assert known(address).what == what


@pytest.mark.parametrize("handle", [
    "bundled", "keras:mobilenet_v2", "models/mobilenet_v2", None, 3, pathlib.Path("x"),
    "https://tfhub.dev/google/imagenet/mobilenet_v2_035_128/classification/5",
    "https://tfhub.dev/google/imagenet/mobilenet_v2_035_130/feature_vector/5",
    "https://tfhub.dev/google/imagenet/resnet_v2_50/feature_vector/5",
    "https://tfhub.dev/someone/imagenet/inception_v3/feature_vector/5",
    "https://example.com/tfhub.dev/google/imagenet/inception_v3/feature_vector/5",
    "https://www.kaggle.com/models/google/mobilenet-v2/TfLite/035-128-feature-vector/2",
    "https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow2/035-128-classification/2",
])  # fmt: skip
def test_others_are_unknown(handle):
    assert known(handle) is None
