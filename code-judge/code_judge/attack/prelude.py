"""What every attack begins with: facts about its targets, and how to say that something succeeded."""

PRELUDE = r"""
import ctypes, hashlib, json, os, re, signal, sys, time
try:
    facts = json.loads(sys.stdin.read())
except ValueError:
    facts = {}
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def claim(what):
    print("CLAIM", what, flush=True)
def attempt(action, *args, **names):
    try:
        return action(*args, **names)
    except Exception:
        return None
def call(number, *args):
    return libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
X86 = os.uname().machine == "x86_64"
def secrets_in(data):
    for word in sorted(set(re.findall(rb"SECRET_[a-z]+_[0-9a-f]{32}", data))):
        print(word.decode(), flush=True)
"""
