"""The review queue over HTTP: list, decide, export, import."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse

from dhash import reviews
from dhash.database import Engine, immediate
from dhash.errors import InvalidRequestError
from dhash.extract_api import read_json
from dhash.queue_file import FORMAT, import_items, parse_file
from dhash.service import Service

MOST_LISTED = 500
_LONGEST_NAME = 200
_IMPORT_LIMIT_BYTES = 10 * 1024 * 1024
_GREATEST_ID = 2**31 - 1


async def get_queue(request: Request) -> JSONResponse:
    """One page: ?status=pending&limit=50&after=<id of the last item seen>."""
    service: Service = request.app.state.service
    status = request.query_params.get("status", "pending")
    if status not in reviews.STATUSES:
        raise InvalidRequestError("Unknown status.", f"Use one of {', '.join(reviews.STATUSES)}.")
    limit = _number(request, "limit", 50, MOST_LISTED)
    after = _number(request, "after", 0, _GREATEST_ID)
    page = await service.read(
        lambda connection: reviews.read_page(connection, status, limit, after)
    )
    more = len(page.items) == limit and limit > 0
    return JSONResponse(
        {
            "status": status,
            "total": page.total,
            "items": page.items,
            "next_after": page.items[-1]["id"] if more else None,
        }
    )


async def post_decision(request: Request) -> JSONResponse:
    """{"decision": "accepted" or "rejected", "reviewer": "..."}."""
    service: Service = request.app.state.service
    review_id = int(request.path_params["review_id"])
    if review_id > _GREATEST_ID:
        raise InvalidRequestError("That number is no queue item's.")
    body = await read_json(request, 64 * 1024)
    decision, reviewer = body.get("decision"), body.get("reviewer")
    if decision not in reviews.DECISIONS:
        raise InvalidRequestError("`decision` is missing.", 'Send "accepted" or "rejected".')
    if not isinstance(reviewer, str) or not 0 < len(reviewer.strip()) <= _LONGEST_NAME:
        raise InvalidRequestError("`reviewer` is missing.", "Say who decides.")
    name = reviewer.strip().replace("\0", "")

    def work(engine: Engine) -> None:
        with immediate(engine).begin() as connection:
            reviews.decide(connection, review_id, str(decision), name)

    await service.write(work)
    return JSONResponse({"id": review_id, "status": decision, "reviewer": name})


async def get_export(request: Request) -> JSONResponse:
    """The whole queue as one file, for `import` here or elsewhere."""
    service: Service = request.app.state.service
    items = await service.read(reviews.read_all)
    return JSONResponse({"format": FORMAT, "items": items})


async def post_import(request: Request) -> JSONResponse:
    """Take over an exported queue; all of it or nothing."""
    service: Service = request.app.state.service
    items = parse_file(await read_json(request, _IMPORT_LIMIT_BYTES))

    def work(engine: Engine) -> Mapping[str, int]:
        with immediate(engine).begin() as connection:
            return import_items(connection, items)

    return JSONResponse(await service.write(work))


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise InvalidRequestError(f"`{name}` is no whole number from 0 to {most}.")
    return int(text)
