"""A server on 127.0.0.1 that keeps GitHub's published rules for issues and their comments.

As in the REST description, version 2022-11-28: a bearer token, a User-Agent, `title` required to
create an issue, `body` required for a comment, texts of 65,536 characters at most, `state` open by
default, `since` by the time of the last change, at most 100 a page with a `Link` to the next one.
Every request and every answer is held against GitHub's own description of the API.
"""

import contextlib
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from github_description import Description

TOKEN = "github_pat_" + "t0ken" * 6
REPOSITORY = "acme/shop"
LONGEST = 65_536
PREFIX = "/api/v3"
DESCRIPTION = Description()


@dataclass
class GitHub:
    """`plan`: what is done instead with the next requests: (method, status, headers, body).

    "drop" for a status closes without an answer, "take and drop" does the work first.
    `faults`: where a request or an answer was not as GitHub describes it.
    """

    issues: list = field(default_factory=list)
    comments: dict = field(default_factory=dict)
    plan: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    repository: str = REPOSITORY
    per_page: int = 100
    port: int = 0

    @property
    def api(self):
        return f"http://127.0.0.1:{self.port}/api/v3"

    def add(self, title, body, **more):
        """An issue of somebody else's."""
        number = len(self.issues) + 1
        issue = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "labels": [],
            "created_at": now(),
            "updated_at": now(),
            "html_url": f"https://github.example/{REPOSITORY}/issues/{number}",
            **more,
        }
        self.issues.append(issue)
        self.comments[number] = []
        return issue

    def other(self, method, path, query, body):
        """What is no issue: (status, headers, content), (list, query) for a page of it, or None."""


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def github(kind=GitHub, **options):
    """The server."""
    ours = kind(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._do("GET")

        def do_POST(self):
            self._do("POST")

        def do_PUT(self):
            self._do("PUT")

        def do_PATCH(self):
            self._do("PATCH")

        def _do(self, method):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            ours.asked.append((method, self.path, dict(self.headers), body))
            step = None
            if ours.plan and ours.plan[0][0] == method:
                step = ours.plan.pop(0)
            if step and step[1] == "drop":
                self.close_connection = True
                return
            if step and step[1] != "take and drop":
                self._send(*step[1:])
                return
            status, headers, content = self._described(method, body)
            if step:
                self.close_connection = True
                return
            self._send(status, headers, content)

        def _refusal(self):
            rules = (
                (403, "no User-Agent", bool(self.headers.get("User-Agent"))),
                (401, "Bad credentials", self.headers.get("Authorization") == f"Bearer {TOKEN}"),
                (400, "version", self.headers.get("X-GitHub-Api-Version") == "2022-11-28"),
                (415, "media", self.headers.get("Accept") == "application/vnd.github+json"),
            )
            broken = [(status, {}, {"message": told}) for status, told, kept in rules if not kept]
            return broken[0] if broken else None

        def _described(self, method, body):
            refused = self._refusal()
            if refused:
                return refused
            target = self.path.removeprefix(PREFIX)
            faults = DESCRIPTION.request_faults(method, target, body)
            if faults:
                ours.faults += faults
                return 422, {}, {"message": f"Validation Failed: {faults}"}
            status, headers, content = self._answer(method, body)
            if status < 300:
                content = DESCRIPTION.completed(method, target, status, content)
            ours.faults += DESCRIPTION.answer_faults(method, target, status, content)
            return status, headers, content

        def _answer(self, method, body):
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            start = f"{PREFIX}/repos/{ours.repository}"
            inside = parts.path.startswith(start)
            other = inside and ours.other(method, parts.path.removeprefix(start), query, body)
            if other:
                return self._page(*other) if isinstance(other[0], list) else other
            path = inside and re.fullmatch(r"/issues(?:/(\d+)/comments)?", parts.path[len(start) :])
            if not path or (path[1] and int(path[1]) not in ours.comments):
                return 404, {}, {"message": "Not Found"}
            if method == "GET":
                return self._list(int(path[1]) if path[1] else None, query)
            if not (self.headers.get("Content-Type") or "").startswith("application/json"):
                return 400, {}, {"message": "Problems parsing JSON"}
            return self._create(int(path[1]) if path[1] else None, body)

        def _list(self, number, query):
            return self._page(ours.comments[number] if number else self._issues(query), query)

        def _page(self, every, query):
            size = min(int(query.get("per_page", 30)), 100, ours.per_page)
            page = int(query.get("page", 1))
            headers = {}
            if len(every) > page * size:
                url = f"{ours.api}/x?page={page + 1}"
                headers["Link"] = f'<{url}>; rel="next", <{url}9>; rel="last"'
            return 200, headers, every[(page - 1) * size : page * size]

        def _issues(self, query):
            state = query.get("state", "open")
            since = query.get("since", "")
            found = [one for one in ours.issues if state in {"all", one["state"]}]
            found = [one for one in found if one["updated_at"] >= since]
            return found[::-1] if query.get("direction", "desc") == "desc" else found

        def _create(self, number, body):
            try:
                content = json.loads(body)
            except ValueError:
                return 400, {}, {"message": "Problems parsing JSON"}
            needed = "body" if number else "title"
            text = content.get("body") or ""
            long = len(text) > LONGEST or len(content.get("title", "")) > 256
            if long or not content.get(needed):
                return 422, {}, {"message": "Validation Failed"}
            if number:
                ours.comments[number].append({"body": text})
                return 201, {}, {"body": text}
            labels = [{"name": name} for name in content.get("labels", [])]
            return 201, {}, ours.add(content["title"], text, labels=labels)

        def _send(self, status, headers, content):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            data = json.dumps(content).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        ours.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield ours
        finally:
            server.shutdown()
            thread.join()
