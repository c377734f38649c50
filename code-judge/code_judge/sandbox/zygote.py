"""The warm interpreter of a slot. Its text is given to `python -c` inside the confinement: it imports nothing of ours.

It waits for a request on descriptor 3, forks, and the child becomes the run: descriptors 0 to 2, limits, user, then
the program, as `python3 main.py` would run it. The parent waits, ends whatever the run left alive, empties the
directories and answers. It never holds a program, an input or an expected output.
"""


def _zygote():
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
    import sys
    from _frozen_importlib_external import SourceFileLoader

    config = eval(sys.argv[1])
    work, scratch, uid, pid_one = config["work"], config["scratch"], config["uid"], config["pid_one"]
    request, answer = struct.Struct(config["request"]), struct.Struct(config["answer"])
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

    for name in config["preload"]:
        try:
            __import__(name)
        except ImportError:
            sys.exit(f"the interpreter of the slot cannot import {name}")
    reseed = sys.modules["numpy"].random.seed if "numpy" in config["preload"] else None
    compile("a = 1\nprint(a)\n", "main.py", "exec")  # the first compilation is the slow one

    path = work + "/main.py"
    sys.argv[:] = ["main.py"]
    sys.orig_argv = [sys.executable, "main.py"]
    sys.path[0] = work

    def report(error):
        """Print an uncaught exception as the interpreter does, without the frames of this file."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == "<string>" and trace.tb_frame.f_globals is own:
            trace = trace.tb_next
        error.__traceback__ = trace
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
        try:
            sys.excepthook(type(error), error, trace)
        except SystemExit as leaving:
            return exit_status(leaving)
        except BaseException as second:
            print("Error in sys.excepthook:", file=sys.stderr)
            sys.__excepthook__(type(second), second, second.__traceback__)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(type(error), error, trace)
        return 1

    def exit_status(leaving):
        code = leaving.code
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 0xFF
        try:
            sys.stdout.flush()
            print(code, file=sys.stderr)
        except (AttributeError, OSError, ValueError):
            pass
        return 1

    def attempt(action):
        """Run a part of the program; returns its exit status, or None when it ended without an exception."""
        try:
            action()
        except SystemExit as leaving:
            return exit_status(leaving)
        except KeyboardInterrupt as error:
            report(error)
            return -signal.SIGINT
        except BaseException as error:
            return report(error)
        return None

    def flush():
        """True when what was written could be delivered."""
        fine = True
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None and not getattr(stream, "closed", False):
                    stream.flush()
            except Exception as error:
                if stream is sys.stdout:
                    fine = False
                    message = f"Exception ignored in: {stream!r}\n{type(error).__name__}: {error}\n"
                    os.write(2, message.encode(errors="replace"))
        return fine

    def shut_down(main, status):
        """The interpreter's order: threads, exit handlers, flush, the program's objects, flush."""
        if "threading" in sys.modules:
            attempt(sys.modules["threading"]._shutdown)
        atexit = sys.modules.get("atexit")
        if atexit is not None:
            attempt(atexit._run_exitfuncs)
        fine = flush()
        for first in (True, False):
            for name in list(main):
                private = name[:1] == "_" and name[1:2] != "_"
                if name != "__builtins__" and private is first:
                    main[name] = None
        gc.collect()
        fine = flush() and fine
        if status == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(status if fine else 120)

    def load(source, echo):
        """The program's code, and in notebook mode that of its trailing expression."""
        if not echo:
            return compile(source, path, "exec", dont_inherit=True), None
        tree = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        if not tree.body or not isinstance(tree.body[-1], ast.Expr):
            return compile(tree, path, "exec", dont_inherit=True), None
        tail = [tree.body.pop()]
        body = compile(tree, path, "exec", dont_inherit=True)
        import __future__

        known = 0
        for feature in __future__.all_feature_names:
            known |= getattr(__future__, feature).compiler_flag
        last = compile(ast.Interactive(body=tail), path, "single", body.co_flags & known, dont_inherit=True)
        return body, last

    def run_program(echo):
        module = type(sys)("__main__")
        main = module.__dict__
        main.update(
            __file__=path, __builtins__=sys.modules["builtins"], __annotations__={}, __cached__=None,
            __loader__=SourceFileLoader("__main__", path),
        )  # fmt: skip
        sys.modules["__main__"] = module
        gc.enable()

        def whole():
            with open(path, "rb", buffering=0) as file:
                source = file.read()
            body, last = load(source, echo)
            exec(body, main)
            if last is not None:
                exec(last, main)

        shut_down(main, attempt(whole) or 0)

    def run_agent(text):
        """A program of the service itself: it runs parts of the user's on request, over descriptor 3."""
        module = type(sys)("__main__")
        module.__dict__.update(__builtins__=sys.modules["builtins"], __file__=path)
        sys.modules["__main__"] = module
        gc.enable()
        agent = {"__name__": "agent", "__builtins__": sys.modules["builtins"]}
        shut_down(module.__dict__, attempt(lambda: exec(compile(text, "<agent>", "exec"), agent)) or 0)

    def limit(kind, value):
        resource.setrlimit(kind, (value, value))

    def become_run(fields, fds):
        """Everything between fork and the program; any failure here ends the run as an error of the service."""
        _, cpu, space, processes, file_size, files = fields
        os.setsid()
        targets = ([0, 3, 4] if fields[0] & 0x40 else [3, 4])[: len(fds)]  # flag: the first descriptor is stdin
        for target, fd in zip(targets, fds, strict=True):
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
        limit(resource.RLIMIT_AS, space)

    def child(fields, fds, extra):
        mode = fields[0] & 0xF
        try:
            become_run(fields, fds)
        except BaseException as error:
            os.write(2, f"judge: the run could not be confined: {error!r}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        if mode < 2:
            run_program(mode == 1)
        if mode == 3:
            run_agent(extra)
        argv = extra.decode("utf-8", "surrogateescape").split("\0")
        try:
            os.execve(argv[0], argv, dict(os.environ))
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(127)

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
            control.send(answer.pack(2, 0, 0, 0.0, 0.0, 0))  # without a privilege: the supervisor kills the tree

    def reap():
        """Wait for every other process of the run. Returns their number, CPU seconds and largest size."""
        count, user, system, size = 0, 0.0, 0.0, 0
        killed = False
        while True:
            try:
                pid, _, usage = os.wait4(-1, 0 if killed else os.WNOHANG)
            except ChildProcessError:
                return count, user, system, size
            if pid == 0:
                kill_rest()
                killed = True
                continue
            count += 1
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
        for fd in directories:
            while True:
                names = os.listdir(fd)
                if not names:
                    break
                for name in names:
                    remove(name, fd)

    counter = [0]
    own = globals()
    directories = [os.open(name, os.O_RDONLY | os.O_DIRECTORY) for name in [work, *scratch]]
    directories = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in directories]
    if own_domain >= 0:
        own_domain = fcntl.fcntl(own_domain, fcntl.F_DUPFD_CLOEXEC, 6)
    os.closerange(4, 6)
    control = _socket.socket(fileno=3)
    os.chdir(work)
    control.sendmsg([b"ready"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", directories[0]))])
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
            control.send(answer.pack(1, 0, 0, 0.0, 0.0, 0))
            continue
        pid = os.fork()
        if pid == 0:
            child(fields, fds, data[request.size :])
        for fd in fds:
            os.close(fd)
        ended, early = 0, []
        while ended != pid:  # orphans of the run end here too
            ended, status, usage = os.wait4(-1, 0)
            early.append(usage)
        count, user, system, size = reap()
        for fd in (1, 2):
            fcntl.fcntl(fd, fcntl.F_SETFL, 0)  # a run may have changed the shared pipe's mode
        if not fields[0] & 0x10:  # keep the files: the next request goes on with them
            clean()
        for usage in early:
            user, system, size = user + usage.ru_utime, system + usage.ru_stime, max(size, usage.ru_maxrss)
        control.send(answer.pack(0, status, count, user, system, size))


_zygote()
