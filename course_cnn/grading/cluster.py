"""The same grading on the workers of a Dask cluster: submissions travel as bytes, results come back as plain dicts.

No shared folder is needed. What a worker of the cluster keeps, an assignment's files and a fork server, it keeps for
the next submission; students' code runs below that worker in the same sandbox as on one machine.
"""

import atexit
import tempfile
import threading
from pathlib import Path

from course_cnn.grading import submission as submissions
from course_cnn.grading.batch import GradingError

_kept, _lock = {}, threading.Lock()


def grade(address, files, todo, seed, store, broken):
    """Grade submissions on a cluster.

    Args:
        address: the scheduler's, such as `"tcp://10.0.0.1:8786"`.
        files: {name: bytes}, the assignment.
        todo: [Submission, …].
        seed: int.
        store, broken: callables that take (submission, result) and (submission, error).

    Raises:
        GradingError: nobody answers at the address.
    """
    from distributed import Client, as_completed

    from course_cnn.grading.source import digest_of

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise GradingError(
            f"no Dask scheduler answers at {address} ({error}). Start one with `dask scheduler`, and workers with "
            f"`dask worker {address}`, or leave --scheduler out."
        ) from None
    with client:
        [held] = client.scatter([files], broadcast=True)
        digest, waiting, items = digest_of(files), {}, iter(todo)
        running = as_completed(loop=client.loop)

        def submit():
            for one in items:
                try:
                    data = submissions.read_bytes(one.path)
                except submissions.Unreadable as error:
                    broken(one, error)
                    continue
                student = one.student.encode("utf-8", "backslashreplace").decode()
                future = client.submit(_remote, digest, held, student, one.path.name, data, seed, pure=False, retries=2)
                waiting[future.key] = one
                running.add(future)
                return

        for _ in range(4 * max(1, sum(client.nthreads().values()))):
            submit()
        for future in running:
            one = waiting.pop(future.key)
            if future.status == "finished":
                store(one, future.result())
            else:
                broken(one, future.exception())
            future.release()
            submit()


def _remote(digest, files, student, name, data, seed):
    from course_cnn.grading.grade import grade_bytes

    assignment, server = _prepared(digest, files)
    return grade_bytes(assignment, server, student, name, data, seed=seed)


def _prepared(digest, files):
    """This process's assignment and fork server, made once."""
    from course_cnn.grading.assignment import Assignment
    from course_cnn.grading.grade import fork_server

    with _lock:
        if digest not in _kept:
            folder = tempfile.TemporaryDirectory(prefix="course-cnn-assignment-")
            atexit.register(folder.cleanup)
            for file, content in files.items():
                Path(folder.name, file).write_bytes(content)
            assignment = Assignment(folder.name)
            server = fork_server(assignment)
            server.boot()
            atexit.register(server.close)
            _kept[digest] = assignment, server
        return _kept[digest]
