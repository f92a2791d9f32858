"""Says how far a vehicle comes: GET /range?fuel=LITRES."""

import http.server
import os
from urllib.parse import parse_qs, urlsplit


def reach(litres: float) -> int:
    """Kilometres at 8 litres per 100 kilometres, in whole kilometres."""
    if litres < 0:
        raise ValueError("a tank holds no negative amount")
    return int(litres / 8 * 100)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        status, body = 404, "no such page"
        if url.path == "/health":
            status, body = 200, "ok"
        elif url.path == "/range":
            try:
                status, body = 200, f"{reach(float(parse_qs(url.query)['fuel'][0]))} km"
            except (KeyError, ValueError) as error:
                status, body = 400, str(error)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())


if __name__ == "__main__":
    address = ("127.0.0.1", int(os.environ["PORT"]))
    http.server.ThreadingHTTPServer(address, Handler).serve_forever()
