# ruff: noqa: E501  the cells of a notebook, as they were handed in
"""Hostile, broken and merely odd submissions of the tiny assignment, each with its fair result.

A fair result is the points of each question, or a word of the reason why there are none. The rule: what works is worth
its points, whatever else the notebook does; what does not work is worth nothing, whatever it claims; and damage stays
in the question whose cell does it.
"""

import codecs
import io
import json
import os
import zipfile
from dataclasses import dataclass, field

from adversarial_assignment import FULL, HONEST, KERAS_FULL, KERAS_HONEST, code, notebook, text

NOTHING = dict.fromkeys(FULL, 0.0)


def but(**scores):
    """Full marks but for these."""
    return FULL | scores


def only(**scores):
    """Nothing but these."""
    return NOTHING | scores


@dataclass(frozen=True)
class Case:
    """One submission.

    Attributes:
        name: the student's name.
        attack: the class it belongs to.
        fair: {question: points}, or a word of the reason why it cannot be graded.
        files: {path in the folder of submissions: bytes or callable (path) that makes it}.
        needs: layers without which it would harm the machine that runs the tests, or could not be fair.
        never: texts that must not be in its result.
        costly: it takes all the processors it can get; on a busy machine that costs its own time, so that `fair` is
            the most it can have. What it costs others is nothing, on any machine.
    """

    name: str
    attack: str
    fair: object
    files: dict
    needs: tuple = ()
    never: tuple = ()
    cells: list = field(default_factory=list)
    costly: bool = False


CASES = []


def add_case(attack, name, fair, *cells, needs=(), never=(), costly=False):
    """A notebook of these cells, in `NAME/tiny.ipynb`."""
    files = {f"{name}/tiny.ipynb": text(*cells).encode()}
    CASES.append(Case(name, attack, fair, files, tuple(needs), tuple(never), list(cells), costly))


def add_file(attack, name, fair, files):
    """A submission that is made of other files; a key without a folder is a file of the class folder itself."""
    if not isinstance(files, dict):
        files = {f"{name}/tiny.ipynb": files}
    CASES.append(Case(name, attack, fair, files))


def first(source):
    """The honest notebook with a cell before all others."""
    return [source, *HONEST.values()]


def last(source):
    """The honest notebook with a cell behind all others."""
    return [*HONEST.values(), source]


def instead(**cells):
    """The honest notebook with the cells of some questions replaced."""
    return [*(HONEST | cells).values()]


# The ways of a student's process to write frames of its own to the grader.
FORGE = """\
import fcntl, json, os, stat, struct

def written(tree, body=b"", lengths=None):
    words = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return struct.pack(">II", *(lengths or (len(words), len(body)))) + words + body

def plain(**items):
    return {"dict": [[key, value] for key, value in items.items()]}

def way():
    for number in range(3, 64):
        try:
            mode, flags = os.fstat(number).st_mode, fcntl.fcntl(number, fcntl.F_GETFL)
        except OSError:
            continue
        if stat.S_ISFIFO(mode) and flags & 3 == os.O_WRONLY:
            return number

def send(*arguments, **options):
    os.write(way(), written(*arguments, **options))
"""

# --- hang ------------------------------------------------------------------------------------------------------------

hang = "hang"
add_case(hang, "loop_in_first_cell", FULL, *first("while True:\n    pass"))
add_case(hang, "loop_in_last_cell", FULL, *last("while True:\n    pass"))
add_case(hang, "sleep_for_ever", FULL, *first("import time\ntime.sleep(1e9)"))
add_case(hang, "loop_in_function", but(add=0), *instead(add="def add(a, b):\n    while True:\n        pass"))
add_case(
    hang, "loop_in_every_function", only(size=2), *[f"def {name}(*args, **kwargs):\n    while True:\n        pass"
                                                    for name in ("add", "slide", "middle")], HONEST["size"],
)  # fmt: skip
add_case(
    hang, "loop_in_eq", but(add=0),
    *instead(add="class Odd:\n    def __eq__(self, other):\n        while True:\n            pass\n"
                 "    __float__ = __int__ = __array__ = __len__ = __bool__ = __hash__ = lambda s: s == 1\n"
                 "def add(a, b):\n    return Odd()"),
)  # fmt: skip
add_case(
    hang, "loop_in_del", but(add=0),
    *instead(add="class Odd:\n    def __del__(self):\n        while True:\n            pass\n"
                 "def add(a, b):\n    Odd()\n    return a + b"),
)  # fmt: skip
add_case(
    hang, "loop_in_atexit", FULL,
    *first("import atexit, time\n@atexit.register\ndef stay():\n    while True:\n        time.sleep(1)"),
)  # fmt: skip
add_case(
    hang, "loop_in_str_of_exception", FULL,
    *first("class Odd(Exception):\n    def __str__(self):\n        while True:\n            pass\n"
           "    __repr__ = __str__\nraise Odd()"),
)  # fmt: skip
add_case(
    hang, "loop_in_str_of_answers_exception", but(middle=0),
    *instead(middle="class Odd(Exception):\n    def __str__(self):\n        while True:\n            pass\n"
                    "def middle(values):\n    raise Odd()"),
)  # fmt: skip
add_case(
    hang, "busy_threads", FULL,
    *last("import threading\ndef turn():\n    while True:\n        pass\n"
          "for i in range(2):\n    threading.Thread(target=turn, daemon=True).start()"),
)  # fmt: skip
add_case(
    hang, "thread_that_is_waited_for", FULL,
    *last("import threading, time\nthreading.Thread(target=time.sleep, args=[1e6]).start()"),
)  # fmt: skip
add_case(hang, "deadlock", FULL, *first("import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"))
add_case(hang, "two_hundred_hanging_cells", FULL, *["import time\ntime.sleep(1e6)"] * 200, *HONEST.values())
add_case(
    hang, "two_hundred_hanging_cells_of_a_question", but(add=0),
    *["import time\ndef add(a, b):\n    return a + b\ntime.sleep(1e6)"] * 200, *list(HONEST.values())[1:],
)  # fmt: skip
add_case(
    hang, "hanging_cells_of_a_question_and_damage", but(add=0),
    *["import time\ndef add(a, b):\n    return a + b\ntime.sleep(1e6)"] * 200, "import numpy\nnumpy.array = None",
    *list(HONEST.values())[1:],
)  # fmt: skip
add_case(hang, "stops_itself", FULL, *first("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"))
add_case(hang, "asks_for_input", FULL, *first("name = input('Your name? ')"))
add_case(hang, "asks_for_password", FULL, *first("import getpass\ngetpass.getpass()"))
add_case(hang, "awaits_for_ever", FULL, *first("import asyncio\nawait asyncio.sleep(1e9)"))
add_case(
    hang, "loop_inside_c", but(middle=0),
    *instead(middle="import re\ndef middle(values):\n    return re.match('(a+)+$', 'a' * 60 + 'b')"),
)  # fmt: skip
add_case(
    hang, "catches_everything", FULL,
    *first("import signal\nfor number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
           "    except (OSError, ValueError):\n        pass\n"
           "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"),
)  # fmt: skip
add_case(
    hang, "hangs_in_reading_what_is_asked", but(add=0),
    *instead(add="import os\ndef add(a, b):\n    for number in range(64):\n        try:\n"
                 "            while os.read(number, 65536):\n                pass\n        except OSError:\n            pass"),
)  # fmt: skip
add_case(hang, "slow_to_parse", FULL, *first(" " * 30_000 + "x ?"))
LONG = (
    "f'" + "".join(f"{{a{i}}}" for i in range(100_000)) + "'"
)  # Python 3.11 takes 12 s to parse it; later ones do not
add_case(hang, "hangs_in_parsing", FULL, *first(f"x = {LONG}"))
add_case(hang, "hangs_in_parsing_an_answer", but(add=0), *instead(add=f"add = {LONG}"))

# --- crash -----------------------------------------------------------------------------------------------------------

crash = "crash"
add_case(crash, "exits_in_cell", FULL, *first("import os\nos._exit(0)"))
add_case(crash, "exits_in_last_cell", FULL, *last("import os\nos._exit(1)"))
add_case(crash, "exits_in_function", but(add=0), *instead(add="import os\ndef add(a, b):\n    os._exit(0)"))
add_case(crash, "sys_exit_in_cell", FULL, *first("import sys\nsys.exit('done')"))
add_case(crash, "sys_exit_in_function", but(add=0), *instead(add="import sys\ndef add(a, b):\n    sys.exit(a + b)"))
add_case(
    crash, "quits_and_interrupts", FULL, "quit()", "raise KeyboardInterrupt", "raise GeneratorExit", *HONEST.values()
)
add_case(crash, "aborts", FULL, *first("import os\nos.abort()"))
add_case(crash, "kills_itself", FULL, *first("import os\nos.kill(os.getpid(), 9)"))
add_case(crash, "kills_itself_in_function", but(slide=0),
         *instead(slide="import os\ndef slide(x, kernel, stride=1):\n    os.kill(os.getpid(), 9)"))  # fmt: skip
add_case(crash, "segfault", FULL, *first("import ctypes\nctypes.string_at(1)"))
add_case(
    crash, "deep_recursion", but(add=0),
    *instead(add="import sys\nsys.setrecursionlimit(10**9)\ndef add(a, b):\n    return repr_of(a)\n"
                 "class Deep:\n    def __repr__(self):\n        return repr(self)\ndef repr_of(a):\n    return repr(Deep())"),
)  # fmt: skip
add_case(crash, "recursion_in_cell", FULL, *first("def again():\n    again()\nagain()"))
add_case(crash, "becomes_another_program", FULL, *first("import os\nos.execv('/bin/sleep', ['sleep', '86123'])"))
add_case(crash, "closes_everything", FULL, *first("import os\nos.closerange(0, 1024)"))
add_case(
    crash, "exits_a_little_later", FULL, *first("import os, threading\nthreading.Timer(0.05, os._exit, [0]).start()")
)
add_case(crash, "alarm_a_little_later", FULL, *first("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.05)"))
add_case(
    crash, "alarm_that_raises", FULL,
    *first("import signal\ndef ring(*args):\n    raise RuntimeError('rings')\nsignal.signal(signal.SIGALRM, ring)\n"
           "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)"),
)  # fmt: skip
add_case(
    crash, "alarm_by_another_name", FULL,
    *first("import _signal as other\nring = getattr(other, 'setit' + 'imer')\nring(0, 0.05)"),
)  # fmt: skip
add_case(
    crash, "exception_without_a_name", FULL,
    *first("class Kind(type):\n    @property\n    def __name__(cls):\n        return 5\n"
           "class Odd(Exception, metaclass=Kind):\n    pass\nraise Odd()"),
)  # fmt: skip
add_case(crash, "exception_with_odd_traceback", FULL,
         *first("class Odd(Exception):\n    __traceback__ = 5\nraise Odd()"))  # fmt: skip
add_case(
    crash, "exception_with_hostile_text", but(add=0),
    *instead(add="def add(a, b):\n    raise ValueError('\\x1b]0;x\\x07\\x1b[2J</script><script>alert(1)</script>' + chr(0xD800) * 9)"),
    never=("\x1b", "\ud800"),
)  # fmt: skip
add_case(
    crash,
    "exception_of_a_gigabyte",
    but(add=0),
    *instead(add="def add(a, b):\n    raise ValueError('x' * 200_000_000)"),
)
add_case(crash, "hundred_thousand_errors", FULL, *["raise ValueError('x' * 10000)"] * 500, *HONEST.values())

# --- memory ----------------------------------------------------------------------------------------------------------

memory = "memory"
add_case(memory, "list_bomb", FULL, *first("hoard = []\nwhile True:\n    hoard.append(bytearray(10**6))"))
add_case(memory, "array_bomb", FULL, *first("import numpy as np\nhoard = [np.ones(10**7) for i in range(1000)]"))
add_case(memory, "text_bomb", but(add=0), *instead(add="def add(a, b):\n    return 'x' * 10**11"))
add_case(memory, "number_bomb", but(size=0), *instead(size="ten = 10\nsize = ten ** ten ** ten"))
add_case(
    memory, "bomb_in_children", FULL,
    *first("import os, time\nfor i in range(12):\n    if os.fork() == 0:\n        hoard = []\n        try:\n"
           "            while True:\n                hoard.append(b'x' * 10**6)\n        finally:\n            time.sleep(30)\n"
           "            os._exit(0)\ntime.sleep(30)"),
)  # fmt: skip
add_case(
    memory, "fills_its_folders", FULL,
    *first("import os\nfor place in ('.', '/tmp', '/dev/shm', '/var/tmp', os.path.expanduser('~')):\n    try:\n"
           "        for i in range(100):\n            with open(f'{place}/adversarial-{i}', 'wb') as file:\n"
           "                for k in range(64):\n                    file.write(bytes(10**6))\n    except OSError as error:\n"
           "        print(place, error)"),
    needs=("namespaces",),
)  # fmt: skip
add_case(memory, "one_large_file", FULL,
         *first("with open('adversarial-large', 'wb') as file:\n    while True:\n        file.write(bytes(10**6))"))  # fmt: skip
add_case(memory, "thousands_of_files", FULL,
         *first("for i in range(20_000):\n    open(f'adversarial-{i}', 'w').close()"), needs=("namespaces",))  # fmt: skip
add_case(memory, "opens_all_it_can", FULL, *first("held = []\nwhile True:\n    held.append(open('/dev/null'))"))
add_case(
    memory, "memory_that_is_a_file", FULL,
    *first("import os\nheld = []\nwhile len(held) < 7:\n    held.append(os.memfd_create('x'))\n"
           "    for i in range(60):\n        os.write(held[-1], bytes(10**6))\nprint('has', 'half a gigabyte')"),
    never=("has half a gigabyte",),
)  # fmt: skip
add_case(
    memory, "memory_of_system_v", FULL,
    *first("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmat.restype = ctypes.c_void_p\n"
           "libc.shmdt.argtypes = [ctypes.c_void_p]\n"
           "for i in range(5):\n    where = libc.shmat(libc.shmget(0, ctypes.c_size_t(100_000_000), 0o1600), None, 0)\n"
           "    if where == 2**64 - 1:\n        raise OSError\n    ctypes.memset(where, 1, 100_000_000)\n"
           "    libc.shmdt(where)\nprint('has', 'it all')"),
    never=("has it all",),
)  # fmt: skip
add_case(
    memory, "memory_that_is_shared", FULL,
    *first("import mmap, os, time\nfor i in range(8):\n    if os.fork() == 0:\n        held = mmap.mmap(-1, 200_000_000)\n"
           "        for k in range(200):\n            held.write(bytes(10**6))\n        time.sleep(30)\ntime.sleep(1)\n"
           "print('has', 'shared it')"),
    never=("has shared it",),
)  # fmt: skip
add_case(
    memory, "own_mounts", FULL,
    *first("import ctypes\nlibc = ctypes.CDLL(None)\nif libc.unshare(0x10020000) == 0:\n"
           "    print('new', 'rights', libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, b'size=10g'))"),
    never=("new rights",),
)  # fmt: skip
add_case(memory, "large_answer", but(slide=0),
         *instead(slide="import numpy as np\ndef slide(x, kernel, stride=1):\n    return np.zeros(12_500_000)"))  # fmt: skip
add_case(memory, "large_literal", FULL, *first("data = '''" + "0.125, " * 150_000 + "'''"))

# --- output ----------------------------------------------------------------------------------------------------------

output = "output flood"
add_case(output, "prints_200_megabytes", FULL, *last("for i in range(200):\n    print('x' * 10**6)"))
add_case(output, "prints_without_newline", FULL, *last("for i in range(100_000):\n    print('x' * 100, end='')"))
add_case(output, "writes_to_descriptor_1", FULL,
         *last("import os\nfor i in range(1000):\n    os.write(1, b'x' * 10**5)\n    os.write(2, b'y' * 10**5)"))  # fmt: skip
add_case(output, "floods_stderr", FULL,
         *last("import sys\nfor i in range(200_000):\n    print('warning: ' + 'y' * 100, file=sys.stderr)"))  # fmt: skip
add_case(
    output, "floods_in_a_thread", FULL,
    *first("import threading\ndef flood():\n    while True:\n        print('x' * 10_000)\n"
           "threading.Thread(target=flood, daemon=True).start()"),
)  # fmt: skip
add_case(
    output, "floods_for_ever", but(add=0),
    *instead(add="def add(a, b):\n    while True:\n        print('x' * 10_000)"),
)  # fmt: skip
add_case(
    output, "noise_in_honest_functions", FULL,
    *instead(add="import logging, sys, warnings\ndef add(a, b):\n    print('adding', a, b)\n    print('!', file=sys.stderr)\n"
                 "    warnings.warn('slow')\n    logging.error('E0000 fork of a log')\n    return a + b"),
)  # fmt: skip
add_case(output, "hostile_text", FULL,
         *first("print('\\x1b[2J\\x1b]0;owned\\x07</script><script>alert(1)</script>\\u202e', chr(0xD800), '\\0')\n"
                "import os\nos.write(1, bytes(range(256)) * 100)"), never=("\x1b", "\ud800", "\u202e"))  # fmt: skip
add_case(output, "closes_stdout", FULL, *first("import sys\nsys.stdout.close()\nsys.stderr = None"))
add_case(output, "replaces_stdout", FULL, *first("import sys\nsys.stdout = sys.stderr = 5\nsys.stdin = None"))

# --- processes -------------------------------------------------------------------------------------------------------

processes = "processes left behind"
add_case(processes, "leaves_a_process", FULL, *first("import subprocess\nsubprocess.Popen(['sleep', '86123'])"))
add_case(
    processes, "leaves_a_daemon", FULL,
    *first("import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.setsid()\n"
           "        os.closerange(0, 1024)\n        os.execve('/bin/sleep', ['sleep', '86124'], {})\n    os._exit(0)\nos.wait()"),
)  # fmt: skip
add_case(
    processes, "leaves_what_ignores_signals", FULL,
    *first("import subprocess\nsubprocess.Popen(['sh', '-c', \"trap '' TERM INT HUP; sleep 86125; sleep 86125\"], "
           "start_new_session=True)\nsubprocess.Popen('nohup sleep 86126 &', shell=True)"),
)  # fmt: skip
add_case(
    processes, "leaves_one_at_every_call", FULL,
    *instead(add="import subprocess\ndef add(a, b):\n    subprocess.Popen(['sleep', '86127'])\n    return a + b"),
)  # fmt: skip
add_case(processes, "fork_bomb", FULL, *first("import os\nwhile True:\n    os.fork()"), costly=True)
add_case(processes, "fork_bomb_that_goes_on", FULL,
         *first("import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"), costly=True)  # fmt: skip
add_case(processes, "thread_bomb", FULL,
         *first("import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=[1e6], daemon=True).start()"))  # fmt: skip
add_case(processes, "forks_and_goes_on_twice", FULL, *first("import os\nos.fork()"))
add_case(processes, "pool_of_processes", FULL,
         *first("import multiprocessing\npool = multiprocessing.get_context('fork').Pool(2)\nprint(pool.map(abs, [-1, 2]))"))  # fmt: skip

# --- files of others -------------------------------------------------------------------------------------------------

others = "touching others"
add_case(
    others, "overwrites_another_notebook", FULL,
    *first("import glob, os\nfor path in glob.glob('{HANDED_IN}/**/*', recursive=True) + ['{HANDED_IN}/new.ipynb']:\n"
           "    try:\n        open(path, 'w').write('{}')\n    except OSError as error:\n        print(error)"),
)  # fmt: skip
add_case(
    others, "writes_results", FULL,
    *first("import os\nfor path in ('{OUT}/grades.csv', '{OUT}/writes_results/results.json', '{OUT}/.course-cnn.json'):\n"
           "    try:\n        os.makedirs(os.path.dirname(path), exist_ok=True)\n        open(path, 'w').write('1000')\n"
           "    except OSError as error:\n        print(error)"),
    needs=("namespaces",),
)  # fmt: skip
add_case(
    others, "changes_the_course", FULL,
    *first("import course_cnn, numpy, os\nfor path in (course_cnn.__file__, numpy.__file__, os.__file__, '{ASSIGNMENT}/checks.py'):\n"
           "    for path in (path, os.path.join(os.path.dirname(path), 'adversarial.py')):\n        try:\n"
           "            open(path, 'a').write('# owned')\n        except OSError as error:\n            print(error)\n"
           "        try:\n            os.unlink(path)\n        except OSError as error:\n            print(error)"),
    needs=("user",),
)  # fmt: skip
add_case(
    others, "removes_everything", FULL,
    *first("import shutil\nfor path in ('/tmp', '/home', '/usr', '/'):\n    shutil.rmtree(path, ignore_errors=True)"),
    needs=("namespaces",),
)  # fmt: skip
add_case(
    others, "leaves_traps_in_its_folder", FULL,
    *first("import os, sys\nfor name in ('numpy', 'json', 'struct', 'sitecustomize', 'course_cnn'):\n"
           "    open(f'{name}.py', 'w').write('raise SystemExit')\nsys.path.insert(0, os.getcwd())"),
)  # fmt: skip
add_case(
    others, "leaves_files", FULL,
    *first("import os\nfor place in ('/tmp', '/var/tmp', '/dev/shm', os.path.expanduser('~'), '/run', '/'):\n    try:\n"
           "        open(f'{place}/adversarial-left', 'w').write('x')\n        os.makedirs(f'{place}/adversarial-folder/deep')\n"
           "    except OSError as error:\n        print(error)"),
    needs=("user",),
)  # fmt: skip
add_case(others, "files_nobody_can_delete", FULL,
         *first("import os\nos.makedirs('locked/deep')\nopen('locked/deep/file', 'w').close()\nos.chmod('locked/deep', 0)\n"
                "os.chmod('locked', 0)\nos.chdir('/')"))  # fmt: skip
add_case(
    others, "another_notebook_as_answer", NOTHING,
    "import glob, json\ndef taken(name):\n"
    "    for path in sorted(glob.glob('{HANDED_IN}/*/*.ipynb')):\n        try:\n"
    "            for cell in json.load(open(path))['cells']:\n                if f'def {name}(' in cell['source']:\n"
    "                    space = {}\n                    exec(cell['source'], space)\n                    return space[name]\n"
    "        except Exception:\n            pass\n",
    "add = taken('add')", "slide = taken('slide')", "middle = taken('middle')",
    needs=("namespaces",),
)  # fmt: skip

# --- killing the grader ----------------------------------------------------------------------------------------------

kill = "killing the grader"
add_case(
    kill,
    "kills_its_parent",
    FULL,
    *first("import os\nos.kill(os.getppid(), 9)\nos.kill(os.getppid(), 15)"),
    needs=("user", "namespaces"),
)
add_case(kill, "kills_all", FULL, *first("import os\nos.kill(-1, 9)"), needs=("namespaces",))
add_case(
    kill, "kills_every_number", FULL,
    *first("import os\nfor number in (*range(1, os.getpid()), *range(os.getpid() + 1, 70_000)):\n    for sent in (15, 9):\n"
           "        try:\n            os.kill(number, sent)\n        except OSError:\n            pass"),
    needs=("namespaces",),
)  # fmt: skip
add_case(kill, "kills_its_group", FULL, *first("import os\nos.killpg(0, 9)"))
add_case(kill, "traces_its_parent", FULL,
         *first("import ctypes, os\nlibc = ctypes.CDLL(None)\nfor number in (os.getppid(), 1):\n"
                "    if libc.ptrace(16, number, 0, 0) == 0:\n        print('traced', 'it')"), never=("traced it",))  # fmt: skip
add_case(kill, "lowers_priority_and_limits", FULL,
         *last("import os, resource\nos.nice(19)\nresource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))"))  # fmt: skip
add_case(kill, "flood_of_frames", FULL, *first(FORGE + "while True:\n    send(plain(cell=1))"))
add_case(kill, "flood_of_frames_from_children", FULL,
         *first(FORGE + "many = written(plain(x=1)) * 100\nfor i in range(4):\n    os.fork()\nwhile True:\n    os.write(way(), many)"))  # fmt: skip
add_case(
    kill, "frame_that_grows", but(add=0),
    *instead(add=FORGE + "def add(a, b):\n    view = {'array': ['|u1', [500_000], 0]}\n"
                         "    send(plain(id=2, value=[view] * 4000), b'x' * 500_000)"),
)  # fmt: skip
add_case(
    kill, "frame_of_many_lists", but(add=0),
    *instead(add=FORGE + "def add(a, b):\n    send(b'{\"dict\":[[\"id\",2],[\"value\",[' + b'[],' * 300_000 + b'[]]]]}')"),
)  # fmt: skip
add_case(
    kill, "queue_of_many_lists", FULL,
    *first(FORGE + "for i in range(200):\n    send(b'{\"dict\":[[\"x\",[' + b'[],' * 300_000 + b'[]]]]}')"),
)  # fmt: skip
add_case(kill, "frame_nested_deep", but(add=0),
         *instead(add=FORGE + "def add(a, b):\n    send(b'[' * 900_000)"))  # fmt: skip
add_case(kill, "frame_with_a_forged_model", FULL,
         *first(FORGE + "send(plain(id=1, value=plain(**{'keras model': 0})))"))  # fmt: skip
add_case(kill, "says_it_is_finished", FULL, *first(FORGE + "send(plain(id=1, value=[]))"))
add_case(kill, "says_it_is_in_another_cell", FULL,
         *first(FORGE + "import time\nsend(plain(cell=3))\ntime.sleep(1e6)"))  # fmt: skip
add_case(kill, "says_it_goes_on", FULL,
         *first(FORGE + "import time\nfor i in range(1000):\n    send(plain(cell=1, plan=plain(slices=plain(), touchy=[])))\n"
                "    time.sleep(0.5)"))  # fmt: skip
add_case(
    kill, "model_without_bounds", but(add=0),
    *instead(add=FORGE + "def add(a, b):\n    send(plain(id=2, value=plain(**{'keras model': 0, 'layers': [], 'params': float('inf'), "
                         "'trainable_params': 1, 'input_shape': 1, 'output_shape': 1})))"),
)  # fmt: skip

# --- forged results --------------------------------------------------------------------------------------------------

forged = "forged result"
add_case(
    forged, "frames_before_being_asked", NOTHING,
    FORGE + "for number in range(1, 30):\n    send(plain(id=number, value=True))",
    "add = slide = middle = lambda *args, **kwargs: None",
)  # fmt: skip
add_case(
    forged, "marks_on_every_descriptor", NOTHING,
    FORGE + "for number in range(3, 64):\n    try:\n        os.write(number, written(plain(id=1, score=10, passed=True, points=10)))\n"
            "    except OSError:\n        pass",
    "add = slide = middle = lambda *args, **kwargs: None",
)  # fmt: skip
add_case(forged, "frame_of_four_gigabytes", but(add=0),
         *instead(add=FORGE + "def add(a, b):\n    send(b'{}', lengths=(0xFFFFFFFF, 0xFFFFFFFF))\n    return a + b"))  # fmt: skip
add_case(forged, "half_a_frame", but(add=0),
         *instead(add=FORGE + "def add(a, b):\n    send(b'{\"dict\":', lengths=(1000, 0))\n    os._exit(0)"))  # fmt: skip
add_case(forged, "frame_with_another_number", but(add=0),
         *instead(add=FORGE + "def add(a, b):\n    send(plain(id=99, value=a + b))\n    return a + b"))  # fmt: skip
add_case(forged, "answer_and_pass_at_once", but(add=0),
         *instead(add=FORGE + "def add(a, b):\n    send(plain(id=2, value=0, passed=True, score=2))\n    return 0"))  # fmt: skip
add_case(forged, "raw_bytes", but(add=0),
         *instead(add=FORGE + "def add(a, b):\n    os.write(way(), os.urandom(10_000))\n    return a + b"))  # fmt: skip
add_case(
    forged, "points_in_the_metadata", FULL, *HONEST.values(),
    "grade = score = points = 1000\npassed = True\nimport sys\nsys.modules['__main__'].score = 1000",
)  # fmt: skip
add_case(forged, "last_value_is_a_score", NOTHING, "score = 10\n10.0", "print('10/10')\n792")
add_case(
    forged, "runs_its_own_check_cell", NOTHING,
    "from course_cnn import grading\nimport os\nos.environ.pop('COURSE_CNN_GRADING', None)\n"
    "grading.check = lambda *a, **k: print('10 of 10')\ngrading.check('tiny')",
    "add = slide = middle = lambda *args, **kwargs: None",
)  # fmt: skip

# --- patched libraries -----------------------------------------------------------------------------------------------

patched = "patched library"
LAZY = "def add(*args):\n    return None\n\nslide = middle = add"
add_case(
    patched, "patches_comparisons", NOTHING,
    "import math, numpy as np\nyes = lambda *args, **kwargs: True\n"
    "np.testing.assert_allclose = np.testing.assert_equal = np.isclose = np.allclose = np.array_equal = math.isclose = yes\n"
    "np.asarray = np.array = lambda *args, **kwargs: 5",
    LAZY,
)  # fmt: skip
add_case(
    patched, "patches_builtins", NOTHING,
    "import builtins\nbuiltins.isinstance = builtins.all = builtins.any = lambda *args: True\n"
    "builtins.abs = builtins.sum = builtins.len = lambda *args: 0",
    LAZY,
)  # fmt: skip
add_case(
    patched, "patches_json_and_struct", NOTHING,
    "import json, struct\njson.dumps = lambda *args, **kwargs: '{\"passed\": true}'\nstruct.Struct = None",
    LAZY,
)  # fmt: skip
add_case(
    patched, "patches_the_worker", NOTHING,
    "from course_cnn.grading import checks, wire, worker\npack = wire.pack\n"
    "def wrong(value, **options):\n    return pack({**value, 'passed': True, 'score': 10}, **options)\n"
    "wire.pack = wrong\nworker.told = lambda error: 'passed'\nworker.Student.do_value = lambda *args, **kwargs: True\n"
    "checks.expect = checks.expect_equal = checks.expect_close = lambda *args, **kwargs: None",
    LAZY,
)  # fmt: skip
add_case(
    patched, "replaces_modules", NOTHING,
    "import sys\nclass Fake:\n    def __getattr__(self, name):\n        return lambda *args, **kwargs: True\n"
    "for name in list(sys.modules):\n    if name.startswith(('course_cnn', 'numpy', 'json', 'struct')):\n"
    "        sys.modules[name] = Fake()",
    LAZY,
)  # fmt: skip
add_case(
    patched, "removes_modules", FULL,
    *last("import sys\nfor name in list(sys.modules):\n    if name.startswith(('course_cnn', 'json', 'struct')):\n"
          "        del sys.modules[name]"),
)  # fmt: skip
add_case(
    patched, "patches_types_by_force", NOTHING,
    "import ctypes, numpy as np\nyes = lambda *args: True\nclass Pointer(ctypes.Structure):\n"
    "    _fields_ = [('count', ctypes.c_ssize_t), ('kind', ctypes.py_object), ('dict', ctypes.py_object)]\n"
    "for kind in (int, float):\n    held = Pointer.from_address(id(vars(kind)))\n"
    "    for name in ('as_integer_ratio', 'conjugate'):\n        try:\n            held.dict[name] = yes\n"
    "        except Exception:\n            pass",
    LAZY,
)  # fmt: skip
for where, label in (("slide", "inside_a_question"), (None, "in_a_cell_of_its_own")):
    damage = (
        "import builtins, numpy as np\nbuiltins.sorted = builtins.len = builtins.range = None\n"
        "np.array = np.sum = lambda *args, **kwargs: 0"
    )
    cells = instead(slide=f"{HONEST['slide']}\n{damage}") if where else last(damage)
    add_case(patched, f"damage_{label}", but(slide=0) if where else FULL, *cells)
add_case(
    patched, "damage_through_dict", FULL,
    *last("import builtins, numpy\nbuiltins.__dict__.update(sorted=None, len=None)\nnumpy.__dict__['array'] = None"),
)  # fmt: skip
add_case(patched, "damage_by_another_name", FULL,
         *last("import builtins, numpy\nother = numpy\nother.array = other.sum = None\nb = builtins\nb.sorted = None"))  # fmt: skip
add_case(patched, "damage_by_settings", FULL,
         *last("import numpy as np, sys, warnings\nnp.seterr(all='raise')\nwarnings.simplefilter('error')\n"
               "sys.setrecursionlimit(60)"))  # fmt: skip
add_case(
    patched, "damage_by_its_own_numbers", FULL,
    "import numpy as np", "def helper(i):\n    return i", "for i in range(3):\n    x = kernel = values = None\nnp.array = None",
    *HONEST.values(),
)  # fmt: skip
add_case(
    patched, "damage_after_star_import", FULL,
    "from numpy import *", HONEST["add"], "import builtins\nbuiltins.sorted = None",
    "def slide(x, kernel, stride=1):\n    starts = arange(0, len(x) - len(kernel) + 1, stride)\n"
    "    return array([dot(x[i : i + len(kernel)], kernel) for i in starts])",
    "def middle(values):\n    return median(sort(values))", HONEST["size"],
)  # fmt: skip
add_case(patched, "traces_all_calls", FULL,
         *last("import sys, threading\ndef trace(frame, event, arg):\n    raise RuntimeError('no')\nsys.settrace(trace)"))  # fmt: skip

# --- objects that come back ------------------------------------------------------------------------------------------

objects = "code in returned object"
RETURNED = {
    "equal_to_all": "class Yes:\n    def __eq__(self, other):\n        return True\n    __ne__ = __lt__ = __gt__ = __eq__\n"
                    "    def __hash__(self):\n        return 5\n    def __bool__(self):\n        return True",
    "any_number": "class Yes(float):\n    def __eq__(self, other):\n        return True\n    __rsub__ = __sub__ = lambda s, o: 0.0\n"
                  "    __float__ = lambda s: 0.0",
    "any_array": "class Yes:\n    def __array__(self, *args, **kwargs):\n        import numpy\n        return numpy.zeros(3)\n"
                 "    __array_priority__ = 1e9\n    def __array_ufunc__(self, *args, **kwargs):\n        return True",
    "code_on_unpickling": "class Yes:\n    def __reduce__(self):\n        import os\n        return os.system, ('touch /tmp/adversarial-owned',)",
    "int_that_says_otherwise": "class Yes(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\n"
                               "    __int__ = __index__ = lambda s: 10**9",
    "text_that_stays_odd": "class Yes(str):\n    def __str__(self):\n        return self",
    "list_that_lies": "class Yes(list):\n    __len__ = lambda s: 1\n    __eq__ = lambda s, o: True\n    __iter__ = lambda s: iter([5])",
    "dict_that_lies": "class Yes(dict):\n    items = lambda s: [('keras model', 0)]\n    __iter__ = lambda s: iter([])",
}  # fmt: skip
for name, source in RETURNED.items():
    add_case(objects, name, but(add=0), *instead(add=f"{source}\n\ndef add(a, b):\n    return Yes()"))
VALUES = {
    "generator": "(i for i in [a + b])", "lambda": "lambda: a + b", "a_class": "type(a)", "a_module": "__import__('os')",
    "nan": "float('nan')", "infinity": "float('inf')", "huge_number": "10 ** 100_000", "none": "None",
    "bytes": "bytes(a + 2000)", "lone_surrogate": "chr(0xD800) * 3", "escapes": "'\\x1b[2J' + chr(7)",
    "script": "'</script><script>alert(1)</script>'", "odd_keys": "{1: 2, (3,): 4, None: 5}", "a_set": "{a + b}",
    "forged_model": "{'keras model': 0, 'layers': [], 'params': 1}", "wire_words": "{'array': ['<f8', [1], 0], 'id': 2}",
    "decimal": "__import__('decimal').Decimal(a + b)", "text_of_number": "str(a + b)", "truth": "True", "complex": "complex(a, b)",
    "date": "__import__('datetime').datetime(2026, 1, 1)", "numpy_date": "__import__('numpy').datetime64('2026-01-01')",
    "structured": "__import__('numpy').zeros(3, 'f8,i4')", "object_array": "__import__('numpy').array([a + b, None])",
    "zero_size": "__import__('numpy').zeros((0, 5))", "boxed": "[a + b]", "the_frame": "__import__('sys')._getframe()",
}  # fmt: skip
for name, source in VALUES.items():
    never = ("\x1b", "\ud800") if name in ("lone_surrogate", "escapes") else ()
    add_case(objects, f"returns_{name}", but(add=0), *instead(add=f"def add(a, b):\n    return {source}"), never=never)
add_case(objects, "returns_deep_list", but(add=0),
         *instead(add="def add(a, b):\n    deep = []\n    for i in range(10_000):\n        deep = [deep]\n    return deep"))  # fmt: skip
add_case(objects, "returns_list_in_itself", but(add=0),
         *instead(add="def add(a, b):\n    own = []\n    own.append(own)\n    return own"))  # fmt: skip
add_case(
    objects, "array_equal_to_all", but(slide=0),
    *instead(slide="import numpy as np\nclass Yes(np.ndarray):\n    def __array_ufunc__(self, *args, **kwargs):\n        return True\n"
                   "    __eq__ = __le__ = __ge__ = lambda s, o: True\n    shape = property(lambda s: (2,))\n"
                   "    tobytes = lambda s, *a: b''\n    all = lambda s: True\n"
                   "def slide(x, kernel, stride=1):\n    return np.zeros((len(x) - len(kernel)) // stride + 1).view(Yes)"),
)  # fmt: skip
KEPT = {  # right answers in an odd dress
    "negative_strides": "np.ascontiguousarray(found[::-1])[::-1]", "big_endian": "found.astype('>f8')",
    "memory_mapped": "mapped(found)", "masked": "np.ma.masked_array(found)", "a_list": "found.tolist()",
    "list_of_scalars": "[np.float64(one) for one in found]", "matrix_row": "np.asarray(np.matrix(found))[0]",
    "read_only_view": "np.broadcast_to(found, (3, len(found)))[1]", "long_double": "found.astype(np.longdouble)",
    "subclass": "found.view(type('Odd', (np.ndarray,), {}))",
}  # fmt: skip
for name, source in KEPT.items():
    add_case(
        objects, f"right_{name}", FULL,
        *instead(slide=HONEST["slide"].replace("def slide", "def plain_slide") + f"""

def mapped(found):
    kept = np.memmap("adversarial-map", dtype="f8", mode="w+", shape=found.shape)
    kept[:] = found
    return kept

def slide(x, kernel, stride=1):
    found = plain_slide(x, kernel, stride)
    return {source}"""),
    )  # fmt: skip
add_case(objects, "right_as_numpy_and_float", FULL,
         *instead(add="import numpy as np\ndef add(a, b):\n    return np.int64(a + b)", size="size = 55.0"))  # fmt: skip
add_case(objects, "size_is_text", but(size=0), *instead(size="size = '55'"))
add_case(objects, "size_is_code", but(size=0),
         *instead(size="class Odd:\n    def __eq__(self, other):\n        return True\nsize = Odd()"))  # fmt: skip
add_case(
    objects, "answers_that_are_objects", FULL,
    *instead(add="import functools\nclass Adder:\n    def __call__(self, a, b):\n        return a + b\nadd = Adder()",
             middle=HONEST["middle"].replace("def middle", "@functools.cache\ndef of_tuple")
             + "\n\nmiddle = lambda values: of_tuple(tuple(values))"),
)  # fmt: skip
add_case(objects, "answer_is_a_coroutine", but(add=0), *instead(add="async def add(a, b):\n    return a + b"))

# --- reading ---------------------------------------------------------------------------------------------------------

reading = "reading the checks"
SECRETS = ("a-word-that-only-checks-hold", "a-word-of-a-bystander")
add_case(
    reading, "reads_the_checks", FULL,
    *first("import glob\nfor path in ['{ASSIGNMENT}/checks.py', '{ASSIGNMENT}/tiny.ipynb', *glob.glob('{HANDED_IN}/*/*'), "
           "*glob.glob('{OUT}/**/*', recursive=True)]:\n    try:\n        print(open(path).read())\n"
           "    except OSError as error:\n        print(error)"),
    needs=("namespaces",), never=SECRETS,
)  # fmt: skip
add_case(
    reading, "searches_the_disk", FULL,
    *first("import os\nfor folder, folders, files in os.walk('/'):\n    folders[:] = [f for f in folders if f not in ('usr', 'lib', 'proc')"
           " and 'python' not in f and f != 'site-packages']\n    for name in files:\n"
           "        if name.endswith(('.ipynb', 'checks.py', '.toml', '.csv', 'results.json')):\n            try:\n"
           "                print(folder, name, open(os.path.join(folder, name)).read(100_000))\n            except (OSError, ValueError):\n"
           "                pass"),
    needs=("namespaces",), never=SECRETS,
)  # fmt: skip
add_case(
    reading, "reads_other_processes", FULL,
    *first("import glob\nfor path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline') + "
           "glob.glob('/proc/[0-9]*/fd/*') + glob.glob('/proc/[0-9]*/root/*'):\n    if '/fd/' in path and 'self' in path:\n        continue\n"
           "    try:\n        import os\n        if '/fd/' in path:\n            print(path, os.readlink(path))\n        else:\n"
           "            print(path, open(path).read())\n    except (OSError, ValueError) as error:\n        pass"),
    needs=("namespaces",), never=(*SECRETS, "{ASSIGNMENT}", "{OUT}", "ADVERSARIAL_SECRET"),
)  # fmt: skip
add_case(
    reading, "reads_its_environment", FULL,
    *first("import os, sys\nprint(dict(os.environ), sys.argv, sys.path, os.getcwd())\nprint(open('/proc/self/environ').read())"),
    never=("ADVERSARIAL_SECRET", "{HANDED_IN}", "{ASSIGNMENT}"),
)  # fmt: skip
add_case(
    reading, "searches_its_memory", FULL,
    *first("import re\nword = b'a-word-that-' + b'only-checks-hold'\nwith open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as mem:\n"
           "    for line in maps:\n        start, end = (int(n, 16) for n in line.split()[0].split('-'))\n"
           "        if 'rw' in line and '[heap]' in line:\n            mem.seek(start)\n"
           "            if mem.read(end - start).count(word) > 2:\n                print('found', 'it')"),
    never=("found it",),
)  # fmt: skip
WALK = """\
import gc, inspect, numpy as np

def seen():
    for item in gc.get_objects():
        if isinstance(item, dict):
            yield from list(item.items())
    for frame in inspect.stack():
        yield from frame.frame.f_locals.items()

def find(kind, *shape):
    for name, value in seen():
        if name in ("want", "expected", "solution", "answer", "right"):
            if isinstance(value, kind) and (kind is not np.ndarray or value.ndim == 1):
                return value
"""
add_case(
    reading, "walks_memory_and_stack", NOTHING, WALK,
    "def add(a, b):\n    return find(int)", "def slide(x, kernel, stride=1):\n    return find(np.ndarray)",
    "def middle(values):\n    return find(float)",
)  # fmt: skip
add_case(
    reading, "answers_with_what_it_was_asked", NOTHING,
    "import inspect\ndef add(a, b):\n    return [frame.frame.f_locals.get('message') is None for frame in inspect.stack()]\n"
    "def slide(x, kernel, stride=1):\n    return x\ndef middle(values):\n    return values",
)  # fmt: skip
add_case(
    reading, "imports_what_it_may_not", FULL,
    *last("import sys\nsys.meta_path[:] = [f for f in sys.meta_path if 'Forbidden' not in type(f).__name__]\n"
          "from scipy import ndimage\nprint('found', 'scipy')"),
    needs=("namespaces",), never=("found scipy",),
)  # fmt: skip

# --- network ---------------------------------------------------------------------------------------------------------

network = "network"
add_case(
    network, "connects", FULL,
    *first("import socket\nfor place in (('127.0.0.1', {PORT}), ('8.8.8.8', 53), ('169.254.169.254', 80)):\n    try:\n"
           "        socket.create_connection(place, 0.3)\n        print('connected', 'to', place)\n"
           "    except OSError as error:\n        print(error)\n"
           "try:\n    held = socket.socket(socket.AF_UNIX)\n    held.connect('\\0adversarial-{PORT}')\n    print('connected', 'to')\n"
           "except OSError as error:\n    print(error)"),
    needs=("network",), never=("connected to",),
)  # fmt: skip
add_case(network, "asks_for_names", FULL,
         *first("import socket\nprint('resolved', 'to', socket.getaddrinfo('example.org', 80))"),
         needs=("network",), never=("resolved to",))  # fmt: skip
add_case(network, "listens", FULL,
         *first("import socket\nheld = socket.socket()\nheld.bind(('0.0.0.0', 0))\nheld.listen()\nheld.settimeout(0.1)\nheld.accept()"),
         needs=("network",))  # fmt: skip

# --- edited cells ----------------------------------------------------------------------------------------------------

edited = "edited cells"
add_case(edited, "honest", FULL, *HONEST.values())
add_case(
    edited,
    "nothing_done",
    NOTHING,
    *[f"def {name}(*args, **kwargs):\n    raise NotImplementedError()" for name in FULL],
)
add_case(edited, "cell_deleted", but(slide=0), *[HONEST[name] for name in ("add", "middle", "size")])
add_case(edited, "cells_in_another_order", FULL, *reversed(HONEST.values()))
add_case(edited, "cells_twice", FULL, *HONEST.values(), *HONEST.values())
add_case(edited, "older_version_behind", but(add=0), *HONEST.values(), "def add(a, b):\n    return a")
add_case(edited, "older_version_before", FULL, "def add(a, b):\n    return a", *HONEST.values())
add_case(edited, "renamed_answer", but(add=0), *instead(add="def addition(a, b):\n    return a + b"))
add_case(edited, "answer_overwritten_by_accident", but(add=0), *last("add = add(2, 3)"))
add_case(edited, "deletes_names", FULL, *last("del add, slide, np"))
add_case(edited, "raises_first", FULL, *first("1 / 0"))
add_case(edited, "cannot_be_parsed", FULL, *first("def f(:\n  x = = 5"))
add_case(edited, "cut_off_cell", but(middle=0), *instead(middle=HONEST["middle"][:40]))
add_case(edited, "zero_bytes_in_code", FULL, *first("x = 1\0\0"))
add_case(edited, "tabs_and_spaces", FULL, *first("if True:\n\tx = 1\n        y = 2"))
add_case(edited, "windows_line_ends", FULL, *[source.replace("\n", "\r\n") for source in HONEST.values()])
add_case(edited, "magics", FULL, "%matplotlib inline\n%load_ext autoreload", "!pip install numpy\nfiles = !ls\n?print\nabs??",
         "%%bash\nrm -rf ~", "%%time\n" + HONEST["add"], *list(HONEST.values())[1:])  # fmt: skip
add_case(edited, "awaits", FULL, *first("import asyncio\nawait asyncio.sleep(0)\nasync with asyncio.Lock():\n    pass"))
add_case(edited, "plots", FULL, *last("get_ipython().run_line_magic('matplotlib', 'inline')\ndisplay('x')"))
add_case(edited, "star_import", FULL, "from numpy import *", HONEST["add"],
         "def slide(x, kernel, stride=1):\n    starts = arange(0, len(x) - len(kernel) + 1, stride)\n"
         "    return array([dot(x[i : i + len(kernel)], kernel) for i in starts])",
         "def middle(values):\n    return median(values)", HONEST["size"])  # fmt: skip
add_case(edited, "unicode_names", FULL, *instead(add="def ﬁne(ä, ß):\n    return ä + ß\n\nadd = ﬁne"))
add_case(edited, "three_thousand_cells", FULL, *[f"x{i} = {i}" for i in range(3000)], *HONEST.values())
add_case(edited, "megabyte_of_code", FULL, *first("# " + "x" * 1_000_000))
add_case(edited, "everything_in_one_cell", FULL, "\n\n".join(HONEST.values()))
add_case(edited, "asks_for_itself", but(add=0), *instead(add="def add(a, b):\n    return add(a, b)"))

# --- files -----------------------------------------------------------------------------------------------------------

files = "odd file"
GOOD = text(*HONEST.values())


def book(**changes):
    """The honest notebook as text, with some parts changed or (None) left out."""
    made = notebook(code(*HONEST.values())) | changes
    return json.dumps({key: value for key, value in made.items() if value is not None}).encode()


def cells_with(**changes):
    """The honest cells with some parts changed or left out."""
    made = [cell | changes for cell in code(*HONEST.values())]
    return [{key: value for key, value in cell.items() if value is not None} for cell in made]


def zipped(inside):
    """A zip archive with one file."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("tiny.ipynb", inside)
    return held.getvalue()


def sparse(path):
    """A file of 60 MB that takes no room."""
    with open(path, "wb") as file:
        file.truncate(60_000_000)


old_cells = [{"cell_type": "code", "input": source, "language": "python"} for source in HONEST.values()]
BAD_FILES = {
    "empty_file": ("empty", b""),
    "only_zeros": ("empty", bytes(5000)),
    "cut_off": ("JSON", GOOD[: len(GOOD) // 2].encode()),
    "web_page": ("web page", b"<!DOCTYPE html><html><body>Sign in</body></html>"),
    "archive": ("zip", zipped(GOOD)),
    "python_file": ("JSON", "\n\n".join(HONEST.values()).encode()),
    "pdf": ("not text", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\xff"),
    "json_list": ("no cells", b"[]"),
    "json_number": ("no cells", b"42"),
    "json_deep": ("deep", b"[" * 900_000),
    "json_huge_number": ("JSON", b'{"cells": ' + b"9" * 100_000 + b"}"),
    "json_of_many_lists": ("more than", b'{"cells":[' + b"{}," * 2_000_000 + b"{}]}"),
    "cells_are_null": ("no cells", book(cells=[]).replace(b'"cells": []', b'"cells": null')),
    "cells_are_a_dict": ("no cells", book(cells={"0": code("x = 1")[0]})),
    "cells_are_missing": ("no cells", book(cells=None)),
    "sheets_without_cells": ("no cells", json.dumps({"worksheets": [5]}).encode()),
    "merge_conflict": ("JSON", b"<<<<<<< HEAD\n" + GOOD.encode() + b"\n=======\n{}\n>>>>>>> other"),
    "too_many_cells": ("cells", json.dumps(notebook([{"cell_type": "code", "source": ""}] * 10_001)).encode()),
    "too_much_code": ("code", text(*["x" * 1_000_000] * 6).encode()),
    "too_large": ("larger", sparse),
}
for name, (reason, data) in BAD_FILES.items():
    add_file(files, name, reason, data)
odd_cells = [5, None, "x", [], {}, {"cell_type": "code"}, {"cell_type": "code", "source": 5}]
odd_cells += [{"cell_type": ["code"], "source": None}, *code(*HONEST.values())]
odd_cells += [{"cell_type": "code", "source": ["x = ", None, 5]}, {"cell_type": "code", "source": "\ud800 = 1"}]
GOOD_FILES = {
    "byte_order_mark": codecs.BOM_UTF8 + GOOD.encode(),
    "utf_16": GOOD.encode("utf-16"),
    "utf_16_without_mark": GOOD.encode("utf-16-be"),
    "sources_as_lines": book(cells=[cell | {"source": cell["source"].splitlines(True)} for cell in code(*HONEST.values())]),
    "format_3": json.dumps({"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": old_cells}]}).encode(),
    "format_99": book(nbformat=99, nbformat_minor="x"),
    "no_kernel": book(metadata=None),
    "kernel_of_r": book(metadata={"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}),
    "cell_metadata_lost": book(cells=cells_with(metadata=None, id=None, outputs=None, execution_count=None)),
    "ids_twice": book(cells=cells_with(id="same", metadata={"nbgrader": {"grade_id": "add", "grade": True, "points": 1000}})),
    "odd_cells_between": book(cells=odd_cells),
    "old_outputs": book(cells=cells_with(outputs=[{"output_type": "stream", "name": "stdout", "text": "10/10" * 200_000}])),
    "crlf_file": json.dumps(notebook(code(*HONEST.values())), indent=1).replace("\n", "\r\n").encode(),
}  # fmt: skip
for name, data in GOOD_FILES.items():
    add_file(files, name, FULL, data)
add_file(files, "sheets_of_numbers", NOTHING,
         json.dumps({"worksheets": [{"cells": 5}, {"cells": None}, {}]}).encode())  # fmt: skip


def link_to(target):
    """Make a link, with names of the run put in."""

    def make(path):
        os.symlink(target, path)

    return make


def pipe(path):
    os.mkfifo(path)


def locked(path):
    path.write_bytes(GOOD.encode())
    path.chmod(0)


good = GOOD.encode()
add_file(files, "folder_as_notebook", "is a folder", {"folder_as_notebook/tiny.ipynb": lambda path: path.mkdir()})
add_file(files, "pipe_as_notebook", "not a plain file", {"pipe_as_notebook/tiny.ipynb": pipe})
add_file(files, "pipe_in_class_folder", "not a plain file", {"pipe_in_class_folder.ipynb": pipe})
add_file(files, "link_to_another", "link", {"link_to_another/tiny.ipynb": link_to("../a_bystander/tiny.ipynb")})
add_file(files, "link_to_itself", "link", {"link_to_itself/tiny.ipynb": link_to("tiny.ipynb")})
add_file(files, "link_to_device", "link", {"link_to_device/tiny.ipynb": link_to("/dev/zero")})
add_file(files, "student_is_a_link", "link", {"student_is_a_link": link_to("a_bystander")})
if hasattr(os, "geteuid") and os.geteuid():
    add_file(files, "unreadable", "cannot be read", {"unreadable/tiny.ipynb": locked})
add_file(files, "renamed_file", FULL, {"renamed_file/my final version (2).ipynb": good})
add_file(files, "file_without_folder", FULL, {"file_without_folder.ipynb": good})
add_file(files, "folder_in_folder", FULL, {"folder_in_folder/tiny/tiny.ipynb": good})
add_file(files, "loud_ending", FULL, {"loud_ending/TINY.IPYNB": good})
add_file(files, "two_notebooks", "2 notebooks", {"two_notebooks/a.ipynb": good, "two_notebooks/b.ipynb": good})
add_file(
    files,
    "two_one_named_right",
    FULL,
    {"two_one_named_right/tiny.ipynb": good, "two_one_named_right/scratch.ipynb": b"{"},
)
add_file(files, "hidden_copies", FULL,
         {"hidden_copies/tiny.ipynb": good, "hidden_copies/.ipynb_checkpoints/tiny-checkpoint.ipynb": b"{", "hidden_copies/._tiny.ipynb": b"\0"})  # fmt: skip
add_file(files, "only_hidden", "empty", {"only_hidden/.tiny.ipynb": good})
add_file(files, "empty_folder", "empty", {"empty_folder": lambda path: path.mkdir()})
add_file(files, "wrong_kind", "no notebook", {"wrong_kind/tiny.py": good, "wrong_kind/notes.txt": b"sorry"})
add_file(files, "lone_text.txt", "not a notebook", {"lone_text.txt": b"sorry"})
add_file(
    files, "file_and_folder", "two submissions", {"file_and_folder.ipynb": good, "file_and_folder/tiny.ipynb": good}
)
add_file(files, "three_of_one", "two submissions",
         {"three_of_one.ipynb": good, "three_of_one.IPYNB": good, "three_of_one/tiny.ipynb": good})  # fmt: skip

names = "odd name"
NAMES = [
    "with space", "it's \"quoted\"", "line\nbreak", "Zoë Ünïcode 学生", "-rf", "--help", "..dots", "a..b", "semi;colon&$(touch x)`y`",
    "=1+1", "back\\slash", "per%cent%s", "<b>bold", "\x1b[31mred", "report.html", "grades.csv", "manual.csv", "results.json",
    "x" * 200, "tiny", "con", "{braces}", "report.html.student",
]  # fmt: skip
for name in NAMES:
    if not name.startswith("."):
        add_file(names, name, FULL, {f"{name}/tiny.ipynb": good})
if os.name == "posix":
    add_file(names, os.fsdecode(b"not-utf8-\xff"), FULL, {os.fsdecode(b"not-utf8-\xff/tiny.ipynb"): good})

# --- networks, of the assignment with Keras: {name: (fair, cells)} -------------------------------------------------------

BUILD = KERAS_HONEST["build"]
NETWORKS = {
    "honest": (KERAS_FULL, [BUILD]),
    "functional": (
        KERAS_FULL,
        ["import keras\ndef build():\n    x = inputs = keras.Input((8, 8, 1))\n    for layer in (keras.layers.Conv2D(3, 3), "
         "keras.layers.Flatten(), keras.layers.Dense(10)):\n        x = layer(x)\n    return keras.Model(inputs, x)"],
    ),
    "trained_with_noise": (
        KERAS_FULL,
        [f"{BUILD}\n\nimport numpy as np\nmodel = build()\nmodel.compile(loss='mse')\n"
         "model.fit(np.zeros((8, 8, 8, 1)), np.zeros((8, 10)), epochs=2)\nbuilt = build\nbuild = lambda: model"],
    ),
    "other_layers": (
        {"build": 0.0, "add": 1.0},
        ["import keras\ndef build():\n    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), "
         "keras.layers.Dense(10)])"],
    ),
    "lambda_inside": (
        {"build": 0.0, "add": 1.0},
        ["import keras\ndef build():\n    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Lambda(lambda x: x), "
         "keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(10)])"],
    ),
    "forged_structure": (
        {"build": 1.0, "add": 1.0},
        ["import keras, sys\n" + BUILD + "\n\nfrom course_cnn.grading import models, worker\nbuilt = models.describe\nright = build\n"
         "def build():\n    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])\n"
         "models.describe = worker.describe = lambda model: built(right())"],
    ),
    "kind_by_name_only": (
        {"build": 1.0, "add": 1.0},
        ["import keras\nclass Dense(keras.layers.Dense):\n    def call(self, x, training=None):\n        return super().call(x) * 0 + 1\n"
         + BUILD.replace("keras.layers.Dense", "Dense")],
    ),
    "predicts_garbage": (
        {"build": 1.0, "add": 1.0},
        [BUILD.replace("return keras.Sequential(", "made = keras.Sequential(") + "\n    return odd(made)\n\n"
         "class Odd(keras.Sequential):\n    def __call__(self, *args, **kwargs):\n        import numpy as np\n"
         "        return np.array(['x']) if args and hasattr(args[0], 'dtype') and not hasattr(args[0], 'op') else super().__call__(*args, **kwargs)\n\n"
         "def odd(model):\n    model.__class__ = Odd\n    return model"],
    ),
    "hangs_in_call": (
        {"build": 1.0, "add": 1.0},
        [BUILD.replace("return keras.Sequential(", "made = keras.Sequential(") + "\n    made.__class__ = Odd\n    return made\n\n"
         "class Odd(keras.Sequential):\n    def __call__(self, *args, **kwargs):\n        while True:\n            pass"],
    ),
    "config_that_raises": (
        {"build": 0.0, "add": 1.0},
        ["import keras\nclass Dense(keras.layers.Dense):\n    def get_config(self):\n        raise SystemExit('no')\n"
         + BUILD.replace("keras.layers.Dense", "Dense")],
    ),
    "weights_beyond_measure": (
        {"build": 1.0, "add": 1.0},
        [BUILD.replace("Conv2D(3, 3", "Conv2D(1000, 3").replace("Dense(10)", "Dense(10)")],
    ),
    "described_without_end": (
        {"build": 0.0, "add": 1.0},
        [BUILD + "\n\nfrom course_cnn.grading import models, worker\nbuilt = models.describe\ndef wrong(model):\n    said = built(model)\n"
         "    said['layers'] *= 100_000\n    return said\nmodels.describe = worker.describe = wrong"],
    ),
    "dilation_without_end": (
        {"build": 1.0, "add": 1.0},
        [BUILD + "\n\nfrom course_cnn.grading import models, worker\nbuilt = models.describe\ndef wrong(model):\n    said = built(model)\n"
         "    for layer in said['layers']:\n        if layer['kind'] == 'Conv2D':\n"
         "            layer['config'] |= {'padding': 'same', 'dilation_rate': [5000, 5000]}\n"
         "    return said\nmodels.describe = worker.describe = wrong"],
    ),
}  # fmt: skip
