"""A local model server for measurements: chat completions with a given answer."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def review(reason):
    """The answer of a reviewer that approves."""
    return json.dumps({"verdict": "approve", "risk": "low", "reason": reason, "suggestion": None})


class ModelServer(ThreadingHTTPServer):
    """Answers the author with `answer` and the reviewer, who asks for a schema, with `review`."""

    daemon_threads = True

    def __init__(self, review="", answer=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.review = review
        self.play(answer)

    def play(self, answer):
        """Sets the author's answer and forgets the requests until now."""
        self.answer = answer
        self.first = None
        self.asked = {"author": 0, "reviewer": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.first is None:
            self.server.first = body
        role = "reviewer" if "response_format" in body else "author"
        self.server.asked[role] += 1
        text = self.server.review if role == "reviewer" else self.server.answer
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.reply("application/json", json.dumps({"choices": [choice], "usage": USAGE}))
            return
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [{"content": text[i : i + 40]} for i in range(0, len(text), 40)]
        chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": USAGE})
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        self.reply("text/event-stream", events + "data: [DONE]\n\n")

    def reply(self, kind, text):
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass
