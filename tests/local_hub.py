"""A Hugging Face Hub on this machine, for tests: the real client libraries talk to it through HF_ENDPOINT.

    with LocalHub() as hub:
        hub.add("model", "school/stars", "a" * 40, {"config.json": b"{}"})
        # a program with HF_ENDPOINT=hub.endpoint and HF_HUB_DISABLE_XET=1 can now fetch it

By hand, with the lecture's dataset and both checkpoints: python tests/local_hub.py --train 1200 --test 1100

Not emulated: Xet (none is offered when files are fetched, and a push over Xet is refused), multipart uploads, pull
requests, branches other than main and tags, Spaces, search, discussions, the dataset viewer, names of repositories
that moved, gzip on the way, safetensors and tags in the description of a model. What a client asks beyond the
emulated is answered with 404 and noted in `LocalHub.unknown`.
"""

import argparse
import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import socketserver
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

MEGABYTE = 2**20
LARGE_FILE_SUFFIXES = {".arrow", ".bin", ".bz2", ".gz", ".h5", ".msgpack", ".onnx", ".parquet", ".pt", ".pth",
                       ".safetensors", ".tar", ".xz", ".zip", ".zst"}
DATE = "2024-01-04T17:14:53.000Z"  # of every commit
WRONG_COMMIT = "bad0" * 10
PORTAL = b"<!DOCTYPE html><title>Guest network</title><h1>Welcome</h1><form>Log in to use the network.</form>\n"
FAULTS = ("silent", "slow", "cut", "truncated", "flipped", "status", "reset", "html", "wrong_commit")
_FAULTS_OF_THE_BODY = ("slow", "cut", "truncated", "flipped")
# identifiers that the Hub accepts in a card, as far as they occur with text models and datasets
LICENSES = {"afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigscience-openrail-m", "bsd", "bsd-2-clause",
            "bsd-3-clause", "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0",
            "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0",
            "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-2.0", "creativeml-openrail-m", "ecl-2.0", "epl-2.0",
            "eupl-1.1", "gemma", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "llama2",
            "llama3", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "openrail++",
            "osl-3.0", "other", "pddl", "postgresql", "unknown", "unlicense", "wtfpl", "zlib"}


# what is served


@dataclass
class Content:
    """A file of a repository: bytes, or a place on the disk that is read when it is asked for."""

    source: bytes | Path

    @cached_property
    def size(self) -> int:
        return self.source.stat().st_size if isinstance(self.source, Path) else len(self.source)

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for chunk in self.chunks(0, self.size):
            digest.update(chunk)
        return digest.hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git holds in place of a large file (git-lfs, docs/spec.md)."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    def read(self) -> bytes:
        return b"".join(self.chunks(0, self.size))

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            yield self.source[start:stop]
            return
        with self.source.open("rb") as file:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(MEGABYTE, stop - start))
                if not chunk:
                    return
                start += len(chunk)
                yield chunk


def git_sha1(data: bytes) -> str:
    """Name that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class HubRepo:
    """A repository with its commits; the last one is main."""

    kind: str
    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Content]] = field(default_factory=dict)  # commit -> path -> content
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> str:
        return list(self.commits)[-1]

    @property
    def place(self) -> str:
        """Its part of an address."""
        return f"datasets/{self.name}" if self.kind == "dataset" else self.name


@dataclass
class Request:
    method: str
    path: str  # as it came, still quoted
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    base: str  # address of the server as the client wrote it

    def json(self) -> dict:
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refusal(400, "The request is not JSON.") from None

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1")


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: Content = field(default_factory=lambda: Content(b""))
    start: int = 0  # the part of the content that is sent
    stop: int | None = None


class Refusal(Exception):
    """An answer that says no, in the Hub's way."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers

    def answer(self) -> Answer:
        headers = {"X-Error-Message": self.message} | {name.replace("_", "-"): to for name, to in self.headers.items()}
        if self.code:
            headers["X-Error-Code"] = self.code
        return json_answer({"error": self.message}, self.status, headers)


def json_answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    headers = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Answer(status, headers, Content(json.dumps(value).encode()))


@dataclass
class Fault:
    kind: str
    path_part: str
    after: int  # requests that are still let through
    times: int | None  # requests that are still spoiled; None: all
    method: str | None
    status: int
    headers: dict[str, str]
    seconds: float
    over: threading.Event = field(default_factory=threading.Event)

    def hits(self, method: str, path: str) -> bool:
        """Whether this request is spoiled; counts it."""
        suits = self.path_part in path and self.method in (None, method)
        if not suits or self.times == 0 or (method == "HEAD" and self.kind in _FAULTS_OF_THE_BODY):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


# HTTP


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a connection on which nothing happens must not hold up the end
    request_queue_size = 64

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], owner: "LocalHub | LocalProxy"):
        self.owner, self.open, self.lock = owner, set(), threading.Lock()
        super().__init__(("127.0.0.1", port), handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # the parent's asks a name server
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address) -> None:
        with self.lock:
            self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        with self.lock:
            self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if not isinstance(error, OSError | ValueError):  # the client went away, or the server was closed
            super().handle_error(request, client_address)


class _Service:
    """A server in a thread of its own, from `with` to its end, or from start() to close()."""

    handler: type[BaseHTTPRequestHandler]

    def __init__(self, port: int = 0):
        self._server = _Server(port, self.handler, self)
        self._thread: threading.Thread | None = None
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        if self._thread:
            self._server.shutdown()
        self._server.server_close()
        with self._server.lock:
            still_open = list(self._server.open)
        for connection in still_open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *values) -> None:
        pass

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def reset_connection(self) -> None:
        """Close without a farewell, which the client sees as a connection reset by peer."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        for file in (self.rfile, self.wfile):
            file.close()
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def do_GET(self) -> None:
        self.respond()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET


class _HubHandler(_Handler):
    def respond(self) -> None:
        hub: LocalHub = self.server.owner
        address = urlsplit(self.path)
        body = self.read_body()
        fault = hub.met(self.command, self.path)
        kind = fault.kind if fault else None
        if kind == "silent":
            fault.over.wait()
            self.close_connection = True
            return
        if kind == "reset":
            self.reset_connection()
            return
        if kind == "status":
            answer = Answer(fault.status, {"Content-Type": "text/plain", **fault.headers}, Content(b"Not now.\n"))
        elif kind == "html":
            answer = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, Content(PORTAL))
        else:
            base = f"http://{self.headers.get('Host') or hub.endpoint.removeprefix('http://')}"
            answer = hub.answer(Request(self.command, address.path, parse_qs(address.query, keep_blank_values=True),
                                        {name.lower(): value for name, value in self.headers.items()}, body, base),
                                WRONG_COMMIT if kind == "wrong_commit" else None)
        self.send(answer, fault if kind in _FAULTS_OF_THE_BODY else None)

    def send(self, answer: Answer, fault: Fault | None) -> None:
        start = answer.start
        stop = answer.content.size if answer.stop is None else answer.stop
        middle = start + (stop - start) // 2
        kind = fault.kind if fault else None
        if kind == "truncated":
            stop = middle
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind == "slow":
            self.send_slowly(answer.content, start, stop, fault)
            return
        for chunk in answer.content.chunks(start, middle if kind == "cut" else stop):
            if kind == "flipped" and start <= middle < start + len(chunk):
                place = middle - start
                chunk = chunk[:place] + bytes([chunk[place] ^ 1]) + chunk[place + 1 :]
            self.wfile.write(chunk)
            start += len(chunk)
        if kind == "cut":
            self.close_connection = True

    def send_slowly(self, content: Content, start: int, stop: int, fault: Fault) -> None:
        for chunk in content.chunks(start, stop):
            for place in range(len(chunk)):
                if fault.over.wait(fault.seconds):  # the rest at once
                    self.wfile.write(chunk[place:])
                    break
                self.wfile.write(chunk[place : place + 1])


# the Hub


_NAME = r"(?P<name>[^/]+(?:/[^/]+)?)"
_API = rf"/api/(?P<kind>model|dataset)s/{_NAME}"
_PLACE = rf"/(?P<kind>datasets/)?{_NAME}"
_REVISION = r"(?P<revision>[^/]+)"


class LocalHub(_Service):
    """A Hub; with large files behind a redirect to another host, as the real one has them, if `redirect` is set.

    Tokens: hf_good... may read and write as `user`, hf_read... may read, others are refused.
    """

    handler = _HubHandler

    def __init__(self, port: int = 0, user: str = "student", organizations: tuple[str, ...] = ("school",),
                 large_file: int = 10 * MEGABYTE, redirect: bool = False, page: int = 1000):
        super().__init__(port)
        self.user, self.organizations = user, organizations
        self.large_file, self.redirect, self.page = large_file, redirect, page
        self.requests: list[tuple[str, str]] = []  # (method, path with query), in order; may be cleared
        self.unknown: list[tuple[str, str]] = []  # those among them that are not emulated
        self.pushed: dict[str, dict[str, bytes]] = {}  # repository -> path -> what was committed by pushes
        self.repos: dict[tuple[str, str], HubRepo] = {}
        self._uploads: dict[str, Content] = {}  # SHA-256 -> a large file that was uploaded
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._routes: list[tuple[str, re.Pattern, Callable]] = [
            (method, re.compile(pattern + r"/?"), function) for method, pattern, function in (
                ("GET", "/api/whoami-v2", self._whoami),
                ("POST", "/api/repos/create", self._create),
                ("POST", "/api/validate-yaml", self._validate),
                ("GET", rf"{_API}/revision/{_REVISION}", self._info),
                ("GET", rf"{_API}/tree/{_REVISION}(?:/(?P<path>.+))?", self._tree),
                ("POST", rf"{_API}/paths-info/{_REVISION}", self._paths_info),
                ("GET", rf"{_API}/commits/{_REVISION}", self._commits),
                ("GET", rf"{_API}/refs", self._refs),
                ("GET", rf"{_API}/xet-(?:read|write)-token/{_REVISION}", self._xet),
                ("POST", rf"{_API}/preupload/{_REVISION}", self._preupload),
                ("POST", rf"{_API}/commit/{_REVISION}", self._commit),
                ("GET", _API, self._info),
                ("POST", rf"{_PLACE}\.git/info/lfs/objects/batch", self._batch),
                ("PUT", r"/upload/(?P<oid>[0-9a-f]{64})", self._upload),
                ("POST", rf"{_PLACE}\.git/info/lfs/verify", self._verify),
                ("GET", rf"{_PLACE}/resolve/{_REVISION}/(?P<path>.+)", self._resolve),
                ("GET", rf"/cdn{_PLACE}/(?P<oid>[0-9a-f]{{64}})", self._cdn),
            )
        ]

    # for tests

    def add(self, kind: str, name: str, commit: str, folder_or_files: str | Path | dict[str, bytes | str | Path],
            private: bool = False, gated: bool = False) -> HubRepo:
        """Serve a folder or {path: content} as a commit of a model or dataset; the one added last is main."""
        if kind not in ("model", "dataset") or not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ValueError(f"expected model or dataset and 40 hexadecimal digits, found {kind!r} and {commit!r}")
        if isinstance(folder_or_files, dict):
            files = {path: Content(one.encode() if isinstance(one, str) else one)
                     for path, one in folder_or_files.items()}
        else:
            folder = Path(folder_or_files)
            files = {path.relative_to(folder).as_posix(): Content(path)
                     for path in sorted(folder.rglob("*")) if path.is_file()}
        with self._lock:
            repo = self.repos.setdefault((kind, name), HubRepo(kind, name))
            repo.private, repo.gated = private, gated
            repo.commits.pop(commit, None)
            repo.commits[commit] = files
            repo.titles[commit] = "Add files"
        return repo

    def fault(self, kind: str, path_part: str = "", after: int = 0, times: int | None = None,
              method: str | None = None, status: int = 503, headers: dict[str, str] | None = None,
              seconds: float = 1.0) -> None:
        """Spoil requests whose path and query hold `path_part`, until clear().

        The first `after` of them are let through, then `times` are spoiled (None: all). `status` and `headers` belong
        to the fault "status", `seconds` (for each byte) to "slow". The faults of the body leave HEAD requests alone
        and do not count them. Of several faults the first that fits is taken.
        """
        if kind not in FAULTS:
            raise ValueError(f"expected one of {', '.join(FAULTS)}, found {kind!r}")
        with self._lock:
            self._faults.append(Fault(kind, path_part, after, times, method, status, headers or {}, seconds))

    def clear(self) -> None:
        """End all faults; silent connections are closed, slow ones get the rest at once."""
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.over.set()

    def close(self) -> None:
        self.clear()
        super().close()

    def paths(self, method: str | None = None) -> list[str]:
        """Paths that were asked for, without their queries."""
        return [path.partition("?")[0] for asked, path in list(self.requests) if method in (None, asked)]

    # for the handler

    def met(self, method: str, path: str) -> Fault | None:
        """Note a request, and find the fault that spoils it."""
        with self._lock:
            self.requests.append((method, path))
            return next((fault for fault in self._faults if fault.hits(method, path)), None)

    def answer(self, request: Request, commit: str | None = None) -> Answer:
        """Answer a request; with another commit than the true one, if it is given."""
        asked = "GET" if request.method == "HEAD" else request.method
        for method, pattern, function in self._routes:
            if method == asked and (found := pattern.fullmatch(request.path)):
                values = {name: value and unquote(value) for name, value in found.groupdict().items()}
                if "kind" in values:
                    values["kind"] = "dataset" if (values["kind"] or "").startswith("dataset") else "model"
                try:
                    with self._lock:
                        answer = function(request, **values)
                except Refusal as refusal:
                    answer = refusal.answer()
                return self._forged(answer, commit) if commit else answer
        self.unknown.append((request.method, request.path))
        return Refusal(404, f"tests/local_hub.py does not emulate {request.method} {request.path}").answer()

    @staticmethod
    def _forged(answer: Answer, commit: str) -> Answer:
        if "X-Repo-Commit" in answer.headers:
            answer.headers["X-Repo-Commit"] = commit
        elif isinstance(answer.content.source, bytes):
            answer.content = Content(re.sub(rb'("(?:sha|commitOid)": ")[0-9a-f]{40}', rb"\g<1>" + commit.encode(),
                                            answer.content.source))
        return answer

    # who may do what

    @staticmethod
    def _role(request: Request) -> str | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        if token.startswith("hf_good"):
            return "write"
        if token.startswith("hf_read"):
            return "read"
        raise Refusal(401, "Invalid credentials in Authorization header")

    def _repo(self, request: Request, kind: str, name: str, write: bool = False) -> HubRepo:
        role, repo = self._role(request), self.repos.get((kind, name))
        if role is None and (repo is None or repo.private or write):
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        if repo is None:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write:
            self._check_writer(role, name.partition("/")[0])
        return repo

    def _check_writer(self, role: str | None, namespace: str) -> None:
        if role is None:
            raise Refusal(401, "Invalid username or password.")
        if role != "write":
            raise Refusal(403, "Forbidden: this token can only read, a write token is needed")
        if namespace not in (self.user, *self.organizations):
            raise Refusal(403, f"You have no rights to write under the namespace {namespace!r}")

    @staticmethod
    def _files(repo: HubRepo, revision: str) -> tuple[str, dict[str, Content]]:
        commit = repo.main if revision in ("main", "refs/heads/main") else revision
        if commit not in repo.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit, repo.commits[commit]

    def _is_large(self, path: str, size: int) -> bool:
        return size > 0 and (Path(path).suffix.lower() in LARGE_FILE_SUFFIXES or size > self.large_file)

    # what there is

    def _whoami(self, request: Request) -> Answer:
        role = self._role(request)
        if role is None:
            raise Refusal(401, "Invalid username or password.")
        orgs = [{"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": "write"}
                for name in self.organizations]
        token = {"displayName": "test", "role": role, "createdAt": DATE}
        return json_answer({"type": "user", "id": "1" * 24, "name": self.user, "fullname": self.user, "isPro": False,
                            "canPay": False, "periodEnd": None, "avatarUrl": "/avatar.svg", "orgs": orgs,
                            "auth": {"type": "access_token", "accessToken": token}})

    def _entry(self, path: str, content: Content, expand: bool) -> dict:
        entry = {"type": "file", "oid": git_sha1(content.pointer), "size": content.size, "path": path}
        if self._is_large(path, content.size):
            entry["lfs"] = {"oid": content.sha256, "size": content.size, "pointerSize": len(content.pointer)}
        else:
            entry["oid"] = git_sha1(content.read())
        return entry | (self._more() if expand else {})

    @staticmethod
    def _more() -> dict:
        scan = {"status": "safe", "avScan": None, "pickleImportScan": None}
        return {"lastCommit": {"id": "0" * 40, "title": "Add files", "date": DATE}, "securityFileStatus": scan}

    def _entries(self, files: dict[str, Content], folder: str, recursive: bool, expand: bool) -> list[dict]:
        """Folders first, then files, as the Hub lists them."""
        prefix = f"{folder}/" if folder else ""
        inside = {path: content for path, content in files.items() if path.startswith(prefix)}
        folders = {f"{prefix}{'/'.join(parts[: depth + 1])}" for parts in
                   (path.removeprefix(prefix).split("/") for path in inside) for depth in range(len(parts) - 1)}
        shown = [path for path in sorted(inside) if recursive or "/" not in path.removeprefix(prefix)]
        names = [path for path in sorted(folders) if recursive or "/" not in path.removeprefix(prefix)]
        last = {"lastCommit": self._more()["lastCommit"]} if expand else {}
        return [{"type": "directory", "oid": git_sha1(name.encode()), "size": 0, "path": name, **last}
                for name in names] + [self._entry(path, inside[path], expand) for path in shown]

    def _info(self, request: Request, kind: str, name: str, revision: str = "main") -> Answer:
        repo = self._repo(request, kind, name)
        commit, files = self._files(repo, revision)
        siblings = [{"rfilename": path} for path in sorted(files)]
        if request.flag("blobs"):
            for sibling in siblings:
                entry = self._entry(sibling["rfilename"], files[sibling["rfilename"]], False)
                sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    sibling["lfs"] = {"sha256": entry["lfs"]["oid"], "size": entry["size"],
                                      "pointerSize": entry["lfs"]["pointerSize"]}
        info = {"_id": "2" * 24, "id": name, "author": name.rpartition("/")[0], "sha": commit, "lastModified": DATE,
                "createdAt": DATE, "private": repo.private, "gated": "manual" if repo.gated else False,
                "disabled": False, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings, "usedStorage": 0}
        if kind == "model":
            info["modelId"] = name
        if "README.md" in files:
            card, _ = card_metadata(files["README.md"].read().decode("utf-8", "replace"))
            info |= {"cardData": card} if card else {}
        return json_answer(info)

    def _tree(self, request: Request, kind: str, name: str, revision: str, path: str | None = None) -> Answer:
        repo = self._repo(request, kind, name)
        commit, files = self._files(repo, revision)
        folder = (path or "").strip("/")
        entries = self._entries(files, folder, request.flag("recursive"), request.flag("expand"))
        if folder and not entries:
            raise Refusal(404, f"{folder} does not exist on {revision!r}", "EntryNotFound", X_Repo_Commit=commit)
        limit = min(int(request.query.get("limit", [self.page])[0]), self.page)
        begin = int(request.query.get("cursor", ["0"])[0])
        headers = {}
        if begin + limit < len(entries):
            query = "&".join(f"{key}={quote(values[-1])}" for key, values in request.query.items() if key != "cursor")
            headers["Link"] = f'<{request.base}{request.path}?{query}&cursor={begin + limit}>; rel="next"'
        return json_answer(entries[begin : begin + limit], headers=headers)

    def _paths_info(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repo = self._repo(request, kind, name)
        _, files = self._files(repo, revision)
        form = request.json() if "json" in request.headers.get("content-type", "") else parse_qs(request.body.decode())
        expand = str(form.get("expand", [False])).lower().strip("[']") == "true"
        everything = {entry["path"]: entry for entry in self._entries(files, "", True, expand)}
        return json_answer([everything[path] for path in form.get("paths", []) if path in everything])

    def _commits(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repo = self._repo(request, kind, name)
        commit, _ = self._files(repo, revision)
        known = list(repo.commits)
        return json_answer([{"id": one, "title": repo.titles[one], "message": "", "date": DATE,
                             "authors": [{"user": self.user}]} for one in reversed(known[: known.index(commit) + 1])])

    def _refs(self, request: Request, kind: str, name: str) -> Answer:
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": self._repo(request, kind, name).main}
        return json_answer({"branches": [main], "converts": [], "tags": [], "pullRequests": []})

    # files

    def _resolve(self, request: Request, kind: str, name: str, revision: str, path: str) -> Answer:
        repo = self._repo(request, kind, name)
        if repo.gated:
            known = request.headers.get("authorization")
            raise Refusal(403 if known else 401, f"Access to {kind} {name} is restricted: its terms have to be "
                          "accepted first" + ("." if known else ", after a login."), "GatedRepo")
        commit, files = self._files(repo, revision)
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit)
        content, headers = files[path], {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not self._is_large(path, content.size):
            return self._part(request, content, headers | {"ETag": f'"{git_sha1(content.read())}"'}, path)
        headers |= {"X-Linked-Size": str(content.size), "X-Linked-Etag": f'"{content.sha256}"'}
        if not self.redirect:
            return self._part(request, content, headers | {"ETag": f'"{content.sha256}"'}, path)
        base = re.sub(r"//[^:/]+", "//localhost", self.endpoint)  # another host to the client, which drops its token
        pointer = git_sha1(content.pointer)
        return Answer(302, headers | {"ETag": f'"{pointer}"',
                                      "Location": f"{base}/cdn/{repo.place}/{content.sha256}?name={quote(path)}"})

    def _cdn(self, request: Request, kind: str, name: str, oid: str) -> Answer:
        if "authorization" in request.headers:
            raise Refusal(400, "A token was sent to the storage behind the Hub")
        repo = self.repos.get((kind, name)) or HubRepo(kind, name)
        found = [content for files in repo.commits.values() for path, content in files.items()
                 if self._is_large(path, content.size) and content.sha256 == oid]
        if not found:
            raise Refusal(404, "No such object")
        return self._part(request, found[0], {"Accept-Ranges": "bytes", "ETag": f'"{oid}"'},
                          request.query.get("name", ["file"])[0])

    @staticmethod
    def _part(request: Request, content: Content, headers: dict[str, str], path: str) -> Answer:
        """The whole content, or the range that was asked for."""
        name = quote(path.rpartition("/")[2])
        headers |= {"Content-Type": "application/octet-stream" if name.endswith(tuple(LARGE_FILE_SUFFIXES))
                    else "text/plain; charset=utf-8",
                    "Content-Disposition": f"inline; filename*=UTF-8''{name}; filename=\"{name}\";"}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if not asked or asked.groups() == ("", "") or request.method == "HEAD":
            return Answer(200, headers, content)
        first, last = asked.groups()
        start = int(first) if first else max(content.size - int(last), 0)
        stop = min(int(last) + 1, content.size) if first and last else content.size
        if start >= stop:
            return Answer(416, {"Content-Range": f"bytes */{content.size}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
        return Answer(206, headers, content, start, stop)

    # pushes

    def _create(self, request: Request) -> Answer:
        asked, role = request.json(), self._role(request)
        kind, namespace = asked.get("type") or "model", asked.get("organization") or self.user
        self._check_writer(role, namespace)
        if kind not in ("model", "dataset"):
            raise Refusal(400, f"tests/local_hub.py has models and datasets, no {kind}")
        repo = HubRepo(kind, f"{namespace}/{asked['name']}")
        repo.private = bool(asked.get("private")) or asked.get("visibility") == "private"
        known = {"name": repo.name, "url": f"{request.base}/{repo.place}"}
        if (kind, repo.name) in self.repos:
            return json_answer({"error": f"You already created this {kind} repo", **known}, 409)
        rules = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(LARGE_FILE_SUFFIXES))
        commit = hashlib.sha1(repo.place.encode(), usedforsecurity=False).hexdigest()
        repo.commits[commit], repo.titles[commit] = {".gitattributes": Content(rules.encode())}, "initial commit"
        self.repos[kind, repo.name] = repo
        return json_answer(known | {"id": "3" * 24})

    def _validate(self, request: Request) -> Answer:
        asked = request.json()
        errors, notes = check_card(asked.get("content", ""), asked.get("repoType", "model"))
        answer = {"errors": [{"message": one} for one in errors], "warnings": [{"message": one} for one in notes]}
        return json_answer(answer | ({"error": "Invalid metadata"} if errors else {}), 400 if errors else 200)

    def _xet(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        raise Refusal(400, "tests/local_hub.py does not emulate Xet: set HF_HUB_DISABLE_XET=1")

    def _preupload(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repo = self._repo(request, kind, name, write=True)
        commit, there = self._files(repo, revision)
        files = []
        for file in request.json()["files"]:
            large = self._is_large(file["path"], file["size"])
            one = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if content := there.get(file["path"]):
                one["oid"] = content.sha256 if large else git_sha1(content.read())
            files.append(one)
        return json_answer({"files": files, "commitOid": commit})

    def _batch(self, request: Request, kind: str, name: str) -> Answer:
        repo = self._repo(request, kind, name, write=True)
        asked = request.json()
        if asked.get("operation") != "upload" or "basic" not in asked.get("transfers", ["basic"]):
            raise Refusal(422, "tests/local_hub.py emulates the upload of large files by basic transfer alone, "
                               "neither multipart nor Xet")
        objects = []
        for one in asked["objects"]:
            oid = one["oid"]
            actions = {"upload": {"href": f"{request.base}/upload/{oid}?signature={self._signature(oid)}"},
                       "verify": {"href": f"{request.base}/{repo.place}.git/info/lfs/verify"}}
            objects.append({"oid": oid, "size": one["size"], "authenticated": True}
                           | ({} if oid in self._uploads else {"actions": actions}))
        return json_answer({"transfer": "basic", "objects": objects})

    def _signature(self, oid: str) -> str:
        return hashlib.sha256(f"{self.endpoint} {oid}".encode()).hexdigest()[:16]

    def _upload(self, request: Request, oid: str) -> Answer:
        if request.query.get("signature") != [self._signature(oid)]:
            raise Refusal(403, "The signature of this address is wrong")
        content = Content(request.body)
        if content.sha256 != oid:
            raise Refusal(400, "The content does not have the promised SHA-256")
        self._uploads[oid] = content
        return Answer(200, {"ETag": f'"{oid}"'})

    def _verify(self, request: Request, kind: str, name: str) -> Answer:
        self._repo(request, kind, name, write=True)
        asked = request.json()
        found = self._uploads.get(asked["oid"])
        if found is None or found.size != asked["size"]:
            raise Refusal(404, f"The large file {asked['oid']} was not uploaded as a whole")
        return json_answer({})

    def _commit(self, request: Request, kind: str, name: str, revision: str) -> Answer:
        repo = self._repo(request, kind, name, write=True)
        parent, there = self._files(repo, revision)
        if request.flag("create_pr"):
            raise Refusal(400, "tests/local_hub.py does not emulate pull requests")
        if parent != repo.main:
            raise Refusal(400, "Only the branch main can be committed to")
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        header = next((line["value"] for line in lines if line["key"] == "header"), {})
        if header.get("parentCommit", parent) != parent:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        added, gone = self._operations(repo, there, lines)
        if "README.md" in added:
            errors, _ = check_card(added["README.md"].read().decode("utf-8", "replace"), kind)
            if errors:
                raise Refusal(400, f"Invalid metadata in README.md: {'; '.join(errors)}")
        commit = hashlib.sha1(parent.encode() + request.body, usedforsecurity=False).hexdigest()
        repo.commits[commit] = {path: one for path, one in there.items() if path not in gone} | added
        repo.titles[commit] = header.get("summary", "")
        pushed = self.pushed.setdefault(name, {})
        for path in gone:
            pushed.pop(path, None)
        pushed |= {path: content.read() for path, content in added.items()}
        return json_answer({"success": True, "commitOid": commit, "hookOutput": "",
                            "commitUrl": f"{request.base}/{repo.place}/commit/{commit}"})

    def _operations(self, repo: HubRepo, there: dict[str, Content], lines: list[dict]
                    ) -> tuple[dict[str, Content], set[str]]:
        """What a commit adds, and what it deletes."""
        added, gone = {}, set()
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "file":
                content = Content(base64.b64decode(value["content"]))
                if self._is_large(value["path"], content.size):
                    raise Refusal(400, f"Your push was rejected: {value['path']} has to be uploaded as a large file")
                added[value["path"]] = content
            elif key == "lfsFile":
                known = [one for files in repo.commits.values() for path, one in files.items()
                         if self._is_large(path, one.size) and one.sha256 == value["oid"]]
                content = self._uploads.get(value["oid"]) or next(iter(known), None)
                if content is None:
                    raise Refusal(400, f"The large file {value['oid']} of {value['path']} was not uploaded")
                added[value["path"]] = content
            elif key in ("deletedFile", "deletedFolder"):
                path = value["path"].rstrip("/")
                found = {one for one in there if one == path or (key == "deletedFolder" and one.startswith(f"{path}/"))}
                if not found:
                    raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
                gone |= found
            elif key != "header":
                raise Refusal(400, f"tests/local_hub.py does not emulate {key} in a commit")
        return added, gone


def card_metadata(text: str) -> tuple[dict | None, str | None]:
    """The metadata on top of a card, or what is wrong with it; neither where there is none."""
    import yaml  # huggingface_hub requires it

    found = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", text, re.S)
    if not found:
        return None, None
    try:
        card = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return None, f"bad YAML: {str(error).splitlines()[0]}"
    if card is None or isinstance(card, dict):
        return card, None
    return None, "metadata must be an object"


def check_card(text: str, kind: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about a card, after the rules of the Hub for the fields that are used here."""
    card, fault = card_metadata(text)
    if fault:
        return [fault], []
    if not card:
        return [], ["empty or missing yaml metadata in repo card"]

    def listed(name: str) -> list:
        value = card.get(name, [])
        return value if isinstance(value, list) else [value]

    errors = [f'"license" must be one of [{", ".join(sorted(LICENSES))}], found {one!r}'
              for one in listed("license") if not isinstance(one, str) or one not in LICENSES]
    errors += [f'"language" must be a code of ISO 639, such as en, found {one!r}' for one in listed("language")
               if one != "multilingual" and not re.fullmatch(r"[a-z]{2,3}", str(one))]
    errors += [f'"{name}" must be a string or a list of strings'
               for name in ("tags", "datasets", "metrics", "base_model")
               if not all(isinstance(one, str) for one in listed(name))]
    errors += [f'"{name}" must be a string' for name in ("library_name", "pipeline_tag", "pretty_name")
               if not isinstance(card.get(name, ""), str)]
    errors += [f'"{name}" with value {one!r} is not the name of a repository' for name in ("base_model", "datasets")
               for one in listed(name) if isinstance(one, str) and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", one)]
    return errors + (check_model_index(card["model-index"]) if kind == "model" and "model-index" in card else []), []


def check_model_index(index: object) -> list[str]:
    """What the results in a card lack."""
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    errors = []
    for number, model in enumerate(index):
        place = f"model-index[{number}]"
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append(f'"{place}.name" is required')
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list):
            errors.append(f'"{place}.results" is required')
            continue
        for count, result in enumerate(results):
            needed = [("task", "type"), ("dataset", "name"), ("dataset", "type")]
            errors += [f'"{place}.results[{count}].{one}.{two}" is required' for one, two in needed
                       if not isinstance((result.get(one) or {}).get(two), str)]
            metrics = result.get("metrics")
            if not isinstance(metrics, list) or not all(isinstance(one, dict) for one in metrics):
                errors.append(f'"{place}.results[{count}].metrics" is required')
                continue
            errors += [f'"{place}.results[{count}].metrics[{which}].{key}" is required'
                       for which, metric in enumerate(metrics) for key in ("type", "value") if metric.get(key) is None]
    return errors


# a proxy


class _ProxyHandler(_Handler):
    def respond(self) -> None:
        proxy: LocalProxy = self.server.owner
        body = self.read_body()
        if proxy.authorization and self.headers.get("Proxy-Authorization") != proxy.authorization:
            self.refuse(407, {"Proxy-Authenticate": 'Basic realm="proxy"'})
            return
        address = urlsplit(self.path)
        if address.scheme != "http" or not address.hostname:
            self.refuse(400, {})
            return
        proxy.log.append((self.command, self.path))
        target = urlsplit(proxy.hosts.get(address.netloc, f"http://{address.netloc}"))
        own = ("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "transfer-encoding",
               "upgrade", "content-length")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
        headers |= {"Content-Length": str(len(body))} if body or self.command in ("POST", "PUT") else {}
        connection = http.client.HTTPConnection(target.hostname, target.port or 80, timeout=proxy.patience)
        try:
            place = address._replace(scheme="", netloc="").geturl() or "/"
            connection.request(self.command, place, body or None, headers)
            self.pass_on(connection.getresponse(), own)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # the answer can't be completed
            if not self.answered:
                self.refuse(502, {})
        finally:
            connection.close()

    answered = False

    def refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def pass_on(self, response: http.client.HTTPResponse, own: tuple[str, ...]) -> None:
        self.answered = True
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in own or name.lower() == "content-length":
                self.send_header(name, value)
        self.end_headers()
        while self.command != "HEAD" and (chunk := response.read1(MEGABYTE)):
            self.wfile.write(chunk)
        if self.command != "HEAD" and response.length:
            self.close_connection = True  # less came than was promised

    def handle_one_request(self) -> None:
        self.answered = False
        super().handle_one_request()


class LocalProxy(_Service):
    """A forward proxy for http addresses, with a log of what passed; it demands user and password if they are given.

    `hosts` maps a host name that nobody else knows to the endpoint behind it: what reaches that came through here.
    Tunnels (CONNECT, for https) are not emulated.
    """

    handler = _ProxyHandler

    def __init__(self, user: str | None = None, password: str = "", hosts: dict[str, str] | None = None,
                 port: int = 0, patience: float = 30.0):
        super().__init__(port)
        self.log: list[tuple[str, str]] = []  # (method, address), in order
        self.hosts, self.patience = hosts or {}, patience
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.authorization = f"Basic {secret}" if user is not None else None
        self.with_password = self.endpoint.replace("//", f"//{user}:{password}@") if user is not None else self.endpoint


# what the lecture fetches


def yelp_card(n_train: int, n_test: int, size: int = 0) -> str:
    """A README with the metadata of Yelp/yelp_review_full."""
    names = "\n".join(f"          '{label}': {stars}" for label, stars in
                      enumerate(("1 star", "2 star", "3 stars", "4 stars", "5 stars")))
    return f"""---
language:
- en
license:
- other
task_categories:
- text-classification
pretty_name: YelpReviewFull
dataset_info:
  config_name: yelp_review_full
  features:
  - name: label
    dtype:
      class_label:
        names:
{names}
  - name: text
    dtype: string
  splits:
  - name: train
    num_bytes: {size * n_train // (n_train + n_test)}
    num_examples: {n_train}
  - name: test
    num_bytes: {size * n_test // (n_train + n_test)}
    num_examples: {n_test}
  download_size: {size}
  dataset_size: {size}
configs:
- config_name: yelp_review_full
  data_files:
  - split: train
    path: yelp_review_full/train-*
  - split: test
    path: yelp_review_full/test-*
  default: true
---

Reviews in the shape of Yelp/yelp_review_full.
"""


def yelp_dataset(folder: str | Path, n_train: int, n_test: int) -> Path:
    """Write a repository in the shape of Yelp/yelp_review_full with simulated reviews."""
    import pyarrow.parquet as pq

    from yelp_tl.simulation import SimulatedReviews

    folder = Path(folder)
    place = folder / "yelp_review_full"
    place.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", n_train), ("test", n_test)):
        reviews = SimulatedReviews(split).select(range(rows)).select_columns(["label", "text"])
        pq.write_table(reviews.data.table, place / f"{split}-00000-of-00001.parquet")
    size = sum(path.stat().st_size for path in place.iterdir())
    (folder / "README.md").write_text(yelp_card(n_train, n_test, size), encoding="utf-8")
    return folder


def yelp_from_parquet(folder: str | Path) -> dict[str, str | Path]:
    """Files of such a repository, from a folder whose parquet files have train or test in their names; not copied."""
    import pyarrow.parquet as pq

    files, rows, size = {}, {}, 0
    for split in ("train", "test"):
        found = sorted(Path(folder).rglob(f"*{split}*.parquet"))
        if not found:
            raise SystemExit(f"{folder}: expected a parquet file with {split} in its name, found none.")
        rows[split] = sum(pq.read_metadata(path).num_rows for path in found)
        size += sum(path.stat().st_size for path in found)
        files |= {f"yelp_review_full/{split}-{number:05}-of-{len(found):05}.parquet": path
                  for number, path in enumerate(found)}
    return files | {"README.md": yelp_card(rows["train"], rows["test"], size)}


def add_lecture(hub: LocalHub, folder: str | Path, n_train: int = 60, n_test: int = 40,
                parquet: str | Path | None = None, minilm: str = "bundled") -> None:
    """Serve what the lecture fetches: the dataset, a tiny DistilBERT, and MiniLM (bundled, tiny or none)."""
    from yelp_tl.hub import HUB_REVIEWS
    from yelp_tl.pretrained import HUB_CHECKPOINTS, bundled_folder, make_tiny_checkpoint

    folder = Path(folder)
    reviews = yelp_from_parquet(parquet) if parquet else yelp_dataset(folder / "reviews", n_train, n_test)
    hub.add(HUB_REVIEWS.kind, HUB_REVIEWS.name, HUB_REVIEWS.commit, reviews)
    checkpoints = {"distilbert": make_tiny_checkpoint(folder / "distilbert", "distilbert")}
    if minilm == "tiny":
        checkpoints["minilm"] = make_tiny_checkpoint(folder / "minilm")
    if minilm == "bundled" and bundled_folder():
        checkpoints["minilm"] = bundled_folder()
    for name, place in checkpoints.items():
        repository = HUB_CHECKPOINTS[name]
        hub.add("model", repository.name, repository.commit, place)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Serve the lecture's dataset and checkpoints on this machine.")
    parser.add_argument("--train", type=int, default=1200, help="simulated training rows")
    parser.add_argument("--test", type=int, default=1100, help="simulated test rows")
    parser.add_argument("--parquet", metavar="FOLDER", help="serve these train and test files instead")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--fault", choices=FAULTS, help="spoil every answer in this way")
    parser.add_argument("--path", default="", metavar="PART", help="only answers to addresses that hold this")
    parser.add_argument("--status", type=int, default=503, help="of the fault status")
    parser.add_argument("--redirect", action="store_true", help="large files behind a redirect, as at the real Hub")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as folder, LocalHub(options.port, redirect=options.redirect) as hub:
        add_lecture(hub, folder, options.train, options.test, options.parquet)
        if options.fault:
            hub.fault(options.fault, options.path, status=options.status)
        for repo in hub.repos.values():
            print(f"{repo.kind:8}{repo.name} @ {repo.main}")
        print(f"HF_ENDPOINT={hub.endpoint} HF_HUB_DISABLE_XET=1", flush=True)
        shown = 0
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                threading.Event().wait(0.5)
                for method, path in hub.requests[shown:]:
                    print(f"{method:5}{path}", flush=True)
                    shown += 1


if __name__ == "__main__":
    main()
