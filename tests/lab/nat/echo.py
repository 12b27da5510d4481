# SPDX-License-Identifier: Apache-2.0
"""Says who calls: echo.py ADDRESS PORT"""

import http.server
import sys


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Echo)
print(f"ready {server.server_address}", flush=True)
server.serve_forever()
