"""POST /api/dhash/extract and /api/dhash/match."""

import json

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from dhash.clock import elapsed
from dhash.distance import FARTHEST, confidence, farthest_for, is_hash
from dhash.errors import BusyError, InvalidRequestError
from dhash.extraction import Extraction, extract
from dhash.gallery import Match, search
from dhash.service import Service
from dhash.uploads import read_body, read_upload

DEFAULT_CONFIDENCE = 0.90
_LONGEST_QUESTION_BYTES = 64 * 1024


async def post_extract(request: Request) -> JSONResponse:
    """Hash the pictures of a file; every error of a file is one extraction failure."""
    service: Service = request.app.state.service
    if service.active >= service.settings.concurrency:
        raise BusyError(
            f"{service.active} extractions are running already.", "Try again in a second."
        )
    service.active += 1
    start = elapsed()
    try:
        exact = _is_exact(request)
        upload = await read_upload(request)
        result = await extract(service, upload, exact=exact)
    except (BusyError, ClientDisconnect):
        # Neither is an extraction: nobody looked at the file.
        raise
    except Exception:
        service.metrics.count_extraction(ok=False)
        raise
    finally:
        service.active -= 1
    service.metrics.count_extraction(ok=True)
    return JSONResponse(_as_json(upload.name, result, elapsed() - start))


async def post_match(request: Request) -> JSONResponse:
    """Stored pictures near to a hash."""
    service: Service = request.app.state.service
    question = await read_json(request, _LONGEST_QUESTION_BYTES)
    value = question.get("hash")
    if not is_hash(value):
        raise InvalidRequestError("`hash` is no hash.", "Send 16 lower-case hex digits.")
    wanted = question.get("confidence", DEFAULT_CONFIDENCE)
    lowest = confidence(FARTHEST)
    # The documents' 0.80 allows 12 bits, which is 0.8125 exactly: so the bound is on the bits.
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0.8 <= wanted <= 1:
        raise InvalidRequestError(
            "`confidence` is no fraction that we can search.", "Send a number from 0.80 to 1."
        )
    farthest = min(farthest_for(wanted), FARTHEST)
    matches = await service.read(lambda connection: search(connection, str(value), farthest))
    return JSONResponse(
        {
            "hash": value,
            "max_distance": farthest,
            "lowest_confidence_fraction": max(confidence(farthest), lowest),
            "matches": [match_as_json(match) for match in matches],
        }
    )


async def read_json(request: Request, limit: int) -> dict[str, object]:
    """The body as a JSON object; InvalidRequestError or TooLargeError otherwise."""
    try:
        value = json.loads(await read_body(request, limit))
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("The body is no JSON.", "Send a JSON object.") from error
    if not isinstance(value, dict):
        raise InvalidRequestError("The body is no JSON object.", "Send a JSON object.")
    return value


def match_as_json(match: Match) -> dict[str, object]:
    return {
        "image_id": match.image_id,
        "hash": match.hash,
        "distance": match.distance,
        "confidence_fraction": match.confidence,
        "stable_bits": match.stable_bits,
        "source": match.source,
        "page": match.page,
    }


def _is_exact(request: Request) -> bool:
    text = request.query_params.get("exact", "0")
    if text not in ("0", "1", "false", "true"):
        raise InvalidRequestError(f"exact={text[:20]!r} is neither 0 nor 1.", "Leave it out.")
    return text in ("1", "true")


def _as_json(source: str, result: Extraction, seconds: float) -> dict[str, object]:
    return {
        "source": source,
        "kind": result.kind,
        "seconds": round(seconds, 6),
        "images": [
            {
                "image_id": recorded.image_id,
                "hash": picture.hash,
                "page": picture.page,
                "format": picture.format,
                "width": picture.width,
                "height": picture.height,
                "path": picture.path,
                "stable_bits": picture.stable_bits,
                "confidence_fraction": picture.stable_bits / 64,
                "content_sha256": picture.content_sha256,
                "seen_count": recorded.seen_count,
                "matches": [match_as_json(match) for match in recorded.matches],
                "review_id": recorded.review_id,
            }
            for picture, recorded in result.pictures
        ],
    }
