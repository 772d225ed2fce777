"""The process that workers are forked from: it has imported what an assignment needs and used none of it.

Importing TensorFlow takes five seconds, forking a process that has imported it a fraction of one. This process holds no
check, no submission and no secret: it is started with a clean environment and gets requests for workers, nothing else.
Where processes cannot be forked (Windows, macOS) `start` makes a fresh process for each worker.
"""

import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import course_cnn

PACKAGE = Path(course_cnn.__file__).resolve().parent
_BOOT = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from course_cnn.grading import {0}; {0}.main()"
BOOT, FRESH = _BOOT.format("forkserver"), _BOOT.format("worker")
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class SandboxError(RuntimeError):
    """A worker could not be started: no fault of the student's, whose code has not run yet."""


class Started:
    """One worker as the grader holds it: files to write requests to and read responses and output from, and its end."""

    def __init__(self, requests, responses, output, control=None, process=None, folder=None):
        self.requests, self.responses, self.output = requests, responses, output
        self._control, self._process, self._folder = control, process, folder

    def end(self, patience=0):
        """End the worker and all it started; return `{"status": …, "reason": …, "layers": {…}}`.

        A worker that is about to end by itself gets `patience` seconds for it, so that its status tells how.
        """
        status = {"status": None, "reason": "ended", "layers": {"process": True, "folder": bool(self._folder)}}
        if self._process is not None:
            gone = self._process.poll()
            if gone is None:
                self._process.kill()
            if os.name == "posix":
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)  # what it started and did not move to another session
            status["status"] = self._process.wait() if gone is None else gone
            status["reason"] = "ended" if gone is None else "exited"
            self._folder.cleanup()
        else:
            if patience:
                select.select([self._control], [], [], patience)
            self._control.settimeout(10)
            with contextlib.suppress(OSError):
                self._control.sendall(b"e")
            data = b""
            with contextlib.suppress(OSError):
                while part := self._control.recv(4096):
                    data += part
            self._control.close()
            with contextlib.suppress(ValueError):
                status = json.loads(data)
        for file in (self.requests, self.responses):  # a process that got away may hold the other end for ever
            closing = threading.Thread(target=_close, args=[file], daemon=True)
            closing.start()
            closing.join(0.5)
        return status


def _close(file):
    with contextlib.suppress(OSError):
        file.close()


class ForkServer:
    """Start workers for one assignment; use it as a context manager, from any number of threads.

    Args:
        preload: names of modules that workers have imported already.
        unavailable: names of packages that answers may not import.
        memory: int, bytes that one worker with all it starts may take.
        seconds: float, processor time of one worker.
        hide: folders that workers must not see even if they lie in what Python needs.
        fork: None for the fastest way that this system has, False for a fresh process each.
        namespaces: False to go without namespaces even where the system has them.
    """

    def __init__(self, *, preload=(), unavailable=(), memory, seconds, hide=(), fork=None, namespaces=True):
        self.preload, self.unavailable = list(preload), list(unavailable)
        self.fork = sys.platform == "linux" if fork is None else fork
        self.options = {
            "memory": memory, "seconds": seconds, "unavailable": self.unavailable, "namespaces": namespaces,
            "paths": _readable(), "hide": [str(Path(path).resolve()) for path in hide] + packages(unavailable),
        }  # fmt: skip
        self._lock, self._process, self._socket = threading.Lock(), None, None

    def __enter__(self):
        self.boot()
        return self

    def boot(self):
        """Let the fork server begin to import while the grader does other things."""
        if self.fork:
            with self._lock:
                self._boot()

    def __exit__(self, *_):
        self.close()

    def close(self):
        with self._lock:
            if self._socket:
                self._socket.close()
            if self._process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)
                self._process.kill()
                self._process.wait()
            self._process = self._socket = None

    def start(self):
        """Start a worker; return a `Started`. It gets the processors that the thread of the caller keeps to.

        Raises:
            SandboxError: there is no process to fork from, for a module of `preload` does not import.
            OSError: the system gives no process.
        """
        return self._forked() if self.fork else self._fresh()

    def _forked(self):
        ours, theirs = socket.socketpair()
        pipes = [os.pipe(), os.pipe(), os.pipe()]
        (asked, ask), (answer, answered), (printed, printing) = pipes
        try:
            text = json.dumps({**self.options, "processors": sorted(os.sched_getaffinity(0))}).encode()
            with self._lock:
                self._boot()
                given = [theirs.fileno(), asked, answered, printing]
                socket.send_fds(self._socket, [len(text).to_bytes(4, "big")], given)
                self._socket.sendall(text)
        except BaseException as error:
            ours.close()
            for descriptor in (ask, answer, printed):
                os.close(descriptor)
            if isinstance(error, ConnectionError):
                raise SandboxError(f"no process to fork workers from; can all of {self.preload} be imported?") from None
            raise
        finally:
            theirs.close()
            for descriptor in (asked, answered, printing):
                os.close(descriptor)
        return Started(os.fdopen(ask, "wb"), os.fdopen(answer, "rb"), os.fdopen(printed, "rb", 0), ours)

    def _boot(self):
        """Start the fork server itself, once; again if it is gone."""
        if self._process and self._process.poll() is None:
            return
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-c", BOOT, json.dumps(_path()), str(theirs.fileno()), *self.preload]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=_environment(), cwd="/", pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip

    def _fresh(self):
        command = [sys.executable, "-c", FRESH, json.dumps(_path()), ",".join(self.unavailable), *self.preload]
        folder = tempfile.TemporaryDirectory(prefix="course-cnn-worker-", ignore_cleanup_errors=True)
        home = {"HOME": folder.name, "USERPROFILE": folder.name, "TMPDIR": folder.name, "TEMP": folder.name}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env=_environment() | home, cwd=folder.name, start_new_session=True,
        )  # fmt: skip
        requests, responses = (
            os.fdopen(os.dup(file.fileno()), mode) for file, mode in ((process.stdin, "wb"), (process.stdout, "rb"))
        )
        process.stdin.close()
        process.stdout.close()
        return Started(requests, responses, process.stderr, process=process, folder=folder)


def main():
    """Be the fork server: import, then fork a keeper for every request until the grader is gone."""
    from course_cnn.grading import sandbox, worker  # noqa: F401  the worker's code is loaded once, here

    connection = socket.socket(fileno=int(sys.argv[1]))
    os.environ["HOME"] = home = tempfile.mkdtemp(prefix="course-cnn-home-")  # Keras and matplotlib write there
    quiet = os.open(os.devnull, os.O_WRONLY)
    loud = os.dup(2)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)  # TensorFlow greets on file descriptor 2
    for name in sys.argv[2:]:
        importlib.import_module("course_cnn._tensorflow" if name == "tensorflow" else name)
    os.dup2(loud, 2)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are reaped by the system
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.argv[1:] = []
    while request := sandbox.receive(connection):
        options, (control, *pipes) = request
        if os.fork() == 0:
            connection.close()
            options["base"] = 3 * sandbox.own_memory()  # in init, in the worker, and once more in what it forks
            sandbox.keep(socket.socket(fileno=control), *pipes, options)
        for descriptor in (control, *pipes):
            os.close(descriptor)
    shutil.rmtree(home, ignore_errors=True)


def _environment():
    """What workers find in their environment: nothing of the instructor's."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {
        **kept, "COURSE_CNN_GRADING": str(os.getpid()), "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1",
        "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",  # threads that wait busily take time from other workers
    }  # fmt: skip


def _path():
    """Where Python looks for modules, without the folder somebody happened to start from."""
    here = os.getcwd()
    path = [entry for entry in sys.path if entry and os.path.realpath(entry) != os.path.realpath(here)]
    return [*path, str(PACKAGE.parent)]


def _readable():
    """Folders that Python needs: its own, the installed packages, and of the course the package alone."""
    folders = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    folders |= {
        entry for entry in _path() if not Path(entry, "course_cnn", "__init__.py").exists() or "site-packages" in entry
    }
    folders |= {
        str(PACKAGE),
        str(PACKAGE.parent / "data" / "bundled_extractor"),
        os.path.dirname(os.path.realpath(sys.executable)),
    }
    folders = {os.path.abspath(folder) for folder in folders} | {os.path.realpath(folder) for folder in folders}
    return sorted((folder for folder in folders if os.path.exists(folder) and folder != os.path.sep), key=len)


def packages(names):
    """Folders and files of the packages that may not be imported."""
    found = []
    for entry in _path():
        found += [
            str(path) for name in names for path in (Path(entry, name), Path(entry, f"{name}.py")) if path.exists()
        ]
    return found


def clean(text, limit=2000):
    """Text of a student's process, fit for JSON, pages and terminals: no control characters, no lone surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = text[: 2 * limit]
    if not text.isprintable():
        text = "".join(c for c in text if c in "\n\t" or c.isprintable())
    return text if len(text) <= limit else f"{text[:limit]} …"
