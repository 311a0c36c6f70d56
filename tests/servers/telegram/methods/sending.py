"""Texts: sendMessage, drafts, forwards, copies, chat actions, reactions."""

import re
from typing import Any

from tests.servers.telegram.calls import Call
from tests.servers.telegram.entities import MAX_CAPTION, MAX_TEXT, formatted
from tests.servers.telegram.methods.desk import Desk, method
from tests.servers.telegram.refusals import bad
from tests.servers.telegram.world import Chat, Document, Draft, Message, Topic

MAX_BUTTONS = 100
MAX_CALLBACK_BYTES = 64
ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
# What a bot may react with, of https://core.telegram.org/bots/api#reactiontypeemoji
_EMOJI = (
    "❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 "
    "🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 "
    "🤷\u200d♂ 🤷 🤷\u200d♀ 😡"
)
REACTIONS = set(_EMOJI.split())


def inline_keyboard(call: Call) -> Document | None:
    """Read the inline keyboard of a call; None where it has none.

    Raises:
        Refusal: A button has no text, no action, or data of more than 64 bytes.
    """
    markup = call.document("reply_markup")
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad("object expected as reply markup")
    if "inline_keyboard" not in markup:
        return None
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad('Field "inline_keyboard" must be of type Array')
    kept = [[_button(button) for button in row] for row in rows if row]
    if sum(map(len, kept)) > MAX_BUTTONS:
        raise bad("REPLY_MARKUP_TOO_LONG")
    return {"inline_keyboard": kept} if kept else None


def _button(button: Any) -> Document:
    if not isinstance(button, dict):
        raise bad("can't parse inline keyboard button: expected an Object")
    if not str(button.get("text", "")).strip():
        raise bad('can\'t parse inline keyboard button: Field "text" must be non-empty')
    data = button.get("callback_data")
    if data is not None and not 1 <= len(str(data).encode()) <= MAX_CALLBACK_BYTES:
        raise bad("BUTTON_DATA_INVALID")
    url = button.get("url")
    if url is not None and not re.match(r"(https?|tg|ton)://\S+$|\S+\.\S+$", str(url)):
        raise bad(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    if not button.keys() - {"text", "icon_custom_emoji_id", "style"}:
        raise bad("Text buttons are not allowed in the inline keyboard")
    return button


def take_keyboard(call: Call, chat: Chat) -> None:
    """Show or remove the reply keyboard that a call asks for."""
    markup = call.document("reply_markup") or {}
    if "keyboard" in markup:
        rows = markup["keyboard"]
        chat.keyboard = [[b if isinstance(b, str) else b["text"] for b in row] for row in rows]
    elif markup.get("remove_keyboard"):
        chat.keyboard = []


def place(desk: Desk, call: Call) -> tuple[Chat, Document, dict[str, Any]]:
    """Return where a call sends to, the fields that say so, and the details to store."""
    chat = desk.chat(call)
    thread = desk.topic(call, chat)
    content: Document = {}
    details: dict[str, Any] = {"is_silent": call.flag("disable_notification")}
    reply = _reply(call, chat)
    if reply is not None:
        details["reply_to"] = reply.id
        if thread is None and reply.topic in chat.topics:
            thread = reply.topic
    if thread is not None:
        content |= {"message_thread_id": thread, "is_topic_message": True}
    if call.flag("protect_content"):
        content["has_protected_content"] = True
    markup = inline_keyboard(call)
    if markup:
        content["reply_markup"] = markup
    take_keyboard(call, chat)
    return chat, content, details


def _reply(call: Call, chat: Chat) -> Message | None:
    given = call.document("reply_parameters")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise bad("can't parse reply parameters JSON object")
    found = chat.messages.get(int(given.get("message_id", 0)))
    if found is not None and not found.is_deleted:
        return found
    if given.get("allow_sending_without_reply"):
        return None
    raise bad("message to be replied not found")


def text_content(call: Call) -> Document:
    """Return the fields of a text message.

    Raises:
        Refusal: The text is empty, too long or can't be parsed.
    """
    made = formatted(call, "text", entities="entities", limit=MAX_TEXT)
    if not made.text:
        raise bad("message text is empty")
    content: Document = {"text": made.text}
    if made.entities:
        content["entities"] = made.entities
    options = call.document("link_preview_options")
    if options:
        content["link_preview_options"] = options
    return content


def caption_content(call: Call) -> Document:
    """Return the fields of a caption, none where it is empty."""
    made = formatted(call, "caption", entities="caption_entities", limit=MAX_CAPTION)
    if not made.text:
        return {}
    content: Document = {"caption": made.text}
    if made.entities:
        content["caption_entities"] = made.entities
    return content


@method("sendMessage")
def send_message(desk: Desk, call: Call) -> Document:
    chat, content, details = place(desk, call)
    content |= text_content(call)
    return post(desk, chat, content, details)


def post(desk: Desk, chat: Chat, content: Document, details: dict[str, Any]) -> Document:
    """Store what the bot says and return it as a result."""
    # A message ends the preview and the typing before it.
    chat.drafts.clear()
    chat.posted_at = desk.world.clock()
    desk.effect = chat.post(desk.bot.user, content, **details)
    return desk.effect.shown()


@method("sendMessageDraft")
def send_draft(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    if chat.kind != "private":
        raise bad("drafts can be sent only to private chats")
    desk.topic(call, chat)
    number = call.integer("draft_id")
    if number == 0:
        raise bad("draft_id must be non-zero")
    made = formatted(call, "text", entities="entities", limit=MAX_TEXT)
    chat.drafts[number] = Draft(number, made.text, desk.world.clock())
    chat.note("note", None, is_bot=True, text=f"draft {number}: {made.text}")
    return True


@method("sendChatAction")
def send_action(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    thread = desk.topic(call, chat)
    action = call.text("action").lower()
    if action not in ACTIONS:
        raise bad("wrong parameter action in request")
    chat.actions.append((desk.world.clock(), action, thread))
    chat.pulse.beat()
    return True


@method("setMessageReaction")
def react(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    message = desk.message(call, chat, "message to react not found")
    given = call.document("reaction") or []
    if not isinstance(given, list):
        raise bad("can't parse reaction types JSON object")
    emoji = [r.get("emoji", "").replace("\ufe0f", "") for r in given]
    if len(emoji) > 1:
        raise bad("REACTIONS_TOO_MANY")
    if any(r.get("type") != "emoji" for r in given) or not set(emoji) <= REACTIONS:
        raise bad("REACTION_INVALID")
    message.reactions[desk.bot.id] = emoji
    who = desk.bot.user.first_name
    chat.note("reaction", message, is_bot=True, text=f"{who} reacted {''.join(emoji) or 'no more'}")
    return True


@method("forwardMessage")
def forward(desk: Desk, call: Call) -> Document:
    return _again(desk, call, is_forward=True)


@method("copyMessage")
def copy(desk: Desk, call: Call) -> Document:
    return {"message_id": _again(desk, call, is_forward=False)["message_id"]}


def _again(desk: Desk, call: Call, *, is_forward: bool) -> Document:
    source = desk.chat(call, "from_chat_id")
    missing = f"message to {'forward' if is_forward else 'copy'} not found"
    message = desk.message(call, source, missing)
    chat, content, details = place(desk, call)
    own = ("message_id", "from", "chat", "date", "edit_date", "message_thread_id")
    dropped = {*own, "is_topic_message", "reply_markup"}
    kept = {k: v for k, v in message.document.items() if k not in dropped}
    if is_forward:
        origin = {"type": "user", "date": message.document["date"]}
        kept["forward_origin"] = origin | {"sender_user": message.document["from"]}
    return post(desk, chat, kept | content, {**details, "file": message.file})


def new_topic(chat: Chat, author: Any, name: str, color: int = 7322096) -> Topic:
    """Open a topic, numbered by the service message that tells of it."""
    content = {"forum_topic_created": {"name": name, "icon_color": color}}
    message = chat.post(author, content)
    message.document |= {"message_thread_id": message.id, "is_topic_message": True}
    topic = Topic(message.id, name, color)
    chat.topics[topic.id] = topic
    return topic
