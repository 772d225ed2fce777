"""Fetch a model by tensorflow-hub, whole or not at all.

tensorflow-hub unpacks an archive while it arrives, looks at no checksum, so that an altered archive stays in its cache,
and waits for a silent server for ever. So its own resolver runs here with one step replaced: the archive comes first,
into a file without a name, and is read to its end before tensorflow-hub sees it. Cache, names and locks stay those of
tensorflow-hub: what either of the two has fetched is found by both.
"""

import contextlib
import errno
import hashlib
import http.client
import io
import os
import pathlib
import posixpath
import shutil
import socket
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import warnings
import zlib

from course_cnn._progress import progress
from course_cnn.transfer.handles import TENSORFLOW_1, ModelError, check_folder

VARIABLE = "TFHUB_CACHE_DIR"
TIMEOUT = 60  # seconds of silence
ABANDONED = 3600  # seconds after which nobody is taken to write any more
OFFLINE = (
    "Run it once with a network; or download and unpack the model elsewhere, copy the folder to this machine and pass "
    'that folder; or use "bundled", which needs no network'
)


def fetch(address):
    """Return the folder of the model at `address`, from tensorflow-hub's cache or fetched into it.

    Raises:
        ModelError: it is not in the cache and cannot be fetched, or what is in the cache is damaged.
    """
    addresses = (address, address.rstrip("/"))  # one model to the server, two names in the cache
    for folder in (_cache() / _name(address) for address in addresses):
        if folder.is_dir() and any(folder.iterdir()):
            return _checked(folder)  # without tensorflow-hub, which takes seconds to import
    resolver, errors = _tensorflow_hub()
    cache = resolver.tfhub_cache_dir(use_temp=True)
    try:
        pathlib.Path(cache).mkdir(parents=True, exist_ok=True)
        _sweep(pathlib.Path(cache), _name(addresses[-1]))
        with tempfile.TemporaryFile(dir=cache) as spool, progress() as show:
            folder = _resolver(spool, show, cache)(addresses[-1])
    except (OSError, errors.OpError) as error:
        raise _disk_error(error, cache, errors) from error
    return _checked(pathlib.Path(folder))


def _cache():
    """The folder where tensorflow-hub keeps models."""
    return pathlib.Path(os.environ.get(VARIABLE) or os.path.join(tempfile.gettempdir(), "tfhub_modules"))


def _name(address):
    """The name tensorflow-hub gives to a model's folder."""
    return hashlib.sha1(address.encode()).hexdigest()


def _checked(folder):
    check_folder(folder, f"Delete {folder} and try again: it is fetched anew")
    return folder


def _tensorflow_hub():
    """(tensorflow_hub.resolver, tf.errors), imported without the advice that the import brings along."""
    from course_cnn._tensorflow import tf

    logger = tf.get_logger()
    level = logger.level
    try:
        logger.setLevel("ERROR")
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            from tensorflow_hub import resolver
    except ImportError as error:
        causes = {
            "tensorflow_hub": "tensorflow-hub is not installed",
            "pkg_resources": "tensorflow-hub needs pkg_resources, which setuptools 82 and newer do not have",
        }
        raise ModelError(
            f"transfer: an address is fetched by tensorflow-hub, and {causes.get(error.name, error)}. "
            'Run pip install "course-cnn[hub]" and start Python anew; or use "bundled", which needs no network.'
        ) from error
    finally:
        logger.setLevel(level)
    return resolver, tf.errors


def _resolver(spool, show, cache):
    """tensorflow-hub's resolver of addresses, with a transfer that is checked before anything is unpacked."""
    from tensorflow_hub import compressed_module_resolver

    class Resolver(compressed_module_resolver.HttpCompressedFileResolver):
        def _call_urlopen(self, request):
            address = (request if isinstance(request, str) else request.full_url).partition("?")[0]
            _transfer(request, self._context, spool, show, f"{address} is not in the cache {cache} and")
            spool.seek(0)
            _check_archive(spool, address)
            spool.seek(0)
            return spool

    return Resolver()


def _transfer(request, context, spool, show, what):
    """Copy what the server sends into `spool`, all of it."""
    done = 0
    try:
        with urllib.request.urlopen(request, context=context, timeout=TIMEOUT) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(2**16):
                done += len(chunk)
                with _of_the_disk():
                    spool.write(chunk)
                if show:
                    show(min(done / total, 1) if total else 0, f"fetching the model, {done / 1e6:.1f} MB")
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelError(f"transfer: {what} {_status(error.code)}.") from error
    except _DiskError as error:
        raise error.__cause__ from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        reason = "no answer in time" if isinstance(reason, TimeoutError) else f"no connection ({reason})"
        raise ModelError(f"transfer: {what} could not be fetched: {reason}. {OFFLINE}.") from error
    if done < total:
        raise ModelError(
            f"transfer: {what} could not be fetched: the transfer broke off after {done:,} of {total:,} bytes. "
            f"Try again. {OFFLINE}."
        )


class _DiskError(Exception):
    """An error of this machine's disk, to be told from those of the network, which are `OSError` as well."""


@contextlib.contextmanager
def _of_the_disk():
    try:
        yield
    except OSError as error:
        raise _DiskError from error


def _status(code):
    """What an HTTP status means here, and what to do."""
    if code in (401, 403):
        return (
            f"was refused (HTTP status {code}). Try again later: Kaggle, where tfhub.dev's models lie now, refuses at "
            "times; or log in at kaggle.com, accept the model's licence, download and unpack it, and pass that folder"
        )
    if code in (404, 410):
        return (
            f"does not exist on the server (HTTP status {code}). Check the address, whose last part is the version; "
            "what was not moved from tfhub.dev to https://www.kaggle.com/models is gone"
        )
    return f"could not be fetched: the server has a problem (HTTP status {code}). Try again later. {OFFLINE}"


def _check_archive(spool, address):
    """Read the archive to its end, checksum included, and see that a SavedModel is in it."""
    start = spool.read(512).lstrip()
    spool.seek(0)
    if start.startswith(b"<"):
        raise ModelError(
            f"transfer: {address} sent a web page, not a model. Check the address: it must end in a version, as in "
            "…/feature_vector/5; if it does, something on the way (a login page?) answers in the server's place."
        )
    try:
        with tarfile.open(fileobj=spool) as archive:
            members = archive.getmembers()
            while archive.fileobj.read(2**20):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ModelError(
            f"transfer: {address} sent an archive that is cut short or damaged ({error}). It was thrown away. "
            f"Try again. {OFFLINE}."
        ) from error
    names = [posixpath.normpath(member.name.lstrip("/")) for member in members]
    plain = all(member.isfile() or member.isdir() for member in members)
    if not plain or any(name.startswith("..") for name in names):
        raise ModelError(
            f"transfer: {address} sent an archive with links or with files that would leave its folder, so nothing was "
            "unpacked. Get the model from another place."
        )
    if "tfhub_module.pb" in names:
        raise ModelError(f"transfer: {address} is {TENSORFLOW_1[0]}. {TENSORFLOW_1[1]}.")
    if "saved_model.pb" not in names:
        shown = ", ".join(sorted(set(names) - {"."})[:6]) or "nothing"
        raise ModelError(
            f"transfer: {address} sent an archive without saved_model.pb at its top; it holds {shown}. Take the "
            "TensorFlow 2 variation of the model; or, if a folder inside holds the model, unpack it and pass that one."
        )


def _sweep(cache, name):
    """Take away what a killed process left of this model: its lock, for which tensorflow-hub waits, and its files."""
    lock = cache / f"{name}.lock"
    with contextlib.suppress(OSError, ValueError):
        host, pid, task = lock.read_text().rsplit(".", 2)
        if os.name == "posix" and host == socket.gethostname() and not _alive(int(pid)):
            lock.unlink()
            shutil.rmtree(cache / f"{name}.{task}.tmp", ignore_errors=True)
    for path in [*cache.glob(f"{name}.*.tmp"), *cache.glob(f"{name}.lock.tmp*")]:
        with contextlib.suppress(OSError):
            if not lock.exists() and path.stat().st_mtime < time.time() - ABANDONED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _disk_error(error, cache, errors):
    """The `ModelError` for a cache that cannot be written to."""
    code = getattr(error, "errno", None)
    if code in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, errors.ResourceExhaustedError):
        problem = "the disk is full"
    elif code in (errno.EACCES, errno.EPERM, errno.EROFS) or isinstance(error, errors.PermissionDeniedError):
        problem = "it may not be written to"
    else:
        problem = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    return ModelError(
        f"transfer: cannot keep the model in tensorflow-hub's cache {cache}: {problem}. "
        f"Set {VARIABLE} to a folder that has room and can be written to."
    )
