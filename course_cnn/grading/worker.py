"""The student's side: run the cells of a notebook, then answer calls by name. Nothing here is trusted by the grader.

This module runs in the same process as the student's code, which may read and change all of it. That gives a student
nothing: there is no check, no expected value and no mark on this side, and whatever is sent back is taken for what it
is, a returned value.
"""

import ast
import builtins
import inspect
import os
import re
import sys
import types

from course_cnn.grading import wire
from course_cnn.grading.models import describe

ANSWER_LIMIT = 1_000_000  # bytes a returned value may have
REQUEST_LIMIT = 1_000_000_000  # the grader's own messages
TOUCHY = {"setattr", "delattr", "exec", "eval", "globals", "vars", "__import__", "reload"}
TOUCHY |= {"__dict__", "__setattr__", "__delattr__", "modules", "patch", "setitem"}  # what changes other objects
TOUCHY |= {
    "seterr",
    "simplefilter",
    "filterwarnings",
    "setrecursionlimit",
    "settrace",
    "setprofile",
    "chdir",
    "setrlimit",
}
TOUCHY |= {"setitimer", "alarm", "Thread", "Timer", "start_new_thread", "fork", "Popen", "closerange", "dup2"}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FRESH = (
    ast.Call,
    ast.Constant,
    ast.List,
    ast.Dict,
    ast.Set,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.JoinedStr,
    *SCOPES,
)
PARSEABLE = {"%%time", "%%timeit", "%%capture", "%%prun"}  # magics whose cell is Python all the same


def serve(requests, responses, *, unavailable=()):
    """Answer frames from the file `requests` on the file `responses` until the first one ends."""
    _forbid(unavailable)
    student = Student(responses)
    student._send(wire.pack({"ready": True}, limit=ANSWER_LIMIT))
    while (message := wire.read_frame(requests, limit=REQUEST_LIMIT)) is not None:
        student.answer(message)


class Student:
    """The namespace of one notebook, and the operations that the grader may ask for."""

    def __init__(self, responses):
        self.responses, self.models = responses, {}
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        self.names = vars(module)
        self.names.update(get_ipython=lambda: _Quiet(), display=print, __builtins__=builtins)

    def answer(self, message):
        operation, number = message.pop("op"), message.pop("id")
        try:
            reply = {"value": getattr(self, f"do_{operation}")(**message)}
        except BaseException as error:  # SystemExit and KeyboardInterrupt of the student's code as well
            reply = {"error": told(error), "kind": type(error).__name__}
        try:
            frame = wire.pack({"id": number, **reply}, limit=ANSWER_LIMIT, special=self._special)
        except wire.WireError as error:
            frame = wire.pack({"id": number, "refused": str(error)}, limit=ANSWER_LIMIT)
        except BaseException as error:
            frame = wire.pack({"id": number, "error": told(error), "kind": type(error).__name__}, limit=ANSWER_LIMIT)
        self._send(frame)

    def _send(self, frame):
        self.responses.write(frame)
        self.responses.flush()

    def do_run(self, cells, questions):
        """Run cells, {number: source}, in order, and go on after errors; tell first which cells each question needs.

        Each cell is named before it is parsed and again before it runs, so that the grader knows which one hangs.
        """
        trees, parts, touchy = {}, {}, []
        for number, source in cells.items():
            number = int(number)
            self._send(wire.pack({"parsing": number}, limit=ANSWER_LIMIT))
            trees[number] = tree = parse(source, number)
            if questions and isinstance(tree, ast.AST):
                parts[number] = _bound(tree), _used(tree)
                touchy += [number] if _touchy(tree) else []
        if questions:
            slices = {question: needed(parts, names) for question, names in questions.items()}
            self._send(wire.pack({"plan": {"slices": slices, "touchy": touchy}}, limit=ANSWER_LIMIT))
        errors = []
        for number, tree in trees.items():
            self._send(wire.pack({"cell": number}, limit=ANSWER_LIMIT))
            try:
                if isinstance(tree, BaseException):
                    raise tree
                self._execute(tree, number)
            except BaseException as error:
                if len(errors) < 100:
                    errors.append([number, told(error)])
        return errors

    def _execute(self, tree, number):
        code = compile(tree, f"<cell {number}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            import asyncio  # here, for it is large, and every worker is a copy of the process that has imported this

            asyncio.run(eval(code, self.names))
        else:
            exec(code, self.names)

    def do_call(self, name, args, kwargs):
        answer = self._find(name)
        if not callable(answer):
            raise Missing(f"`{name}` is not a function but {type(answer).__name__}")
        return answer(*map(self._model, args), **{key: self._model(value) for key, value in kwargs.items()})

    def do_value(self, name):
        return self._find(name)

    def do_predict(self, model, x):
        import numpy as np

        return np.asarray(self.models[model](x, training=False))

    def do_weights(self, model):
        return [weight.numpy() for weight in self.models[model].weights]

    def _find(self, name):
        if name not in self.names:
            raise Missing(f"there is no `{name}` in the notebook. Was it renamed or deleted, or did its cell fail?")
        return self.names[name]

    def _model(self, value):
        if isinstance(value, dict) and set(value) == {"keras model"}:
            return self.models[value["keras model"]]
        return value

    def _special(self, value):
        """Write what TensorFlow and Keras bring: tensors as arrays, models as a description."""
        module = type(value).__module__.partition(".")[0]
        if module in ("tensorflow", "keras", "jax", "jaxlib") and hasattr(value, "numpy"):
            return value.numpy()
        if "keras" in sys.modules and isinstance(value, sys.modules["keras"].Model):
            number = len(self.models)
            self.models[number] = value
            return {"keras model": number, **describe(value)}
        if isinstance(value, range | set | frozenset | types.GeneratorType):
            raise wire.WireError(f"is a {type(value).__name__}; return a list or an array")
        if isinstance(value, bool | int | float | str):  # their subclasses: the plain value counts
            plain = next(kind for kind in (bool, int, float, str) if isinstance(value, kind))
            return plain(value)
        return None


class Missing(Exception):
    """A name that the notebook does not have."""


def told(error):
    """An exception in one line of at most 500 characters, with the line of the notebook that raised it."""
    try:
        return _told(error)
    except BaseException:  # its class, its text and its traceback are the student's
        return "an exception that cannot be shown"


def _told(error):
    try:
        text = " ".join(str(error).split())[:400]
    except BaseException:
        text = ""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    where, trace = "", error.__traceback__
    while trace is not None:
        if match := re.fullmatch(r"<cell (\d+)>", trace.tb_frame.f_code.co_filename):
            where = f" (cell {match[1]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__[:80]}: {text}{where}" if text else f"{type(error).__name__[:80]}{where}"


def needed(parts, names):
    """Numbers of the cells that `names` need: those that define them, and what these use in turn.

    Args:
        parts: {number of a cell: (names it defines, names it uses)}.
        names: list of str.

    Example:
        >>> needed({1: ({"np"}, set()), 2: ({"f"}, {"np", "g"}), 3: ({"g"}, set()), 4: ({"h"}, {"f"})}, ["f"])
        [1, 2, 3]
    """
    wanted, found = {*names, "*"}, set()  # "*" is what `from numpy import *` binds: it may bind any name
    while True:
        more = {number for number, (bound, _) in parts.items() if number not in found and bound & wanted}
        if not more:
            return sorted(found)
        found |= more
        for number in more:
            wanted |= parts[number][1]


def _used(tree):
    """Names that a cell takes from the notebook, and not from its functions' own parameters and variables."""
    used, stack = set(), [(tree, frozenset())]
    while stack:
        node, own = stack.pop()
        outside = []
        if isinstance(node, SCOPES):
            inside = list(ast.walk(node))
            shared = {name for part in inside if isinstance(part, ast.Global) for name in part.names}
            stored = {part.id for part in inside if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
            outside = [(child, own) for child in getattr(node, "decorator_list", [])]
            if isinstance(arguments := getattr(node, "args", None), ast.arguments):
                outside += [
                    (child, own) for child in (*arguments.defaults, *arguments.kw_defaults) if child is not None
                ]
            own |= (stored | {part.arg for part in inside if isinstance(part, ast.arg)}) - shared
        elif isinstance(node, ast.Name) and node.id not in own:
            used.add(node.id)
        stack += outside
        stack += [(child, own) for child in ast.iter_child_nodes(node)]
    return used


def _bound(tree):
    """Names that a cell defines at its top level, in loops and branches too."""
    bound, stack = set(), list(ast.iter_child_nodes(tree))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        stack.extend(ast.iter_child_nodes(node))
    return bound


def _touchy(tree):
    """Whether a cell changes more than names of its own: attributes or items of other things, or calls what could."""
    nodes = list(ast.walk(tree))
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:  # but not what is only another name of something
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and not isinstance(node.value, FRESH):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own -= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    for node in nodes:
        changed = isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load)
        if changed and not (isinstance(node.value, ast.Name) and node.value.id in own):
            return True
        if isinstance(node, ast.Attribute) and node.attr in TOUCHY:
            return True
        if isinstance(node, ast.Name) and (node.id in TOUCHY or isinstance(node.ctx, ast.Del)):
            return True
        if isinstance(node, ast.Global):
            return True
    return False


def parse(source, number):
    """The syntax tree of a cell, or the error; IPython's magics and shell lines are left out."""
    try:
        return _tree(source, number)
    except BaseException as error:
        try:
            return _tree(_without_magics(source), number)
        except BaseException:
            return error.with_traceback(None)


def _tree(source, number):
    return compile(
        source, f"<cell {number}>", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )


def _without_magics(source):
    lines = source.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].startswith("%%"):
        if lines[first].split()[0] not in PARSEABLE:
            return ""
        lines[first] = ""
    return "\n".join(re.sub(r"^(\s*+)([%!?].*|[\w.]+\?{1,2}|[\w., ]+=\s*[%!].*)$", r"\1pass", line) for line in lines)


class _Quiet:
    """Stands for IPython's shell: whatever is asked of it, nothing happens."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class _Forbidden:
    """An import finder that refuses some packages; where there are namespaces their files are not there either."""

    def __init__(self, names):
        self.names = frozenset(names)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name.partition('.')[0]} may not be used in this assignment", name=name)


def _forbid(names):
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]
    if names:
        sys.meta_path.insert(0, _Forbidden(names))


def main():
    """Serve on standard input and output: how a worker starts where processes cannot be forked (Windows, macOS)."""
    requests = open(os.dup(0), "rb")  # noqa: SIM115  they stay open
    responses = open(os.dup(1), "wb")  # noqa: SIM115
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.dup2(2, 1)
    for name in sys.argv[2:]:
        __import__(name)
    serve(requests, responses, unavailable=[name for name in sys.argv[1].split(",") if name])


if __name__ == "__main__":
    main()
