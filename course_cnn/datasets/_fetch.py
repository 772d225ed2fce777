"""Get a file onto this machine, whole and unaltered, or say clearly why not.

A file is known by the sha256 of its bytes, so it does not matter who handed it over. It is looked for in the folder or
on the server named by `COURSE_CNN_DATA`, then in Keras's own cache, then fetched from its public address. A transfer
goes to a temporary file beside its target, is checked there, and takes its name in one step: nobody, not even another
process doing the same, ever sees half a file under the real name.
"""

import contextlib
import gzip
import hashlib
import importlib.util
import os
import pathlib
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass

from course_cnn import _checks
from course_cnn.datasets._dataset import DataError

VARIABLE = "COURSE_CNN_DATA"
EMBEDDED = ("digits", "faces", "photos", "shapes")
SPARE = pathlib.Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras")  # Keras's second choice
TIMEOUT = (10, 60)  # seconds to connect, seconds of silence


@dataclass(frozen=True)
class File:
    """One published file.

    Attributes:
        name: its name in the folder or on the server of `COURSE_CNN_DATA`; a file without the leading folder will do.
        cached: its names below Keras's `datasets` folder, the one written to first.
        url: its public address.
        size: bytes to download.
        sha256: sum of the bytes.
        contents: sum of the bytes once unpacked, for `.gz` files, which others (Debian) pack anew.
    """

    name: str
    cached: tuple[str, ...]
    url: str
    size: int
    sha256: str
    contents: str | None = None


def own_server():
    """The http(s) address in `COURSE_CNN_DATA`, or None."""
    value = os.environ.get(VARIABLE, "").strip()
    return value.rstrip("/") if value.lower().startswith(("http://", "https://")) else None


def own_folder():
    """The folder in `COURSE_CNN_DATA`, or None. A folder that is not there is an error, not a reason to download."""
    value = os.environ.get(VARIABLE, "").strip()
    if not value or own_server():
        return None
    folder = pathlib.Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"load: {VARIABLE} must name a folder that exists, or a server ({VARIABLE}={value!r}). "
            f"Create {folder}, or correct or unset the variable."
        )
    return folder


def cache_folders():
    """Keras's `datasets` folders by Keras's own rules: where to write, then where else a copy may lie."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        home = os.path.join(user, ".keras") if os.access(user, os.W_OK) else SPARE
    home = pathlib.Path(home).expanduser()
    homes = [home, SPARE] if _writable(home) else [SPARE, home]
    return [folder / "datasets" for folder in homes]


def own_path(file):
    """Where `file` lies in the folder of `COURSE_CNN_DATA`, checked; None where it does not."""
    folder = own_folder()
    for name in _names(file) if folder else ():
        path = folder / name
        if os.path.isfile(path):
            if not intact(path, file):
                raise DataError(
                    f"load: {path} is not the published {path.name} ({_difference(path, file)}), so it is not used. "
                    f"Replace it, or move it away and it will be downloaded from {file.url}."
                )
            return path
    return None


def cached_path(file):
    """(path, damaged): where a good copy lies in Keras's cache or None, and the copies that are not good."""
    damaged = []
    for path in (folder / name for folder in cache_folders() for name in file.cached):
        if os.path.isfile(path):
            if intact(path, file):
                return path, damaged
            damaged.append(path)
    return None, damaged


def fetch(dataset, file):
    """Return the path of a copy of `file` whose sum is right, downloading it where this machine has none.

    Args:
        dataset: str, the data set it is for, to be named in errors.
        file: `File`.

    Raises:
        DataError: there is no copy and none can be fetched, or what came is not the file.
    """
    path = own_path(file)
    if path:
        return path
    path, damaged = cached_path(file)
    if path:
        return path
    folder, server = own_folder(), own_server()
    tried = [f"{VARIABLE} ({'not in ' + str(folder) if folder else server or 'not set'})"]
    tried += [f"{path} (damaged)" for path in damaged] or [f"Keras's cache (not in {cache_folders()[0]})"]
    target = cache_folders()[0] / file.cached[0]
    cause = None
    for url in [*(f"{server}/{name}" for name in _names(file) if server), file.url]:
        try:
            download(url, target, file)
            return target
        except _Unreachable as error:
            tried.append(f"{url} ({error})")
            cause = error
    raise DataError(
        f"load: {dataset!r} needs the file {_names(file)[-1]} ({_megabytes(file)}), which is not on "
        f"this machine and could not be fetched. Looked in: {'; '.join(tried)}. "
        f"Either run it once with a network; or put the file into a folder and set {VARIABLE} to that folder; "
        f"or use a set that needs no download: {', '.join(map(repr, EMBEDDED))}."
    ) from cause


class _Unreachable(Exception):
    """This address did not hand the file over; another one may."""


def download(url, target, file):
    """Fetch `url`, check it, and only then give it the name `target`. Whatever happens, no part of it stays behind."""
    import pooch
    import requests

    bar = sys.stderr is not None and sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
    responses = []  # to be closed by us: pooch leaves them open when a transfer fails
    transfer = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=2**16,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": lambda response, **_: responses.append(response)},
    )
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        handle, part = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
        part = pathlib.Path(part)
        with os.fdopen(handle, "wb") as stream:
            transfer(url, stream, None)
        if not intact(part, file):
            raise DataError(
                f"load: what {url} sent is not the published {_names(file)[-1]} ({_difference(part, file)}), so it "
                f"was thrown away. Try again; if it stays so, the server or something on the way (a login page?) "
                f"alters it: get the file elsewhere, put it into a folder and set {VARIABLE} to that folder."
            )
        part.chmod(0o644)
        os.replace(part, target)
    except requests.HTTPError as error:
        raise _Unreachable(f"HTTP status {error.response.status_code}") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise _Unreachable("the transfer broke off") from error
    except requests.RequestException as error:
        raise _Unreachable("no connection, or no answer in time") from error
    except OSError as error:
        raise _disk_error(error, target, file) from error
    finally:
        for response in responses:
            response.close()
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part)


def intact(path, file):
    """Whether the bytes at `path` are those of the published file, or unpack to the same contents."""
    try:
        if _sum(open, path) == file.sha256:
            return True
        return file.contents is not None and _sum(gzip.open, path) == file.contents
    except (OSError, EOFError, zlib.error):  # cannot be read, or cannot be unpacked
        return False


def _sum(opener, path):
    with opener(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _disk_error(error, target, file):
    """The `DataError` for an `OSError` of this machine's own disk."""
    problem, remedy = _checks.disk_problem(error, f"the disk is full: {target.name} takes {_megabytes(file)}")
    return DataError(
        f"load: cannot save {target.name} in {target.parent}: {problem}. {remedy}, or set KERAS_HOME to a folder that "
        f"has room and can be written to, or set {VARIABLE} to a folder that already holds the file."
    )


def _difference(path, file):
    try:
        found = f"{path.stat().st_size:,} bytes, sha256 {_sum(open, path)[:12]}…"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return f"{found}, not {file.size:,} bytes, sha256 {file.sha256[:12]}…"


def _megabytes(file):
    return f"{file.size / 1e6:,.1f} MB"


def _names(file):
    """The names it may have in the folder or on the server of `COURSE_CNN_DATA`, the bare one last."""
    return list(dict.fromkeys([file.name, pathlib.PurePosixPath(file.name).name]))


def _sweep(target):
    """Remove what a killed process left of this file: parts that nobody has written to for an hour."""
    for part in target.parent.glob(f"{target.name}.*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - 3600:
                part.unlink()


def _writable(folder):
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
