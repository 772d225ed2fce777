"""`course-cnn doctor`: look at the machine and say what is missing and what to do.

Whatever a package does when it is imported, the doctor reports it in a line: nothing here is imported before it is
needed, and nothing beyond the standard library is needed.
"""

import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from importlib import metadata
from pathlib import Path

import course_cnn

GB = 1e9


def run(arguments):
    """Print the report, as JSON with `arguments.json`; return the exit code."""
    report = examine()
    print(json.dumps(report, indent=1)) if arguments.json else _print(report)
    return 0 if report["ok"] else 1


def examine():
    """Look at the machine.

    Returns:
        dict of plain data, as `course-cnn doctor --json` prints it: `ok`, whether the course can run; `python`,
        `packages`, `extras`, `tensorflow`, `hardware`, `gpu`, `data`; and `todo`, a list of sentences.
    """
    todo = []  # (required?, sentence)
    packages, extras = _packages(todo)
    report = {
        "course_cnn": course_cnn.__version__,
        "python": _python(todo),
        "packages": packages,
        "extras": extras,
        "tensorflow": (tensorflow := _tensorflow(todo)),
        "tensorflow_hub": _hub(todo) if tensorflow["works"] else {"works": False, "why": "TensorFlow does not import"},
        "hardware": _hardware(todo),
        "gpu": _gpu(todo, tensorflow),
        "data": _data(todo),
    }
    report["ok"] = not any(required for required, _ in todo)
    report["todo"] = [sentence for _, sentence in sorted(todo, key=lambda item: not item[0])]  # required ones first
    return report


def _python(todo):
    version = platform.python_version()
    try:
        wanted = metadata.metadata("course-cnn")["Requires-Python"]
    except metadata.PackageNotFoundError:
        wanted = None
    ok = _satisfies(version, wanted)
    if ok is False:
        todo.append((True, f"Use a Python {wanted}; this one is {version}."))
    return {"version": version, "wanted": wanted, "ok": ok, "platform": platform.platform(), "path": sys.executable}


def _packages(todo):
    """Compare what is installed with what the project declares: ([required packages], {extra: [packages]})."""
    try:
        from packaging.requirements import Requirement

        declared = [Requirement(line) for line in metadata.requires("course-cnn") or ()]
    except metadata.PackageNotFoundError:  # an ImportError too, hence first
        todo.append((True, "Install the course, in its folder: pip install -e ."))
        return [], {}
    except ImportError:
        todo.append(
            (True, "Install what the course needs: pip install -e . (packaging, which reads the list, is gone).")
        )
        return [], {}

    def look(wanted):
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            version = None
        ok = version is not None and wanted.specifier.contains(version, prereleases=True)
        wanted_range = ",".join(sorted(map(str, wanted.specifier), reverse=True))  # >= before <
        return {"name": wanted.name, "version": version, "wanted": wanted_range, "ok": ok}

    def belongs(wanted, extra):
        return (not wanted.marker or wanted.marker.evaluate({"extra": extra})) and wanted.name != "course-cnn"

    core = [look(wanted) for wanted in declared if belongs(wanted, "")]
    extras = {
        extra: [look(wanted) for wanted in declared if belongs(wanted, extra) and not belongs(wanted, "")]
        for extra in metadata.metadata("course-cnn").get_all("Provides-Extra") or ()
        if extra in ("hub", "lab")  # what lectures use; grade and dev are for other people, gpu has its own section
    }
    bad = [package for package in core if not package["ok"]]
    if bad:
        listed = ", ".join(f"{p['name']} {p['wanted']} (here: {p['version'] or 'missing'})" for p in bad)
        todo.append((True, f"Install what is missing or outside its range, with pip install -e . : {listed}."))
    if any(not package["ok"] for package in extras.get("lab", ())):
        todo.append((False, 'To open the lectures in JupyterLab: pip install -e ".[lab]".'))
    return core, extras


def _tensorflow(todo):
    """Import TensorFlow and Keras and say whether that works."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")  # warnings too: they say which of CUDA's libraries is missing
    try:
        from course_cnn._tensorflow import STARTUP_LOG, tf

        import keras  # isort: skip

        return {
            "works": True, "version": tf.__version__, "keras": keras.__version__, "backend": keras.config.backend(),
            "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
            "cuda_build": tf.test.is_built_with_cuda(), "log": STARTUP_LOG,
        }  # fmt: skip
    except Exception as error:  # a broken binary raises anything
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        todo.append((True, f"TensorFlow or Keras does not import ({why}). Install them anew: pip install -e ."))
        return {"works": False, "why": why, "gpus": [], "log": ""}


def _hub(todo):
    """Import tensorflow_hub, which only the lecture on transfer learning uses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources announces its own end
            hub = importlib.import_module("tensorflow_hub")
        return {"works": True, "version": hub.__version__}
    except ModuleNotFoundError as error:
        if error.name == "pkg_resources":
            why = "it needs pkg_resources, which setuptools has no longer from version 82 on"
            todo.append((False, 'For TensorFlow Hub: pip install "setuptools<81".'))
        else:
            why = f"{error.name} is not installed"
            todo.append((False, 'For TensorFlow Hub (transfer learning): pip install -e ".[hub]".'))
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        todo.append((False, 'TensorFlow Hub is broken here; install it anew: pip install -e ".[hub]".'))
    return {"works": False, "why": why}


def _hardware(todo):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = shutil.disk_usage(Path.home() if Path.home().exists() else Path.cwd()).free
    if free < 2 * GB:
        todo.append((False, f"Free some disk: {free / GB:.1f} GB are left in your home, downloads need up to 1 GB."))
    return {"cores": cores, "memory": _memory(), "free_disk": free}


def _memory():
    """Return the memory this process may use, in bytes, or None where the system does not say (Windows)."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):  # containers
        try:
            sizes.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return min(sizes)


def _gpu(todo, tensorflow):
    """Say whether TensorFlow has a GPU, and if not, why: the first reason that applies, from the outside in."""
    if tensorflow["gpus"]:
        return {"works": True, "devices": tensorflow["gpus"], "why": None}
    why, remedy = _no_gpu(tensorflow)
    if remedy:
        todo.append((False, remedy))
    return {"works": False, "devices": [], "why": why}


def _no_gpu(tensorflow):
    """Return (why there is no GPU, what to do or None)."""
    if not tensorflow["works"]:
        return "TensorFlow does not import", None
    if platform.system() == "Darwin":
        return "TensorFlow has no CUDA on a Mac; the lectures run on the CPU", None
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU", "To use the GPU: unset CUDA_VISIBLE_DEVICES."
    driver, why = _driver()
    if not driver:
        return why, None
    if platform.system() == "Windows":
        why = f"{driver}, but TensorFlow has had no GPU builds for native Windows since 2.11"
        return why, "To use the GPU on Windows: run the course in WSL2 (tensorflow.org/install/pip)."
    if not tensorflow["cuda_build"]:
        why = f"{driver}, but this TensorFlow is built without CUDA"
        return why, 'To use the GPU: pip uninstall tensorflow-cpu, then pip install -e ".[gpu]".'
    said = [line for line in tensorflow["log"].splitlines() if re.search("cuda|gpu|dlopen", line, re.IGNORECASE)]
    said = re.sub(r"^.*?\] ", "", said[-1]).strip() if said else "nothing"
    why = f"{driver}, but TensorFlow does not find CUDA's libraries; it says: {said}"
    return why, 'To use the GPU: pip install -e ".[gpu]".'


def _driver():
    """Ask for NVIDIA's driver: (what answers, None), or (None, why not)."""
    command = shutil.which("nvidia-smi")
    if not command:
        return None, "no NVIDIA driver found (there is no nvidia-smi)"
    try:
        question = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        answer = subprocess.run(question, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"the NVIDIA driver does not answer (nvidia-smi: {error})"
    said = (answer.stdout or answer.stderr).strip().splitlines() or ["nothing"]
    if answer.returncode:
        return None, f"the NVIDIA driver does not work (nvidia-smi: {said[0]})"
    return f"there is a GPU and a driver ({said[0]})", None


def _data(todo):
    folders = {name: os.environ.get(name) for name in ("COURSE_CNN_DATA", "KERAS_HOME")}
    try:
        from course_cnn import datasets

        sets = [
            {"name": one.name, "state": one.state, "where": one.where, "size": one.size} for one in datasets.status()
        ]
    except Exception as error:
        return {**folders, "sets": [], "why": f"{type(error).__name__}: {error}"}
    if missing := [one for one in sets if one["state"] == "missing"]:
        size = sum(one["size"] for one in missing) / 1e6
        names = ", ".join(one["name"] for one in missing)
        todo.append(
            (False, f"{names} are not here; each is fetched when first asked for ({size:,.0f} MB in all). Without a "
             "network, put the files in a folder and name it in COURSE_CNN_DATA. The embedded sets need none of this.")
        )  # fmt: skip
    return {**folders, "sets": sets}


def _satisfies(version, wanted):
    """Whether a version is in a range, None if that cannot be told."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return None
    return SpecifierSet(wanted).contains(version, prereleases=True) if wanted else None


def _print(report):
    """Print the report for people: 80 columns, coloured in a terminal, plain in a file."""
    python, hardware, gpu, hub = report["python"], report["hardware"], report["gpu"], report["tensorflow_hub"]
    tensorflow, data = report["tensorflow"], report["data"]
    works = tensorflow["works"]
    memory = f"{hardware['memory'] / GB:.1f} GB" if hardware["memory"] else "not known"
    sections = {
        f"course-cnn {report['course_cnn']}": [
            (python["ok"] is not False, "Python", f"{python['version']} (course: {python['wanted'] or 'not known'})"),
            (None, "", python["path"]),
            (None, "System", python["platform"]),
        ],
        "Packages": [
            *((p["ok"], p["name"], f"{p['version'] or 'missing'} (course: {p['wanted']})") for p in report["packages"]),
            *(
                (all(p["ok"] for p in packages) or None, f"extra [{extra}]", _listed(packages))
                for extra, packages in report["extras"].items()
            ),
        ],
        "TensorFlow": [
            (works, "imports", _backend(tensorflow)),
            (hub["works"] or None, "TensorFlow Hub", hub["version"] if hub["works"] else f"no: {hub['why']}"),
            (gpu["works"] or None, "GPU", ", ".join(gpu["devices"]) if gpu["works"] else f"no: {gpu['why']}"),
        ],
        "Machine": [
            (None, "cores", str(hardware["cores"])),
            (None, "memory", memory),
            (None, "free disk", f"{hardware['free_disk'] / GB:.1f} GB"),
        ],
        "Data sets": [
            *((None, name, data[name] or "not set") for name in ("COURSE_CNN_DATA", "KERAS_HOME")),
            *((one["state"] != "missing" or None, one["name"], _place(one)) for one in data["sets"]),
            *([(None, "not known", data["why"])] if "why" in data else []),
        ],
    }  # fmt: skip
    write = _writer()
    wrap = textwrap.TextWrapper(80, break_on_hyphens=False, break_long_words=False)  # addresses stay whole
    for title, lines in sections.items():
        write(title, "bold")
        for ok, name, text in lines:
            mark, style = {True: ("ok", "green"), False: ("NO", "bold red"), None: ("", "")}[ok]
            wrap.initial_indent, wrap.subsequent_indent = f"  {mark:<3}{name:<17}  ", " " * 24
            write(wrap.fill(text), style)
        write("")
    write("What to do", "bold")
    wrap.initial_indent, wrap.subsequent_indent = "  - ", "    "
    for sentence in report["todo"] or ["Nothing."]:
        write(wrap.fill(sentence))
    write("\nThe course can run." if report["ok"] else "\nThe course cannot run yet.", "bold")


def _backend(tensorflow):
    return f"Keras {tensorflow['keras']} on {tensorflow['backend']}" if tensorflow["works"] else tensorflow["why"]


def _listed(packages):
    bad = [f"{p['name']}{p['wanted']} (here: {p['version'] or 'missing'})" for p in packages if not p["ok"]]
    return ("complete" if not bad else f"optional, wants {', '.join(bad)}") if packages else "nothing declared"


def _place(one):
    if one["state"] == "missing":
        return f"not here, {one['size'] / 1e6:,.0f} MB from {one['where']}"
    return f"{one['state']}, {one['where']}"


def _writer():
    """Return write(text, style): rich where it is installed, print where it is not."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return lambda text, style="": print(text)
    console = Console(soft_wrap=True, highlight=False)
    return lambda text, style="": console.print(Text(text, style=style))
