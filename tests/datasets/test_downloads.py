"""The downloaded sets, against a small server that misbehaves on request. No test leaves this machine."""

import errno
import gzip
import hashlib
import http.server
import io
import os
import pickle
import re
import socket
import struct
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from course_cnn import datasets
from course_cnn.datasets import _downloads, _fetch

PUBLISHED = _downloads.FILES
RNG = np.random.RandomState(0)
IMAGES = RNG.randint(0, 256, size=(12, 28, 28)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10
COLOURED = RNG.randint(0, 256, size=(12, 32, 32, 3)).astype(np.uint8)


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def idx(array):
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}i", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def tar(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def batch(images, labels):
    data = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    packed = pickle.dumps({b"data": data, b"labels": [int(label) for label in labels]}, protocol=2)
    return packed.replace(b"numpy._core.", b"numpy.core.")  # the name NumPy 1 wrote into the published file


def jpeg(colour, size=(40, 30)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "JPEG")
    return stream.getvalue()


FLOWERS = {
    f"flower_photos/{name}/{k}.jpg": jpeg((40 * c, 20 * k, 100))
    for c, name in reversed(list(enumerate(_downloads.CLASS_NAMES["flowers"])))
    for k in range(4)
}
CONTENT = {
    "mnist.npz": npz(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:3], y_test=LABELS[:3]),
    "train-images-idx3-ubyte.gz": idx(IMAGES),
    "train-labels-idx1-ubyte.gz": idx(LABELS),
    "t10k-images-idx3-ubyte.gz": idx(IMAGES[:4]),
    "t10k-labels-idx1-ubyte.gz": idx(LABELS[:4]),
    "cifar-10-python.tar.gz": tar(
        {f"cifar-10-batches-py/data_batch_{k}": batch(COLOURED[k : k + 2], LABELS[k : k + 2]) for k in range(1, 6)}
        | {"cifar-10-batches-py/test_batch": batch(COLOURED[:1], LABELS[:1])}
    ),
    "flower_photos.tgz": tar(
        {"flower_photos/LICENSE.txt": b"CC BY", "../../escaped.jpg": jpeg("red"), "flower_photos/weeds/1.jpg": b"no"}
        | FLOWERS
    ),
}
NAMES = ("mnist", "fashion_mnist", "cifar10", "flowers")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        data, mode = CONTENT.get(name), self.server.mode
        if mode == "alter":
            data = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        if mode == "page":
            data = b"<html>Please log in</html>"
        if data is None or mode in (404, 500) or not self.path.startswith(self.server.below):
            data, status = b"<html>no such page</html>", mode if mode == 500 else 404
        else:
            status = 200
        self.send_response(status)
        if mode != "no length":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if mode in ("cut", "no length", "slow") else data)
        if mode == "slow":
            self.wfile.flush()
            self.server.patience.wait(5)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A running server; `mode` says how it misbehaves, `asked` what it was asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.asked, server.below, server.patience = None, [], "/", threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.patience.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    """An empty Keras cache, and the tables of files pointing at the server, or, without one, at a closed port."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("COURSE_CNN_DATA", raising=False)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(_fetch, "SPARE", tmp_path / "spare")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    if "server" in request.fixturenames:
        url = request.getfixturevalue("server").url

    def local(file):
        name = file.name.rpartition("/")[2]
        data = CONTENT[name]
        contents = file.contents and hashlib.sha256(gzip.decompress(data)).hexdigest()
        sum_ = hashlib.sha256(data).hexdigest()
        return _fetch.File(file.name, file.cached, f"{url}/{name}", len(data), sum_, contents)

    monkeypatch.setattr(
        _downloads, "FILES", {name: tuple(map(local, files)) for name, files in _downloads.FILES.items()}
    )
    return tmp_path / "keras" / "datasets"


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def own(tmp_path, monkeypatch, *names, **contents):
    """A folder with the named files, given to `COURSE_CNN_DATA`."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(CONTENT[name])
    monkeypatch.setenv("COURSE_CNN_DATA", str(folder))
    return folder


def check(d):
    """`d` holds what the server or folder held."""
    if d.name in ("mnist", "fashion_mnist"):
        np.testing.assert_array_equal(d.x_train, IMAGES[..., None] / np.float32(255))
        np.testing.assert_array_equal(d.y_train, LABELS)
        np.testing.assert_array_equal(d.x_test, (IMAGES[..., None] / np.float32(255))[: len(d.x_test)])
    elif d.name == "cifar10":
        assert len(d.x_train) == 10
        np.testing.assert_array_equal(d.x_train[:2], COLOURED[1:3] / np.float32(255))
        np.testing.assert_array_equal(d.y_train[2:4], LABELS[2:4])
        np.testing.assert_array_equal(d.x_test, COLOURED[:1] / np.float32(255))
    else:
        assert (len(d.x_train), len(d.x_test)) == (15, 5)
        red = d.x_train[:, :, :, 0].mean(axis=(1, 2)) * 255
        np.testing.assert_allclose(red, 40 * d.y_train, atol=3)
        assert sorted(d.y_test) == [0, 1, 2, 3, 4]
    for x, y in [(d.x_train, d.y_train), (d.x_test, d.y_test)]:
        assert (x.dtype, y.dtype, y.shape) == (np.float32, np.int64, (len(x),))
        assert x.max() <= 1
    assert "Licence" in d.source


def test_published_files_have_proper_sums():
    files = [file for group in PUBLISHED.values() for file in group]
    assert len(files) == 7
    for file in files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.url.startswith("https://")
    assert len({file.sha256 for file in files}) == 7


@pytest.mark.parametrize("name", NAMES)
def test_download_then_read_from_disk(name, server, cache):
    check(datasets.load(name))
    assert len(server.asked) == len(_downloads.FILES[name])
    assert files_below(cache) == sorted(file.cached[0] for file in _downloads.FILES[name])
    server.mode = 500
    check(datasets.load(name))  # from the cache
    assert len(server.asked) == len(_downloads.FILES[name])


def test_flowers_size_and_crop(server):
    assert datasets.load("flowers", size=20).x_train.shape == (15, 20, 20, 3)
    assert not list(os.scandir(os.path.dirname(os.environ["KERAS_HOME"])))[1:]  # nothing unpacked beside the cache


@pytest.mark.parametrize("mode, reason", [(404, "HTTP status 404"), (500, "HTTP status 500"), ("cut", "broke off")])
def test_failed_transfer_leaves_nothing(mode, reason, server, cache):
    server.mode = mode
    with pytest.raises(datasets.DataError, match=f"^load: 'mnist' needs the file mnist.npz .*{reason}") as caught:
        datasets.load("mnist")
    assert caught.value.__cause__ is not None
    assert files_below(cache) == []
    server.mode = None
    check(datasets.load("mnist"))


@pytest.mark.parametrize("mode", ["alter", "page", "no length"])
@pytest.mark.parametrize("name", NAMES)
def test_altered_file_is_thrown_away(name, mode, server, cache):
    server.mode = mode
    with pytest.raises(datasets.DataError, match=r"sent is not the published .* so it was thrown away\. Try again"):
        datasets.load(name)
    assert files_below(cache) == []


def test_remedy_of_an_altered_file_works(server, tmp_path, monkeypatch):
    server.mode = "alter"
    with pytest.raises(datasets.DataError, match="put it into a folder and set COURSE_CNN_DATA to that folder"):
        datasets.load("cifar10")
    own(tmp_path, monkeypatch, "cifar-10-python.tar.gz")
    check(datasets.load("cifar10"))


def test_interrupt_leaves_nothing(server, cache, monkeypatch):
    def interrupted(response, chunk_size):
        yield response.raw.read(16)
        meanwhile.extend(files_below(cache))
        raise KeyboardInterrupt

    meanwhile, server.mode = [], "slow"
    monkeypatch.setattr("requests.Response.iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        datasets.load("mnist")
    assert re.fullmatch(r"mnist\.npz\..+\.part", *meanwhile)  # beside its target, so that the last step is a rename
    assert files_below(cache) == []


def test_silent_server_is_given_up(server, cache, monkeypatch):
    server.mode = "slow"
    monkeypatch.setattr(_fetch, "TIMEOUT", (1, 0.2))
    start = time.perf_counter()
    with pytest.raises(datasets.DataError, match="no connection, or no answer in time"):
        datasets.load("mnist")
    assert time.perf_counter() - start < 4
    assert files_below(cache) == []


def test_no_network_and_no_copy(cache):
    with pytest.raises(datasets.DataError) as caught:
        datasets.load("fashion_mnist")
    message = str(caught.value)
    for part in ("'fashion_mnist' needs the file train-images-idx3-ubyte.gz", "COURSE_CNN_DATA (not set)", str(cache),
                 "http://127.0.0.1", "no connection", "'digits', 'faces', 'photos', 'shapes'"):  # fmt: skip
        assert part in message
    assert message.count("\n") == 0
    assert files_below(cache) == []


@pytest.mark.parametrize("name", NAMES)
def test_remedy_without_network_works(name, tmp_path, monkeypatch, cache):
    with pytest.raises(datasets.DataError, match="put the file into a folder and set COURSE_CNN_DATA to that folder"):
        datasets.load(name)
    own(tmp_path, monkeypatch, *(file.name.rpartition("/")[2] for file in _downloads.FILES[name]))
    check(datasets.load(name))
    assert files_below(cache) == []  # a folder of one's own is read where it is


def test_folder_without_the_file_goes_on_to_the_server(server, tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    check(datasets.load("mnist"))
    assert files_below(folder) == []
    server.mode = 404
    with pytest.raises(datasets.DataError, match=re.escape(f"COURSE_CNN_DATA (not in {folder})")):
        datasets.load("flowers")


def test_missing_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CNN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(datasets.DataError, match="must name a folder that exists"):
        datasets.load("mnist")
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "mnist.npz").write_bytes(CONTENT["mnist.npz"])
    check(datasets.load("mnist"))


@pytest.mark.parametrize("name, file", [("cifar10", "cifar-10-python.tar.gz"), ("flowers", "flower_photos.tgz")])
@pytest.mark.parametrize("damage", ["altered", "truncated", "empty"])
def test_damaged_file_of_ones_own_is_refused_and_kept(name, file, damage, server, tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    good = CONTENT[file]
    bad = {"altered": good[:-30] + b"?" + good[-29:], "truncated": good[:100], "empty": b""}[damage]
    (folder / file).write_bytes(bad)
    with pytest.raises(datasets.DataError, match=r"not the published .* Replace it, or move it away"):
        datasets.load(name)
    assert (folder / file).read_bytes() == bad
    assert server.asked == []
    (folder / file).rename(folder / "away")
    check(datasets.load(name))


def test_unreadable_file_of_ones_own(tmp_path, monkeypatch):
    own(tmp_path, monkeypatch, "flower_photos.tgz")
    monkeypatch.setattr(_fetch, "_sum", lambda *_: exec("raise PermissionError(13, 'Permission denied')"))
    with pytest.raises(datasets.DataError, match="it cannot be read: Permission denied"):
        datasets.load("flowers")


def test_files_packed_anew_are_known_by_their_contents(tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    (folder / "fashion-mnist").mkdir()
    for file in _downloads.FILES["fashion_mnist"]:
        unpacked = gzip.decompress(CONTENT[file.name.rpartition("/")[2]])
        (folder / file.name).write_bytes(gzip.compress(unpacked, 1, mtime=1))
    check(datasets.load("fashion_mnist"))
    (folder / file.name).write_bytes(gzip.compress(unpacked[:-1] + b"\7"))
    with pytest.raises(datasets.DataError, match="not the published t10k-labels"):
        datasets.load("fashion_mnist")


@pytest.mark.parametrize("name, x", [("mnist", IMAGES), ("cifar10", COLOURED)])
@pytest.mark.parametrize("label_shape", [(-1,), (-1, 1)])
def test_arrays_of_ones_own(name, x, label_shape, tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    y = LABELS.astype(np.int32).reshape(label_shape)
    np.savez(folder / f"{name}.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    d = datasets.load(name)
    np.testing.assert_array_equal(d.x_train, x.reshape(len(x), *d.x_train.shape[1:]) / np.float32(255))
    np.testing.assert_array_equal(d.y_train, LABELS)
    assert (d.y_test.dtype, d.y_test.shape) == (np.int64, (3,))
    assert "not a published file" in d.source
    assert {record.name: record.state for record in datasets.status()}[name] == "here"


def test_published_archive_is_preferred_to_ones_own_arrays(tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch, "cifar-10-python.tar.gz", "mnist.npz")
    np.savez(folder / "cifar10.npz", x_train=COLOURED)
    check(datasets.load("cifar10"))
    assert "not a published file" not in datasets.load("mnist").source


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x_train": COLOURED / 255}, "x_train must be uint8"),
        ({"x_train": COLOURED.transpose(0, 3, 1, 2)}, r"x_train must be uint8 \(n, 32, 32, 3\)"),
        ({"x_test": COLOURED[:4]}, "x_test must be uint8 .* one image for each label"),
        ({"x_test": COLOURED[:0], "y_test": LABELS[:0]}, "x_test must be uint8"),
        ({"y_train": np.float32(LABELS)}, "y_train must be integers"),
        ({"y_train": np.eye(10, dtype=int)[LABELS]}, "y_train must be integers"),
        ({"y_train": np.int64(3)}, "x_train must be uint8"),
        ({"y_test": LABELS[:3] + 10}, "y_test must lie in 0…9, not 10…12"),
        ({"x_train": np.array([None])}, "cannot be read"),
    ],
)
def test_wrong_arrays_of_ones_own(change, message, tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    arrays = {"x_train": COLOURED, "y_train": LABELS, "x_test": COLOURED[:3], "y_test": LABELS[:3]}
    np.savez(folder / "cifar10.npz", **arrays | change)
    with pytest.raises(datasets.DataError, match=message):
        datasets.load("cifar10")
    assert {record.name: record.state for record in datasets.status()}["cifar10"] == "missing"
    np.savez(folder / "cifar10.npz", **arrays)  # "Write it again"
    assert len(datasets.load("cifar10").x_train) == 12


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_half_written_arrays_of_ones_own(keep, tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    whole = CONTENT["mnist.npz"]
    (folder / "mnist.npz").write_bytes(whole[: int(keep * len(whole)) if keep == 0.5 else keep])
    with pytest.raises(datasets.DataError, match="half-written or damaged"):
        datasets.load("mnist")


def test_flipped_byte_in_arrays_of_ones_own(tmp_path, monkeypatch):
    folder = own(tmp_path, monkeypatch)
    np.savez(folder / "mnist.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:3], y_test=LABELS[:3])
    damaged = bytearray((folder / "mnist.npz").read_bytes())
    damaged[500] ^= 1  # a pixel, in an archive without compression
    (folder / "mnist.npz").write_bytes(damaged)
    with pytest.raises(datasets.DataError, match="half-written or damaged"):
        datasets.load("mnist")


@pytest.mark.parametrize("below", ["/", "/course/fashion-mnist/", "/course/"])
def test_server_of_ones_own(below, server, cache, monkeypatch):
    server.below = below
    monkeypatch.setenv("COURSE_CNN_DATA", f"{server.url}{'/course/' if below != '/' else ''}")
    check(datasets.load("fashion_mnist"))
    assert len(files_below(cache)) == 4
    asked = len(server.asked)
    check(datasets.load("fashion_mnist"))
    assert len(server.asked) == asked


def test_unreachable_server_of_ones_own_goes_on_to_the_public_address(server, monkeypatch):
    monkeypatch.setenv("COURSE_CNN_DATA", "http://127.0.0.1:9")
    check(datasets.load("mnist"))
    server.mode = 404
    with pytest.raises(datasets.DataError, match=r"http://127.0.0.1:9/flower_photos.tgz \(no connection.*status 404"):
        datasets.load("flowers")


def test_damaged_copy_in_the_cache_is_replaced(server, cache):
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(CONTENT["mnist.npz"][:-1])
    check(datasets.load("mnist"))
    assert (cache / "mnist.npz").read_bytes() == CONTENT["mnist.npz"]


def test_damaged_copy_in_the_cache_without_network(cache):
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(b"")
    with pytest.raises(datasets.DataError, match=re.escape(f"{cache / 'mnist.npz'} (damaged)")):
        datasets.load("mnist")
    assert files_below(cache) == ["mnist.npz"]


def test_copies_keras_made_under_other_names_are_found(cache):
    cache.mkdir(parents=True)
    (cache / "cifar-10-batches-py.tar.gz").write_bytes(CONTENT["cifar-10-python.tar.gz"])
    (cache / "flower_photos.tgz").mkdir()  # Keras unpacks here
    (cache / "flower_photos.tgz_archive").write_bytes(CONTENT["flower_photos.tgz"])
    check(datasets.load("cifar10"))
    check(datasets.load("flowers"))


@pytest.mark.parametrize(
    "code, message", [(errno.ENOSPC, "the disk is full: mnist.npz takes"), (errno.EIO, "Input/output error")]
)
@pytest.mark.parametrize("where", ["write", "replace"])
def test_disk_trouble(code, message, where, server, cache, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    target = "pooch.HTTPDownloader.__call__" if where == "write" else "os.replace"
    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        with pytest.raises(datasets.DataError, match=message) as caught:
            datasets.load("mnist")
    assert caught.value.__cause__.errno == code
    assert files_below(cache) == []
    check(datasets.load("mnist"))


def test_read_only_cache(server, cache, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.mkstemp", fail)
        with pytest.raises(datasets.DataError, match=r"may not be written to.*KERAS_HOME"):
            datasets.load("mnist")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    check(datasets.load("mnist"))


def test_cache_folder_that_is_a_file(server, cache, tmp_path):
    (tmp_path / "keras").write_text("a file")
    with pytest.raises(datasets.DataError, match=r"cannot save mnist.npz in .*KERAS_HOME"):
        datasets.load("mnist")


def test_copy_in_a_read_only_cache_is_still_read(cache, tmp_path, monkeypatch):
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(CONTENT["mnist.npz"])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert _fetch.cache_folders() == [tmp_path / "spare" / "datasets", cache]
    check(datasets.load("mnist"))


def test_cache_is_where_keras_puts_it(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert _fetch.cache_folders()[0] == tmp_path / ".keras" / "datasets"
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(tmp_path)))
    assert _fetch.cache_folders()[0] == _fetch.SPARE / "datasets"


def test_two_at_once(server, cache):
    results = []
    threads = [threading.Thread(target=lambda: results.append(datasets.load("mnist"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        check(result)
    assert files_below(cache) == ["mnist.npz"]


def test_parts_of_killed_processes_are_swept(server, cache):
    cache.mkdir(parents=True)
    for name, age in [("mnist.npz.dead.part", 7200), ("mnist.npz.busy.part", 5), ("mine.part", 7200)]:
        (cache / name).touch()
        os.utime(cache / name, (time.time() - age,) * 2)
    datasets.load("mnist")
    assert files_below(cache) == ["mine.part", "mnist.npz", "mnist.npz.busy.part"]


def test_progress_bar_only_in_a_terminal(server, monkeypatch):
    seen = []

    class Downloader:
        def __init__(self, **settings):
            seen.append(settings["progressbar"])

        def __call__(self, url, stream, pooch):
            stream.write(CONTENT[url.rpartition("/")[2]])

    monkeypatch.setattr("pooch.HTTPDownloader", Downloader)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tqdm")
    datasets.load("mnist")
    monkeypatch.setattr("sys.stderr", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})())
    datasets.load("flowers")
    assert seen == [False, True]


@pytest.mark.parametrize("call", [(os.system, ("true",)), (np.fromfile, (os.devnull,))])
def test_cifar_pickles_may_hold_arrays_only(call):
    class Evil:
        def __reduce__(self):
            return call

    evil = tar({"cifar-10-batches-py/data_batch_1": pickle.dumps(Evil())})
    with tarfile.open(fileobj=io.BytesIO(evil)) as archive, pytest.raises(pickle.UnpicklingError, match="no place"):
        _downloads._read_batch(archive, "data_batch_1")


def test_status(server, cache, tmp_path, monkeypatch):
    assert [record.name for record in datasets.status()] == list(datasets.names())
    before = {record.name: record for record in datasets.status()}
    assert [before[name].state for name in datasets.names()] == ["embedded"] * 4 + ["missing"] * 4
    assert before["fashion_mnist"].size == sum(len(data) for name, data in CONTENT.items() if "ubyte" in name)
    assert before["mnist"].where == server.url
    assert server.asked == []
    datasets.load("mnist")
    (cache / "fashion-mnist").mkdir()
    (cache / "fashion-mnist" / "train-images-idx3-ubyte.gz").write_bytes(CONTENT["train-images-idx3-ubyte.gz"])
    after = {record.name: record for record in datasets.status()}
    assert after["mnist"] == datasets.Status("mnist", "here", str(cache), 0)
    assert after["fashion_mnist"].size == before["fashion_mnist"].size - len(CONTENT["train-images-idx3-ubyte.gz"])
    monkeypatch.setenv("COURSE_CNN_DATA", "https://data.example/course/")
    assert datasets.status()[-1].where == "https://data.example/course"
    monkeypatch.setenv("COURSE_CNN_DATA", str(tmp_path / "nowhere"))
    assert datasets.status()[-1].where.startswith("COURSE_CNN_DATA must name a folder")
    assert datasets.status()[0].state == "embedded"
