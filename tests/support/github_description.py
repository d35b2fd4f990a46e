"""GitHub's published description of its REST API: the part that is used, and what it demands.

`github_description.json` is cut out of the npm package that GitHub's own clients are made from, by
`python tests/support/github_description.py` (needs npm; GitHub's text is under the MIT licence).
Its `info` says which version. Words for people and examples are left out, nothing else.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft4Validator, FormatChecker

PACKAGE = "@octokit/openapi@23.0.2"
MEMBER = "package/generated/api.github.com.json"
FILE = Path(__file__).with_suffix(".json")
REPO = "/repos/{owner}/{repo}"
USED = {
    REPO: ("get",),
    f"{REPO}/issues": ("get", "post"),
    f"{REPO}/issues/{{issue_number}}/comments": ("get", "post"),
    f"{REPO}/commits/{{commit_sha}}/pulls": ("get",),
    f"{REPO}/git/commits/{{commit_sha}}": ("get",),
    f"{REPO}/pulls/{{pull_number}}": ("get",),
    f"{REPO}/pulls/{{pull_number}}/reviews": ("get",),
    f"{REPO}/pulls/{{pull_number}}/commits": ("get",),
    f"{REPO}/actions/workflows/{{workflow_id}}/runs": ("get",),
    f"{REPO}/actions/runs/{{run_id}}/jobs": ("get",),
    f"{REPO}/branches/{{branch}}/protection": ("get", "put"),
    f"{REPO}/branches/{{branch}}/protection/required_status_checks": ("patch",),
    f"{REPO}/codeowners/errors": ("get",),
}
WORDS = ("description", "summary", "example", "examples", "externalDocs", "tags", "title")

FORMATS = {"date-time": "2026-01-31T12:00:00Z", "uri": "https://github.example/x"}


def cut_out():
    """Write the file anew."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            whole = json.load(packed.extractfile(MEMBER))
    paths = {
        path: {
            "parameters": whole["paths"][path].get("parameters", []),
            **{method: whole["paths"][path][method] for method in methods},
        }
        for path, methods in USED.items()
    }
    kept = {"components": {}}
    wanted = _references(paths)
    while wanted:
        kind, name = wanted.pop()
        there = kept["components"].setdefault(kind, {})
        if name not in there:
            there[name] = whole["components"][kind][name]
            wanted |= _references(there[name])
    info = {"source": f"{PACKAGE} {MEMBER}", "version": whole["info"]["version"]}
    description = _bare({"openapi": whole["openapi"], "info": info, "paths": paths, **kept})
    FILE.write_text(json.dumps(description, separators=(",", ":"), sort_keys=True) + "\n")


def _references(part):
    """Without those that stand in examples only."""
    found = re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(_bare(part)))
    return {(kind, name) for kind, name in found if kind != "examples"}


def _bare(part, *, named=False):
    """`named`: the keys are names that the API gives, such as a property `title`."""
    if isinstance(part, list):
        return [_bare(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _bare(value, named=key in {"properties", "schemas", "parameters"} and not named)
        for key, value in part.items()
        if named or (key not in WORDS and not key.startswith("x-"))
    }


class Description:
    """What a request must be, and what an answer must be."""

    def __init__(self):
        self._whole = json.loads(FILE.read_text())
        schemas = _without_nullable(self._whole["components"]["schemas"])
        self._components = {"components": {"schemas": schemas}}

    def operation(self, method, target):
        """The template of the path, the operation, and the path's parameters; None: not there."""
        path = urlsplit(target).path
        for template, item in self._whole["paths"].items():
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
            found = re.fullmatch(pattern, path)
            if found and method.lower() in item:
                return template, item[method.lower()], found.groupdict()
        return None

    def request_faults(self, method, target, body):
        """What the description does not allow. A key that it does not know is none of its."""
        known = self.operation(method, target)
        if known is None:
            return [f"{method} {target} is not in the description"]
        _, operation, path = known
        faults = []
        query = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
        given = {"path": path, "query": query}
        parameters = [self._resolved(one) for one in operation.get("parameters", [])]
        for one in parameters:
            values = given.get(one["in"], {})
            if one["name"] in values:
                faults += self._faults(one["schema"], _typed(values[one["name"]], one["schema"]))
            elif one.get("required"):
                faults.append(f"{one['name']} is missing")
        names = {one["name"] for one in parameters if one["in"] == "query"}
        faults += [f"{name} is no parameter" for name in query if name not in names]
        if "requestBody" not in operation:
            return faults + (["it takes no body"] if body else [])
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        try:
            content = json.loads(body)
        except ValueError:
            return [*faults, "the body is no JSON"]
        faults += [f"{key} is no property" for key in content if key not in schema["properties"]]
        return faults + self._faults(schema, content)

    def answer_faults(self, method, target, status, content):
        """What GitHub would not answer. A status that is described nowhere has no rule."""
        known = self.operation(method, target)
        answer = known and self._resolved(known[1]["responses"].get(str(status), {}))
        schema = answer and answer.get("content", {}).get("application/json", {}).get("schema")
        return self._faults(schema, content) if schema else []

    def completed(self, method, target, status, content):
        """An answer with what the description requires besides what is given."""
        answer = self._resolved(self.operation(method, target)[1]["responses"][str(status)])
        return self._complete(answer["content"]["application/json"]["schema"], content)

    def _complete(self, schema, content):
        schema = self._resolved(schema)
        for one in schema.get("allOf", []):
            content = self._complete(one, content)
        either = schema.get("anyOf", schema.get("oneOf"))
        if either:
            tried = [self._complete(one, content) for one in either]
            fits = (one for one in tried if not self._faults(schema, one))
            return next(fits, tried[0])
        if isinstance(content, list) and "items" in schema:
            return [self._complete(schema["items"], one) for one in content]
        if not isinstance(content, dict):
            return content
        known = schema.get("properties", {})
        given = {key: self._complete(known.get(key, {}), one) for key, one in content.items()}
        missing = [name for name in schema.get("required", ()) if name not in given]
        return {**{name: self._smallest(known[name]) for name in missing}, **given}

    def _smallest(self, schema):
        schema = self._resolved(schema)
        if schema.get("nullable"):
            return None
        if "enum" in schema:
            return schema["enum"][0]
        for several in ("allOf", "anyOf", "oneOf"):
            if several in schema:
                return self._smallest(schema[several][0])
        plain = {"integer": 1, "number": 1, "boolean": False, "array": []}
        if schema.get("type") in plain:
            return plain[schema["type"]]
        if schema.get("type") == "string":
            return FORMATS.get(schema.get("format"), "x")
        return self._complete(schema, {})

    def _faults(self, schema, content):
        whole = {**_without_nullable(schema), **self._components}
        validator = Draft4Validator(whole, format_checker=FormatChecker())
        return [
            f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(content)
        ]

    def _resolved(self, part):
        if "$ref" not in part:
            return part
        _, _, kind, name = part["$ref"].split("/")
        return self._whole["components"][kind][name]


def _without_nullable(part):
    """OpenAPI 3.0 writes `nullable` where JSON Schema allows null."""
    if isinstance(part, list):
        return [_without_nullable(one) for one in part]
    if not isinstance(part, dict):
        return part
    plain = {key: _without_nullable(value) for key, value in part.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if part.get("nullable") is True else plain


def _typed(text, schema):
    return int(text) if schema.get("type") == "integer" and text.isdigit() else text


if __name__ == "__main__":
    sys.exit(cut_out())
