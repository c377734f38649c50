"""Messages between a supervisor and an agent: a length, then JSON; descriptors travel beside a message."""

import json
import os
import socket
import struct

_HEADER = struct.Struct("!I")
_MAX_DESCRIPTORS = 4


def receive(channel):
    """The next message and the descriptors sent with it. Raises EOFError at the end."""
    data, fds, _, _ = socket.recv_fds(channel, _HEADER.size, _MAX_DESCRIPTORS)
    while len(data) < _HEADER.size:
        more = channel.recv(_HEADER.size - len(data)) if data else b""
        if not more:
            raise EOFError("the other side is gone")
        data += more
    left = _HEADER.unpack(data)[0]
    parts = []
    while left:
        part = channel.recv(min(left, 1 << 20))
        if not part:
            raise EOFError("the other side is gone")
        parts.append(part)
        left -= len(part)
    return json.loads(b"".join(parts)), fds


def send(channel, message):
    data = json.dumps(message).encode()
    channel.sendall(_HEADER.pack(len(data)) + data)


def read_all(fd):
    """What a pipe holds until its last writer closes it."""
    parts = []
    while True:
        part = os.read(fd, 1 << 16)
        if not part:
            os.close(fd)
            return b"".join(parts)
        parts.append(part)


def read_one(fd):
    """One message from a pipe, or None when it ends first. Does not wait for other writers to close it."""
    data, size = b"", None
    while size is None or len(data) < size:
        part = os.read(fd, 1 << 16)
        if not part:
            return None
        data += part
        if size is None and len(data) >= _HEADER.size:
            size = _HEADER.size + _HEADER.unpack_from(data)[0]
    return data[_HEADER.size : size]


def write_one(fd, data):
    data = _HEADER.pack(len(data)) + data
    while data:
        data = data[os.write(fd, data) :]
