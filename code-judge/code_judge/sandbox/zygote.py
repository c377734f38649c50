"""The warm interpreter of a slot. Its text is given to `python -c` inside the confinement: it imports nothing of ours.

It waits for a request on descriptor 3, forks, and the child becomes the run: descriptors 0 to 2, limits, user, then
the program, as `python3 main.py` would run it. The parent waits, ends whatever the run left alive, empties the
directories and answers. It never holds a program, an input or an expected output.

What programs commonly do is done here, as the interpreter does it. The rest is left to the interpreter itself, which
needs milliseconds more: to end in its own way, or to read a source that it decodes differently from `compile`.
"""

import sys


def _zygote():
    """A generator: in a run, and only there, it yields how to load the program, and what to call at its end.

    So the program runs below one frame only, and what this function holds is not torn down in every run.
    """
    # C modules where the public ones only wrap them: every page that is loaded here is copied for every run.
    import _ast as ast
    import _signal as signal  # pyright: ignore[reportMissingImports]
    import _socket
    import ctypes
    import fcntl
    import gc
    import os
    import resource
    import struct
    from _frozen_importlib_external import SourceFileLoader
    from types import FunctionType

    config = eval(sys.argv[1])
    work, scratch, uid, pid_one = config["work"], config["scratch"], config["uid"], config["pid_one"]
    request, answer = struct.Struct(config["request"]), struct.Struct(config["answer"])
    if pid_one and os.getpid() != 1:
        sys.exit("not process 1 of a namespace: ending its runs would end everything")
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = libc.prctl
    prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: no slot outlives its supervisor
    prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans of a run come here
    own_domain = -1
    if uid is None:
        prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: runs of the same user cannot read or write this memory
        if config["nested"]:
            text = bytes.fromhex(config["nested"])
            own_domain = libc.syscall(444, text, ctypes.c_size_t(len(text)), 0)
            if own_domain < 0:
                raise OSError(ctypes.get_errno(), "landlock_create_ruleset")

    run_filter = ctypes.create_string_buffer(bytes.fromhex(config["run_filter"]))
    filter_size = len(run_filter) // 8
    filter_header = struct.pack("HxxxxxxP", filter_size, ctypes.addressof(run_filter))

    # Shared with the child until it is confined, to tell a failure of the service from one of the program.
    libc.mmap.restype = ctypes.c_void_p
    munmap, page = libc.munmap, ctypes.c_size_t(4096)
    shared = ctypes.c_void_p(libc.mmap(None, page, 3, 0x21, -1, ctypes.c_long(0)))
    if shared.value in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    unconfined = ctypes.c_ubyte.from_address(shared.value)

    for name in config["preload"]:
        try:
            __import__(name)
        except ImportError:
            if "." in name:
                continue
            sys.exit(f"the interpreter of the slot cannot import {name}")
    reseed = sys.modules["numpy"].random.seed if "numpy" in config["preload"] else None
    main_thread = sys.modules["threading"].main_thread() if "threading" in sys.modules else None
    compile("a = 1\nprint(a)\n", "main.py", "exec")  # the first compilation is the slow one
    for number in range(1, signal.NSIG):  # a service started in the background ignores some
        if signal.getsignal(number) == signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())

    path = "main.py" if sys.version_info < (3, 9) else work + "/main.py"  # as tracebacks and __file__ say it
    sys.argv[:] = ["main.py"]
    sys.orig_argv = [sys.executable, "main.py"]
    sys.path[0] = work
    own, streams = globals(), [sys.stdout, sys.stderr]
    collect, leave, modules = gc.collect, os._exit, sys.modules
    main_names = [name for name in ("__annotations__", "__builtins__") if name in own]
    # Words of programs that may see how the interpreter ends.
    watchful = (b"__del__", b"async", b"atexit", b"finaliz", b"settrace", b"setprofile", b"unraisablehook")
    native = False
    last_names = ["last_type", "last_value", "last_traceback", "last_exc"][: 3 if sys.version_info < (3, 12) else 4]

    def own_frames_off(error):
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is own:
            trace = trace.tb_next
        error.__traceback__ = trace
        return trace

    def settled(stream):
        """Whether all that was written could be delivered."""
        try:
            stream.flush()
        except BaseException:
            try:
                return stream.closed is True  # then there is nothing left to write
            except BaseException:
                return False
        return True

    def report(error):
        """Print an uncaught exception as the interpreter does. Returns the exit status, or what else to end with."""
        kind, trace = type(error), own_frames_off(error)
        if isinstance(error, SystemExit):
            code = error.code
            if isinstance(code, int) and abs(code) < 1 << 63:
                return code & 0xFF
            return 0 if code is None else error
        sys.__dict__.update(zip(last_names, (kind, error, trace, error)))  # noqa: B905 - not in Python 3.8
        second = None
        try:
            if hasattr(sys, "excepthook"):
                sys.excepthook(kind, error, trace)
            else:
                print("sys.excepthook is missing", file=sys.stderr)
                sys.__excepthook__(kind, error, trace)
        except BaseException as raised:
            second = raised
        if isinstance(second, SystemExit):
            return report(second)
        if second is not None:
            print("Error in sys.excepthook:", file=sys.stderr)
            sys.__excepthook__(type(second), second, own_frames_off(second))
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, trace)
        return KeyboardInterrupt() if isinstance(error, KeyboardInterrupt) else 1

    def end(trace):
        """The end of a run: handlers, output, the program's objects, output. May raise, for the interpreter to end."""
        out, err = sys.__dict__.get("stdout"), sys.__dict__.get("stderr")
        usual = settled(err) & settled(out) and out is streams[0] and err is streams[1] and not native
        status = 0 if own["error"] is None else report(own["error"])
        own["error"] = own["program"] = out = err = None  # no reference to the program stays here
        if usual and isinstance(status, int):
            finish(status)
        streams.clear()
        if isinstance(status, KeyboardInterrupt):
            sys.excepthook = lambda *_: None  # it was reported
        sys.settrace(trace)
        raise SystemExit(status) if isinstance(status, int) else status

    def finish(status):
        """The fast end. Returns, with nothing lost, where the interpreter had better end by itself."""
        try:
            threading, atexit = modules.get("threading"), modules.get("atexit")
            if threading is not None and threading.active_count() > 1:
                return
            if atexit is not None and atexit._ncallbacks():
                atexit._run_exitfuncs()
            if sys.stdout is not streams[0] or sys.stderr is not streams[1]:
                return
        except Exception:
            return
        if status:
            sys.__dict__.update(dict.fromkeys(last_names))
        modules.pop("__main__", None)
        collect()
        leave(status if settled(streams[1]) & settled(streams[0]) else 120)

    def odd(source):
        """Whether the interpreter reads this file otherwise than `compile` reads the same bytes."""
        if not source.isascii():
            try:
                source.decode()
            except UnicodeDecodeError:
                return True
        return b"\0" in source

    def run_plainly():
        os.execv(sys.executable, [sys.executable, "-B", "main.py"])

    def load(echo):
        """The program as functions without arguments: the whole; in notebook mode a trailing expression by itself."""
        nonlocal native
        names = main_module()
        with open(path, "rb", buffering=0) as file:
            source = file.read()
        for word in watchful:
            if word in source:
                native = own["watched"] = True
        if not echo and (not source.isascii() or b"\0" in source) and odd(source):
            run_plainly()
        try:
            if not echo:
                return [FunctionType(compile(source, path, "exec", dont_inherit=True), names)]
            tree = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SyntaxError, ValueError):
            if odd(source) or b"coding" in source[:200]:
                run_plainly()
            raise
        assert isinstance(tree, ast.Module)
        if not tree.body or not isinstance(tree.body[-1], ast.Expr):
            return [FunctionType(compile(tree, path, "exec", dont_inherit=True), names)]
        tail = [tree.body.pop()]
        body = compile(tree, path, "exec", dont_inherit=True)
        import __future__

        known = 0
        for feature in __future__.all_feature_names:
            known |= getattr(__future__, feature).compiler_flag
        last = compile(ast.Interactive(body=tail), path, "single", body.co_flags & known, dont_inherit=True)
        return [FunctionType(body, names), FunctionType(last, names)]

    def compiled_agent(text):
        """Compiled before the fork, so that only the first of its kind in this slot takes the time."""
        if text not in agents:
            loader, parts = eval(text)
            codes = [(name, compile(code, "<agent>", "exec")) for name, code in parts]
            agents[text] = compile(loader, "<agent>", "exec"), codes
        return agents[text]

    def load_agent(agent):
        """A program of the service itself: it runs parts of the user's on request, over descriptor 3."""
        main_module()
        loader, parts = agent
        names = {"__name__": "agent", "__builtins__": modules["builtins"], "parts": parts}
        return [FunctionType(loader, names)]

    def main_module():
        module = type(sys)("__main__")
        names = module.__dict__
        names["__loader__"] = SourceFileLoader("__main__", path)
        for name in main_names:
            names[name] = {} if name == "__annotations__" else modules["builtins"]
        names["__file__"], names["__cached__"] = path, None
        modules["__main__"] = module
        return names

    def limit(kind, value):
        resource.setrlimit(kind, (value, value))

    def become_run(fields, fds):
        """Everything between fork and the program; any failure here ends the run as an error of the service."""
        _, cpu, space, processes, file_size, files = fields
        os.setsid()
        control.detach()  # its number may become the program's
        targets = ([0, 3, 4] if fields[0] & 0x40 else [3, 4])[: len(fds)]  # flag: the first descriptor is stdin
        for target, fd in zip(targets, fds):  # noqa: B905 - not in Python 3.8
            os.dup2(fd, target)
        free = max([2, *targets]) + 1
        os.closerange(free, max(free, own_domain))
        os.closerange(max(free, own_domain + 1), 256)
        limit(resource.RLIMIT_CPU, cpu)
        limit(resource.RLIMIT_FSIZE, file_size)
        limit(resource.RLIMIT_NOFILE, files)
        if processes:
            limit(resource.RLIMIT_NPROC, processes)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        elif own_domain >= 0:
            if libc.syscall(446, own_domain, 0) != 0:
                raise OSError(ctypes.get_errno(), "landlock_restrict_self")
            os.close(own_domain)
        prctl(4, 1, 0, 0, 0)  # the program may look at its own /proc entries
        if not pid_one:
            prctl(1, signal.SIGKILL, 0, 0, 0)
            if os.getppid() == 1:
                os._exit(1)
        if reseed is not None:
            reseed()
        if main_thread is not None:
            main_thread._set_native_id()
        limit(resource.RLIMIT_AS, space)
        if munmap(shared, page) != 0:
            raise OSError(ctypes.get_errno(), "munmap")
        if filter_size and prctl(22, 2, filter_header, 0, 0) != 0:  # PR_SET_SECCOMP
            raise OSError(ctypes.get_errno(), "seccomp")

    def child(fields, fds, extra):
        mode = fields[0] & 0xF
        try:
            become_run(fields, fds)
        except BaseException as error:
            unconfined.value = 1
            os.write(2, f"the run could not be confined: {error!r}\n".encode())
            leave(1)
        if mode == 2:
            argv = extra.decode("utf-8", "surrogateescape").split("\0")
            try:
                os.execvpe(argv[0], argv, dict(os.environ))
            except OSError as error:
                os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            leave(127)
        gc.enable()
        return (load, mode == 1, end) if mode < 2 else (load_agent, extra, end)

    def kill_rest():
        """End what the run left alive."""
        if pid_one:
            os.kill(-1, signal.SIGKILL)
        elif uid is not None:
            pid = os.fork()
            if pid == 0:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                os.kill(-1, signal.SIGKILL)
                os._exit(0)
        else:
            control.send(answer.pack(2, 0, 0.0, 0.0, 0))  # without a privilege: the supervisor kills the tree

    def reap():
        """Wait for every other process of the run. Returns their CPU seconds and largest size."""
        user, system, size = 0.0, 0.0, 0
        killed = False
        while True:
            try:
                pid, _, usage = os.wait4(-1, 0 if killed else os.WNOHANG)
            except ChildProcessError:
                return user, system, size
            if pid == 0:
                kill_rest()
                killed = True
                continue
            user += usage.ru_utime
            system += usage.ru_stime
            size = max(size, usage.ru_maxrss)

    def remove(name, directory):
        """Remove an entry without following links. Loops instead of recursing: a run may nest deeply."""
        try:
            os.unlink(name, dir_fd=directory)
            return
        except IsADirectoryError:
            pass
        except PermissionError:
            pass
        os.chmod(name, 0o700, dir_fd=directory)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        try:
            entries = os.listdir(inner)
            for entry in entries:
                try:
                    os.unlink(entry, dir_fd=inner)
                except (IsADirectoryError, PermissionError):
                    # One level at a time: what is inside moves up to the top, where the outer loop meets it.
                    os.chmod(entry, 0o700, dir_fd=inner)
                    counter[0] += 1
                    os.rename(entry, f".{counter[0]}", src_dir_fd=inner, dst_dir_fd=directory)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=directory)

    def clean():
        """Nothing that a run put into its directories, or changed about them, meets the next one."""
        for _, fd, mode, kept in places:
            os.fchmod(fd, mode)
            for name in os.listxattr(fd):
                if name.startswith(("user.", "system.posix_acl")):
                    os.removexattr(fd, name)
            names = os.listdir(fd)
            while len(names) > len(kept):
                for name in names:
                    if name not in kept:
                        remove(name, fd)
                names = os.listdir(fd)

    def intact():
        """Whether the directories are still where they were: without a user of its own, a run could move them."""
        try:
            return all(os.path.samestat(os.stat(place), os.fstat(fd)) for place, fd, _, _ in places)
        except OSError:
            return False

    counter = [0]
    agents = {}
    places = []
    # Without a user of its own, a run may own their parent: write there at L0, change its attributes above.
    for place in [work, *scratch] if uid is not None else [work, *scratch, work[: work.rindex("/")]]:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        kept = os.listdir(fd)
        places.append((place, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10), os.fstat(fd).st_mode & 0o7777, kept))
        os.close(fd)
    if own_domain >= 0:
        own_domain = fcntl.fcntl(own_domain, fcntl.F_DUPFD_CLOEXEC, 6)
    os.closerange(4, 6)
    control = _socket.socket(fileno=3)
    os.chdir(work)
    control.sendmsg([b"ready"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", places[0][1]))])
    room = _socket.CMSG_SPACE(3 * 4)
    gc.collect()
    gc.disable()
    gc.freeze()
    while True:
        data, ancillary, _, _ = control.recvmsg(1 << 16, room)
        if not data:
            os._exit(0)
        fds = [fd for item in ancillary for fd in struct.unpack(f"{len(item[2]) // 4}i", item[2])]
        fields = request.unpack_from(data)
        if fields[0] & 0x20:  # only clean
            clean()
            control.send(answer.pack(1, 0, 0.0, 0.0, 0))
            continue
        extra = data[request.size :]
        if fields[0] & 0xF == 3:
            extra = compiled_agent(extra)
        pid = os.fork()
        if pid == 0:
            yield child(fields, fds, extra)
        for fd in fds:
            os.close(fd)
        ended, early = 0, []
        while ended != pid:  # orphans of the run end here too
            ended, status, usage = os.wait4(-1, 0)
            early.append(usage)
        user, system, size = reap()
        if unconfined.value:
            leave(1)  # no answer: the supervisor tries another slot
        for fd in (1, 2):
            fcntl.fcntl(fd, fcntl.F_SETFL, 0)  # a run may have changed the shared pipe's modes
            os.fchmod(fd, 0o600)
        if not fields[0] & 0x10:  # keep the files: the next request goes on with them
            clean()
        for usage in early:
            user, system, size = user + usage.ru_utime, system + usage.ru_stime, max(size, usage.ru_maxrss)
        control.send(answer.pack(0, status, user, system, size))
        if uid is None and not intact():
            leave(1)


loop = _zygote()
load, argument, end = next(loop)
error = program = trace = None
watched = False
try:
    # Functions, since `exec` would be one call more below the program.
    for program in load(argument):
        program()
except BaseException as caught:
    error = caught
if watched:
    sys.setprofile(None)
    trace = sys.gettrace()
    sys.settrace(None)
end(trace)
