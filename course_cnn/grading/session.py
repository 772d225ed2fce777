"""The grader's side of one worker: ask, wait no longer than allowed, keep 1 MB of what it prints, say why it ended."""

import contextlib
import os
import queue
import signal
import threading
import time

from course_cnn.grading import wire
from course_cnn.grading.checks import AnswerError, Failed, WorkerLost
from course_cnn.grading.forkserver import SandboxError, clean
from course_cnn.grading.models import ModelAnswer
from course_cnn.grading.worker import ANSWER_LIMIT, REQUEST_LIMIT

OUTPUT_LIMIT = 1_000_000  # bytes of printed text kept of a submission; the rest is read and thrown away
START_LIMIT = 120  # seconds until a worker must be ready; it may have to import TensorFlow on a busy machine
ENDINGS = {
    "memory": "took more memory than the {memory} MB that are allowed",
    "processes": "started more processes than are allowed",
    "SIGXCPU": "used up its processor time",
    "SIGKILL": "was killed, or took more memory or processor time than allowed",
    "SIGSEGV": "crashed (a segmentation fault; endless recursion does that)",
}


class Worker:
    """One worker process, from its start to its end.

    Raises:
        SandboxError: it did not come so far as to run the student's code.
    """

    def __init__(self, server, output):
        self._started, self._server = server.start(), server
        self._output, self._frames, self._number = output, queue.Queue(maxsize=4), 0
        self.layers, self._closed, self.lost = {}, False, None
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._drain)]
        for thread in self._threads:
            thread.start()
        with contextlib.suppress(queue.Empty):
            if self._frames.get(timeout=START_LIMIT) == {"ready": True}:
                return
        raise SandboxError(f"a worker did not start: {self.end()['reason']}; {output.text(500)}")

    def ask(self, operation, seconds, *, event=None, **message):
        """Send a request and return its value; give every frame in between to `event`, which may give new seconds.

        Raises:
            AnswerError: the student's code raised, or what it returned cannot cross.
            WorkerLost: no answer in time, or the process is gone; the worker is ended.
        """
        if self.lost:
            raise WorkerLost(self.lost)
        self._number += 1
        number, deadline = self._number, time.monotonic() + seconds
        frame = wire.pack({"op": operation, "id": number, **message}, limit=REQUEST_LIMIT, special=_handle)
        sender = threading.Thread(target=self._write, args=(frame,), daemon=True)
        sender.start() if len(frame) > 32_000 else self._write(frame)  # a pipe holds that much without a reader
        while True:
            try:
                if time.monotonic() >= deadline:  # whatever else there is to read
                    raise queue.Empty
                reply = self._frames.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._lose(f"took longer than {_seconds(seconds)}", ended=True) from None
            if reply is None:
                raise self._lose("ended") from None
            if isinstance(reply, wire.WireError) or not isinstance(reply, dict):
                raise self._lose("wrote something unreadable where only answers go", ended=True) from None
            if event is not None and "id" not in reply:
                if (more := event(reply)) is not None:
                    seconds, deadline = more, time.monotonic() + more
                continue
            if reply.get("id") != number or isinstance(reply.get("id"), bool):
                raise self._lose("wrote something unreadable where only answers go", ended=True) from None
            return self._value(reply)

    def _value(self, reply):
        if "value" in reply:
            value = reply["value"]
            if isinstance(value, dict) and "keras model" in value:
                try:
                    return ModelAnswer(None, value)
                except (Failed, ArithmeticError):
                    raise AnswerError("what it returned looks like a Keras model but is none") from None
            return value
        if isinstance(reply.get("refused"), str):
            raise AnswerError(f"what it returned {clean(reply['refused'], 300)}")
        error, kind = reply.get("error"), reply.get("kind")
        if not isinstance(error, str) or not isinstance(kind, str):
            raise self._lose("wrote something unreadable where only answers go", ended=True)
        raise AnswerError(clean(error, 500), kind=clean(kind, 80))

    def _lose(self, why, *, ended=False):
        """End the worker and word why it is lost."""
        status = self.end(0 if ended else 1)
        if not ended:
            name = _signal(status["status"])
            if status["reason"] in ENDINGS:
                why = ENDINGS[status["reason"]].format(memory=self._server.options["memory"] // 1_000_000)
            elif name in ENDINGS:
                why = ENDINGS[name].format()
            elif status["reason"].startswith("could not start"):
                why = status["reason"]
            else:
                why = "ended its process (os._exit, a crash or a kill)"
        self.lost = why
        return WorkerLost(why)

    def end(self, patience=0):
        """End the worker and all it started; safe to call again."""
        if self._closed:
            return {"status": None, "reason": "ended", "layers": self.layers}
        self._closed = True
        status = self._started.end(patience)
        self.layers = status["layers"]
        for thread in self._threads:
            thread.join(2)
        with contextlib.suppress(OSError):
            self._started.output.close()
        return status

    def _write(self, frame):
        with contextlib.suppress(OSError, ValueError):  # a worker that is gone says so by its silence
            self._started.requests.write(frame)
            self._started.requests.flush()

    def _listen(self):
        while not self._closed:
            try:
                frame = wire.read_frame(self._started.responses, limit=ANSWER_LIMIT + 100_000)
            except wire.WireError as error:
                frame = error
            except (OSError, ValueError):
                frame = None
            while not self._closed:
                with contextlib.suppress(queue.Full):
                    self._frames.put(frame, timeout=0.2)
                    break
            if frame is None or isinstance(frame, wire.WireError):
                return

    def _drain(self):
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(self._started.output.fileno(), 65536):
                self._output.add(part)


class Output:
    """What a submission prints, over all its workers: the first megabyte of it."""

    def __init__(self):
        self._data, self.dropped = bytearray(), 0

    def add(self, part):
        room = OUTPUT_LIMIT - len(self._data)
        self._data += part[:room]
        self.dropped += max(0, len(part) - room)

    def text(self, limit=20_000):
        return clean(self._data[: 4 * limit].decode("utf-8", "replace"), limit)


def _handle(value):
    return {"keras model": value.number} if isinstance(value, ModelAnswer) else None


def _signal(status):
    if not isinstance(status, int) or status >= 0:
        return ""
    try:
        return signal.Signals(-status).name
    except ValueError:
        return ""


def _seconds(seconds):
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
