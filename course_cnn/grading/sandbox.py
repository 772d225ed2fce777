"""Where a worker runs: in layers, each tried, each reported, none of them trusted to be there.

    grader ── fork server ── keeper ── init ── worker        (the student's code runs in the last one only)

The fork server (`forkserver.py`) has imported what an assignment needs and forks a *keeper* for every worker. The
keeper enters new namespaces, forks *init* (process 1 of the new process namespace), watches over memory and processes,
and on any word from the grader, or when the grader is gone, ends all there is. Init builds the file tree that the
worker will see and forks the worker, which gives up its rights and starts to serve.

Layers: `process` (always), `folder` (private and empty), `limits` (CPU, memory, file size, processes, open files),
`user` (an unprivileged one, where the grader is root, else no rights in the namespaces), `namespaces` (own processes,
mounts, IPC; the file tree holds Python and the system's libraries, read-only, and nothing else), `network` (none).
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MS_PRIVATE, MS_RELATIME, MS_NOATIME, MS_NODIRATIME, MNT_DETACH = 1 << 18, 1 << 21, 1024, 2048, 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt/conda")
SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/fonts",
    "/etc/alternatives",
)
PLACES = ("/mnt", "/media", "/srv", "/boot", "/var/tmp", "/tmp", "/home", "/root")
DEVICES = ("null", "full", "random", "urandom")  # no zero: mapped and shared, it is memory that nobody counts
FIRST_USER, USERS = 61184, 4096  # a range that systems leave free for users that come and go
HOME = "/tmp/work"  # the private folder inside the namespaces
PROCESSES, THREADS, FILES, FILE_SIZE, FOLDER_SIZE = 64, 256, 512, 64 << 20, 128 << 20
# Numbers of the architecture, of seccomp, clone, mmap, socket, and of what is refused: memfd_create, shmget, msgget,
# semget, unshare, setns, ptrace, process_vm_readv and _writev, bpf, userfaultfd, perf_event_open, add_key,
# request_key, keyctl.
CALLS = {
    "x86_64": (0xC000003E, 317, 56, 9, 41, 319, 29, 68, 64, 272, 308, 101, 310, 311, 321, 323, 298, 248, 249, 250),
    "aarch64": (
        0xC00000B7,
        277,
        220,
        222,
        198,
        279,
        194,
        186,
        190,
        97,
        268,
        117,
        270,
        271,
        280,
        282,
        241,
        217,
        218,
        219,
    ),
}

libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def keep(control, requests, responses, output, options):
    """Be the keeper: start a worker, watch it, end it and all it started; never returns.

    Args:
        control: socket to the grader. It closes it or sends a byte to end the worker; one line of JSON comes back when
            all is ended: `{"status": int, "reason": str, "layers": {…}}`.
        requests, responses, output: file descriptors that the worker gets.
        options: dict: `memory` (bytes), `seconds` (of processor time), `paths` (what the worker may read), `hide`
            (folders it must not see), `unavailable` (packages it may not import), `namespaces` (False to go without),
            `processors` (numbers of those to keep to).
    """
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if libc:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    root = os.geteuid() == 0
    with contextlib.suppress(OSError):  # a keeper that gets no turn cannot stop what takes all the turns
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, options["processors"])
    layers = {"process": True, "folder": True, "limits": True}
    layers["namespaces"] = layers["network"] = options["namespaces"] and _enter_namespaces(root)
    layers["user"] = root or layers["namespaces"]
    user = FIRST_USER + os.getpid() % USERS if root else None
    folder = None if layers["namespaces"] else tempfile.mkdtemp(prefix="course-cnn-worker-")
    if folder and root:
        os.chown(folder, user, user)
    status, child = {"status": None, "reason": "ended", "layers": layers}, None
    # Opened now: init's new root becomes the keeper's too, and its /proc has other numbers.
    proc = os.open("/proc", os.O_RDONLY) if os.path.isdir("/proc/self") else None
    try:
        child = os.fork()
        if child == 0:
            control.close()
            _start(requests, responses, output, options, folder, user, layers["namespaces"])
        for descriptor in (requests, responses, output):
            os.close(descriptor)
        status["reason"], status["status"] = _watch(control, child, options, proc, layers["namespaces"])
    except OSError as error:
        status["reason"] = f"could not start: {error}"
    finally:
        _end_all(child if layers["namespaces"] else None, user)
        if folder:
            _remove(folder, user)
        with contextlib.suppress(OSError):
            control.sendall(json.dumps(status).encode() + b"\n")
        os._exit(0)


def _watch(control, child, options, proc, namespaces):
    """Wait for the end of the worker, a word of the grader, or too much memory or too many processes."""
    pidfd = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    ears = [control, *([pidfd] if pidfd is not None else [])]
    while True:
        ready, _, _ = select.select(ears, [], [], 0.1)
        if control in ready:
            return "ended", None
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return "exited", code if code <= 128 else 128 - code  # init passes a signal on as 128 + n
        # Init holds all there is; without it orphans come to the keeper.
        head = child if namespaces else os.getpid()
        memory, processes = _family(head, proc) if proc is not None else (0, 0)
        if processes > PROCESSES:
            return "processes", None
        if memory > options["memory"] + options["base"] and processes > 2:  # pages that forks share count once
            memory, processes = _family(head, proc, exact=True)
        if memory > options["memory"] + options["base"]:
            return "memory", None


def _family(pid, proc, *, exact=False):
    """(bytes of memory that are only theirs, number) of a process and all below it.

    `proc` is an open /proc. Exact, which takes longer, is by proportional shares: what two processes share counts half.
    """

    def read(path):
        with open(os.open(path, os.O_RDONLY, dir_fd=proc)) as file:
            return file.read().split()

    total, number, stack = 0, 0, [pid]
    while stack and number <= 4 * PROCESSES:
        pid = stack.pop()
        number += 1
        with contextlib.suppress(OSError, ValueError, IndexError):
            if exact:
                words = read(f"{pid}/smaps_rollup")
                total += 1024 * int(words[words.index("Pss_Anon:" if "Pss_Anon:" in words else "Pss:") + 1])
            else:
                pages = read(f"{pid}/statm")
                total += (int(pages[1]) - int(pages[2])) * resource.getpagesize()
            tasks = os.open(f"{pid}/task", os.O_RDONLY, dir_fd=proc)
            try:
                names = os.listdir(tasks)
            finally:
                os.close(tasks)
            for task in names:
                stack += map(int, read(f"{pid}/task/{task}/children"))
    return total, number


def _end_all(init, user):
    """End all there is: with `init`, the kernel ends its whole namespace with it; else every process below this one,
    again and again until none is left, and then those of the worker's user."""
    while True:
        if init is None and user is not None:
            _kill_all_of(user)
        for pid in [init] if init else _children(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)  # orphans come to the keeper, which is their reaper
        except ChildProcessError:
            break
    if init is None and user is not None and os.path.isdir("/proc/self"):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == user:
                    os.kill(int(name), signal.SIGKILL)


def _kill_all_of(user):
    """End all processes of a user at one stroke, faster than they can fork: the kernel does that for the user."""
    killer = os.fork()
    if killer == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(killer, 0)


def _children(pid):
    """All processes below one, deepest first."""
    parents = {}
    if not os.path.isdir("/proc/self"):
        return []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    found, layer = [], {pid}
    while layer := {child for child, parent in parents.items() if parent in layer}:
        found += layer
    return found[::-1]


def _remove(folder, user):
    """Remove the private folder, and what the worker's user left where everybody may write."""
    if user is None:  # nobody but root may empty a folder that was locked
        os.chmod(folder, 0o700)
        for place, names, _ in os.walk(folder):
            for path in (os.path.join(place, name) for name in names):
                if not os.path.islink(path):
                    with contextlib.suppress(OSError):
                        os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
    if user is None:
        return
    for place in {tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"}:
        with contextlib.suppress(OSError):
            for entry in os.scandir(place):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == user:
                        if entry.is_dir(follow_symlinks=False):
                            shutil.rmtree(entry.path, ignore_errors=True)
                        else:
                            os.unlink(entry.path)


def _enter_namespaces(root):
    """Enter new namespaces; where the system does not let root do that, or us, go without."""
    if not libc:
        return False
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(NAMESPACES | (0 if root else CLONE_NEWUSER)):
        return False
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _start(requests, responses, output, options, folder, user, namespaces):
    """Be init, or without namespaces the worker itself; never returns."""
    code = 1
    try:
        if libc:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if not namespaces:
            _work(requests, responses, output, options, folder, user)
        _build_tree(options, user)
        worker = os.fork()
        if worker == 0:
            _work(requests, responses, output, options, HOME, user)
        os.closerange(0, 1024)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == worker:
                code = os.waitstatus_to_exitcode(status)
                code = code if code >= 0 else 128 - code
                break
    except BaseException as error:  # nobody is left to raise to
        with contextlib.suppress(OSError):
            os.write(output, f"the sandbox could not be built: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _work(requests, responses, output, options, folder, user):
    """Be the worker: take limits, give up rights, close what is not ours, and serve; never returns."""
    os.setsid()
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for old, new in ((null, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    kept = sorted({requests, responses})
    os.closerange(3, kept[0])
    os.closerange(kept[0] + 1, kept[1])
    os.closerange(kept[1] + 1, 65536)
    _limit(options)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        if options["namespaces"] and not os.access(os.__file__, os.R_OK):
            # Right answers would fail at their imports. Who asks to go without namespaces is taken at their word.
            raise PermissionError(
                f"this system gives no namespaces, and workers may not read Python in {os.path.dirname(os.__file__)}; "
                "grade with a Python that all users can read, or not as root"
            )
    if libc:
        _drop_capabilities()
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _refuse_calls()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.environ.update(HOME=folder, TMPDIR=folder, USER="student", LOGNAME="student")
    os.umask(0o022)
    tempfile.tempdir = None
    sys.path[:] = [entry for entry in sys.path if entry]
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115  these stay open
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    from course_cnn.grading import worker

    with open(requests, "rb") as asked, open(responses, "wb") as told:
        worker.serve(asked, told, unavailable=options["unavailable"])
    sys.stdout.flush()
    os._exit(0)


def _limit(options):
    """Limit what one process may take; the keeper watches over their sum."""
    wanted = {
        resource.RLIMIT_CPU: int(options["seconds"]) + 1,
        resource.RLIMIT_FSIZE: FILE_SIZE,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
        wanted[resource.RLIMIT_AS] = pages * resource.getpagesize() + options["memory"]
        if os.geteuid() == 0:  # counts all processes of a user, so only where the user is the worker's own
            wanted[resource.RLIMIT_NPROC] = THREADS  # of all its processes; TensorFlow has some
    for name, value in wanted.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def _refuse_calls():
    """Refuse what no notebook needs: memory that `_watch` cannot see (memfd, System V), new namespaces, tracing.

    A filter of the kernel (seccomp) that answers EPERM; without it, where a system has none, the other layers stand.
    """
    machine = os.uname().machine
    if machine not in CALLS or sys.byteorder != "little":
        return
    arch, seccomp, clone, mmap, connect, *refused = CALLS[machine]
    load, mask, equal, higher, any_bit, end = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
    allow, deny, unknown = (end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x50001), (end, 0, 0, 0x50026)  # EPERM, ENOSYS
    code = [
        (load, 0, 0, 4), (equal, 1, 0, arch), deny,  # another architecture's calls have other numbers
        (load, 0, 0, 0), (higher, 0, 1, 0x40000000), deny,
        (equal, 0, 1, 435), unknown,  # clone3 hides its flags; libraries fall back to clone
        (equal, 0, 4, clone), (load, 0, 0, 16), (any_bit, 0, 1, CLONE_NEWUSER), deny, allow,
        (equal, 0, 5, mmap), (load, 0, 0, 40), (mask, 0, 0, 0x21), (equal, 0, 1, 0x21), deny, allow,  # shared, no file
        (equal, 0, 4, connect), (load, 0, 0, 16), (equal, 0, 1, 40), deny, allow,  # a virtual machine's host
    ]  # fmt: skip
    for number in (*refused, 425, 447):  # io_uring_setup, memfd_secret
        code += [(equal, 0, 1, number), deny]
    code.append(allow)
    filters = b"".join(struct.pack("=HBBI", *line) for line in code)
    program = struct.pack("@HP", len(code), ctypes.addressof(held := ctypes.create_string_buffer(filters)))
    libc.syscall(seccomp, 1, 4, program)  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW
    del held


def _drop_capabilities():
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def _build_tree(options, user):
    """Build the file tree that the worker sees, and make it the root."""
    os.umask(0o022)  # folders on the way to others get what it leaves
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    # The new tree is built on a folder that hides nothing which goes into it.
    new = next(p for p in PLACES if os.path.isdir(p) and not any(f"{q}/".startswith(f"{p}/") for q in options["paths"]))
    _mount("tmpfs", new, "tmpfs", MS_NOSUID, "size=1m,mode=755")
    owner = f",uid={user},gid={user}" if user is not None else ""
    flags = MS_NOSUID | MS_NODEV
    os.mkdir(f"{new}/tmp", 0o755)  # first, for Python itself may lie below /tmp
    _mount("tmpfs", f"{new}/tmp", "tmpfs", flags, f"size={FOLDER_SIZE},mode=755{owner}")
    for path in dict.fromkeys([*SYSTEM, *SETTINGS, *options["paths"]]):
        _show(path, new)
    for path in options["hide"]:
        _hide(path, new)
    for name in ("proc", "dev", "tmp", "dev/shm", "old"):
        os.makedirs(f"{new}/{name}", 0o755, exist_ok=True)
    for name in DEVICES:
        Path(f"{new}/dev/{name}").touch()
        _mount(f"/dev/{name}", f"{new}/dev/{name}", None, MS_BIND)
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        os.symlink(target, f"{new}/dev/{name}")
    _mount("tmpfs", f"{new}/dev/shm", "tmpfs", flags | MS_NOEXEC, f"size={FOLDER_SIZE},mode=755{owner}")
    os.makedirs(f"{new}{HOME}", 0o755, exist_ok=True)
    if user is not None:
        os.chown(f"{new}{HOME}", user, user)
    try:
        _mount("proc", f"{new}/proc", "proc", flags | MS_NOEXEC)
    except OSError:  # inside some containers /proc may only be handed on
        _mount("/proc", f"{new}/proc", None, MS_BIND | MS_REC)
    os.chdir(new)
    if libc.pivot_root(b".", b"old"):
        raise OSError(ctypes.get_errno(), "pivot_root")
    os.chdir("/")
    if libc.umount2(b"/old", MNT_DETACH):
        raise OSError(ctypes.get_errno(), "umount")
    os.rmdir("/old")
    _mount(None, "/", None, MS_REMOUNT | MS_RDONLY | MS_NOSUID, "size=1m,mode=755")


def _show(path, new):
    """Let the worker read a folder or file of the system, or follow a link like the system's."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    target = f"{new}{path}"
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(path), target)
        return
    os.mkdir(target, 0o755) if stat.S_ISDIR(mode) else Path(target).touch()
    _mount(path, target, None, MS_BIND | MS_REC)
    had = os.statvfs(target).f_flag
    keep = (had & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)) | (MS_RELATIME if had & 4096 else 0)
    _mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | keep)


def _hide(path, new):
    if os.path.isdir(f"{new}{path}"):
        _mount("tmpfs", f"{new}{path}", "tmpfs", MS_RDONLY, "size=4k,mode=000")


def _mount(source, target, kind, flags, data=None):
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    if libc.mount(*texts[:3], ctypes.c_ulong(flags), texts[3]):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {target}: {os.strerror(number)}")


def receive(connection):
    """Read one request of the grader to the fork server: (options, descriptors), or None where the grader is gone."""

    def read(length, data=b""):
        while len(data) < length:
            part = connection.recv(length - len(data))
            if not part:  # the grader may have been killed within a request
                raise ConnectionResetError
            data += part
        return data

    try:
        data, descriptors, _, _ = socket.recv_fds(connection, 4, 4)
        return json.loads(read(int.from_bytes(read(4, data), "big"))), descriptors
    except ConnectionError:
        return None


def own_memory():
    """Memory of this process that is only its own, in bytes: what a fork starts with counts as nothing."""
    with contextlib.suppress(OSError):
        pages = Path("/proc/self/statm").read_text().split()
        return (int(pages[1]) - int(pages[2])) * resource.getpagesize()
    return 0
