"""Files both ways: documents, photos, voice and the rest, media groups, getFile."""

import mimetypes
from typing import Any

from tests.servers.telegram.calls import Call, Upload
from tests.servers.telegram.methods.desk import Desk, method
from tests.servers.telegram.methods.sending import caption_content, place, post
from tests.servers.telegram.pictures import size_of
from tests.servers.telegram.refusals import TOO_LARGE, bad
from tests.servers.telegram.world import THUMBNAIL, THUMBNAIL_BYTES, Document, StoredFile, World

FOLDERS = {
    "photo": "photos",
    "document": "documents",
    "voice": "voice",
    "audio": "music",
    "video": "videos",
    "animation": "animations",
    "video_note": "video_notes",
    "sticker": "stickers",
}
THUMBNAIL_SIDE = 90
MAX_SIDES = 10_000
MAX_RATIO = 20
GROUP_SIZES = range(2, 11)
GROUPED_ALONE = ("document", "audio")


def describe(kind: str, file: StoredFile, call: Call | None = None) -> Any:
    """Return what a message says about a file: a `Document`, `Voice`, list of `PhotoSize`, …"""
    made: Document = {"file_id": file.id, "file_unique_id": file.unique_id}
    made["file_size"] = file.size
    given = call or Call(kind, {})
    if kind == "photo":
        return _sizes(made, size_of(file.content) or (800, 600))
    if kind in ("document", "audio", "video", "animation"):
        made["file_name"] = file.name
    if kind not in ("video_note", "sticker"):
        made["mime_type"] = file.mime_type
    if kind in ("video", "animation"):
        made |= {"width": given.integer("width", 320), "height": given.integer("height", 240)}
    if kind == "video_note":
        made["length"] = given.integer("length", 240)
    if kind in ("voice", "audio", "video", "animation", "video_note"):
        made["duration"] = given.integer("duration", 1)
    if kind == "sticker":
        made |= {"type": "regular", "width": 512, "height": 512}
        made |= {"is_animated": False, "is_video": False}
    return made


def _sizes(made: Document, size: tuple[int, int]) -> list[Document]:
    """Return the small copy and the picture itself: the last is the one to take."""
    width, height = size
    small = {"file_id": made["file_id"] + THUMBNAIL, "file_size": len(THUMBNAIL_BYTES)}
    small["file_unique_id"] = made["file_unique_id"] + THUMBNAIL
    small |= {"width": min(width, THUMBNAIL_SIDE), "height": min(height, THUMBNAIL_SIDE)}
    return [small, made | {"width": width, "height": height}]


def stored(world: World, kind: str, upload: Upload) -> StoredFile:
    """Keep an upload."""
    name = upload.name or f"{kind}.bin"
    guessed = upload.content_type or mimetypes.guess_type(name)[0]
    if kind == "voice":
        guessed = "audio/ogg"
    return world.keep_file(
        FOLDERS[kind], name, upload.content, guessed or "application/octet-stream"
    )


def _file(desk: Desk, call: Call, kind: str, name: str, value: str) -> StoredFile:
    """Return the file that a parameter names: an upload, or one that is known by its id.

    Raises:
        Refusal: There is none, it is empty, too large, or no picture where one is asked for.
    """
    upload = call.uploads.get(name)
    if upload is None:
        return _known(desk, kind, value)
    if not upload.content:
        raise bad("file must be non-empty")
    if len(upload.content) > desk.rules.max_upload:
        raise TOO_LARGE
    if kind == "photo":
        _check_picture(desk, upload.content)
    return stored(desk.world, kind, upload)


def _known(desk: Desk, kind: str, value: str) -> StoredFile:
    if not value:
        raise bad(f"there is no {kind.replace('_', ' ')} in the request")
    if value.startswith(("http://", "https://")):
        # The fake opens no connection, so it answers what Telegram does when it can't either.
        raise bad("failed to get HTTP URL content")
    found = desk.world.files.get(value)
    if found is None:
        raise bad("wrong file identifier/HTTP URL specified")
    return found


def _check_picture(desk: Desk, content: bytes) -> None:
    if len(content) > desk.rules.max_photo:
        raise bad(f"file of size {len(content)} bytes is too big for a photo; the maximum is 10 MB")
    size = size_of(content)
    if size is None:
        raise bad("IMAGE_PROCESS_FAILED")
    if min(size) < 1 or sum(size) > MAX_SIDES or max(size) > MAX_RATIO * min(size):
        raise bad("PHOTO_INVALID_DIMENSIONS")


def _send(desk: Desk, call: Call, kind: str) -> Document:
    chat, content, details = place(desk, call)
    caption = caption_content(call)
    file = _file(desk, call, kind, kind, call.text(kind))
    if kind == "voice" and not file.content.startswith(b"OggS"):
        # Telegram sends what is no OGG as an ordinary document.
        kind = "document"
    content |= {kind: describe(kind, file, call)} | caption
    return post(desk, chat, content, {**details, "file": file})


for _kind, _name in {
    "photo": "sendPhoto",
    "document": "sendDocument",
    "voice": "sendVoice",
    "audio": "sendAudio",
    "video": "sendVideo",
    "animation": "sendAnimation",
    "video_note": "sendVideoNote",
    "sticker": "sendSticker",
}.items():
    method(_name)(lambda desk, call, kind=_kind: _send(desk, call, kind))  # type: ignore[misc]


def media_content(desk: Desk, call: Call, media: Any) -> tuple[Document, StoredFile]:
    """Return the content and the file of one `InputMedia`."""
    if not isinstance(media, dict) or media.get("type") not in FOLDERS:
        raise bad("can't parse InputMedia: type must be one of the known ones")
    kind = media["type"]
    value = str(media.get("media", ""))
    name = value.removeprefix("attach://") if value.startswith("attach://") else ""
    file = _file(desk, call, kind, name, "" if name else value)
    inner = Call(call.method, media)
    return {kind: describe(kind, file, inner)} | caption_content(inner), file


@method("sendMediaGroup")
def send_group(desk: Desk, call: Call) -> list[Document]:
    items = call.document("media")
    if not isinstance(items, list) or len(items) not in GROUP_SIZES:
        raise bad("there must be from 2 to 10 media in a group")
    kinds = {item.get("type") for item in items if isinstance(item, dict)}
    if len(kinds) > 1 and kinds & set(GROUPED_ALONE):
        raise bad("documents and audio can't be mixed with other media in a group")
    chat, content, details = place(desk, call)
    made = [media_content(desk, call, item) for item in items]
    group = str(10_000_000_000 + chat.next_id())
    return [
        post(desk, chat, content | c | {"media_group_id": group}, {**details, "file": f})
        for c, f in made
    ]


@method("getFile")
def get_file(desk: Desk, call: Call) -> Document:
    file = desk.world.files.get(call.text("file_id"))
    if file is None:
        raise bad("invalid file_id")
    if file.size > desk.rules.max_download:
        raise bad("file is too big")
    file.fetched_at = desk.world.clock()
    made: Document = {"file_id": file.id, "file_unique_id": file.unique_id}
    return made | {"file_size": file.size, "file_path": file.path}
