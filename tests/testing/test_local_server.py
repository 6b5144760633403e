"""local_server.py: it serves while its `with` lasts, and no longer."""

import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler

import pytest

from hf_unlab.testing.local_server import LocalServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        body = str(self.owner.port).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_it_answers_until_its_end(capfd):
    with LocalServer(Handler) as server:
        url = f"http://127.0.0.1:{server.port}/"
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == str(server.port).encode()
        assert not server.closing.is_set()
    assert server.closing.is_set()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)
    assert capfd.readouterr() == ("", "")
