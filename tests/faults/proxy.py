"""A TCP proxy on the loopback that can be slow, cut, refusing, silent, or silent in one direction only."""

import select
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress

TICK_S = 0.01
RESET = struct.pack("ii", 1, 0)  # close() resets the connection


class Proxy:
    """`with Proxy(port) as proxy:` carries connections to `proxy.port` on to `port`; faults are switched while it runs.

    delay_s: bytes are passed on so much later, in each direction.
    refuse: new connections are closed at once; those there are stay.
    blackhole: connections stay open and are accepted, bytes are taken and not passed on. What was held back goes on
        when the fault ends, as TCP would send it again.
    """

    def __init__(self, target_port, host="127.0.0.1"):
        self._target, self._pairs, self._lock = (host, target_port), [], threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.normal()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def normal(self):
        """End every fault; connections that were cut stay cut."""
        self.delay_s, self.refuse, self.blackhole, self._half = 0.0, False, False, False

    def half_open(self):
        """Pass on what the client sends and nothing that the server answers."""
        self._half = True

    def cut(self):
        """Reset every connection, on both sides."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(pair)

    @property
    def connections(self):
        with self._lock:
            return len(self._pairs)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = None if self.refuse else socket.create_connection(self._target, timeout=5)
            except OSError:
                server = None
            if server is None:
                _close([client])
                continue
            server.settimeout(None)
            pair = [client, server]
            with self._lock:
                self._pairs.append(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(self, pair, source, sink):
        answers, held, ended = source is pair[1], deque(), False
        with suppress(OSError, ValueError):  # cut meanwhile
            while (held or not ended) and sink.fileno() != -1:
                if ended:
                    time.sleep(TICK_S)
                elif select.select([source], [], [], TICK_S if held else None)[0]:
                    data = source.recv(1 << 16)
                    ended = not data
                    held.append((time.monotonic() + self.delay_s, data))
                silent = self.blackhole or (answers and self._half)
                while held and not silent and held[0][0] <= time.monotonic():
                    sink.sendall(held.popleft()[1])
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)
        _close(pair)


def _close(sockets):
    for one in sockets:
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
        one.close()
