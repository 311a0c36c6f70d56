"""Changes of messages: edits, deletions, pins, answers to button presses."""

from tests.servers.telegram.calls import Call
from tests.servers.telegram.methods.desk import Desk, method
from tests.servers.telegram.methods.media import media_content
from tests.servers.telegram.methods.sending import caption_content, inline_keyboard, text_content
from tests.servers.telegram.refusals import NOT_MODIFIED, OLD_QUERY, bad
from tests.servers.telegram.world import Chat, Document, Message, Press

DELETABLE_S = 48 * 3600
MAX_TOAST = 200


def _own(desk: Desk, call: Call) -> Message:
    """Return the message to edit, if it is the bot's own."""
    if call.has("inline_message_id"):
        raise bad("MESSAGE_ID_INVALID")
    chat = desk.chat(call)
    if not call.has("message_id"):
        raise bad("message identifier is not specified")
    message = desk.message(call, chat, "message to edit not found")
    if message.document["from"]["id"] != desk.bot.id:
        raise bad("message can't be edited")
    markup = call.document("reply_markup")
    if markup and "inline_keyboard" not in markup:
        raise bad("inline keyboard expected")
    return message


def _change(desk: Desk, message: Message, wanted: Document, names: tuple[str, ...]) -> Document:
    """Apply an edit; of `names`, what is not wanted is taken away."""
    changes = {name: wanted.get(name) for name in names}
    if all(message.document.get(name) == value for name, value in changes.items()):
        raise NOT_MODIFIED
    message.chat.edit(message, changes)
    desk.effect = message
    return message.shown()


def _with_markup(call: Call, content: Document) -> Document:
    markup = inline_keyboard(call)
    return content | {"reply_markup": markup} if markup else content


@method("editMessageText")
def edit_text(desk: Desk, call: Call) -> Document:
    message = _own(desk, call)
    if "text" not in message.document:
        raise bad("there is no text in the message to edit")
    wanted = _with_markup(call, text_content(call))
    names = ("text", "entities", "link_preview_options", "reply_markup")
    return _change(desk, message, wanted, names)


@method("editMessageCaption")
def edit_caption(desk: Desk, call: Call) -> Document:
    message = _own(desk, call)
    if message.file is None:
        raise bad("there is no caption in the message to edit")
    wanted = _with_markup(call, caption_content(call))
    return _change(desk, message, wanted, ("caption", "caption_entities", "reply_markup"))


@method("editMessageReplyMarkup")
def edit_markup(desk: Desk, call: Call) -> Document:
    message = _own(desk, call)
    return _change(desk, message, _with_markup(call, {}), ("reply_markup",))


@method("editMessageMedia")
def edit_media(desk: Desk, call: Call) -> Document:
    message = _own(desk, call)
    content, file = media_content(desk, call, call.document("media"))
    wanted = _with_markup(call, content)
    kinds = ("photo", "document", "audio", "video", "voice", "animation")
    names = (*kinds, "text", "entities", "caption", "caption_entities", "reply_markup")
    shown = _change(desk, message, wanted, names)
    message.file = file
    return shown


@method("deleteMessage")
def delete(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    _delete(desk, chat, desk.message(call, chat, "message to delete not found"))
    return True


@method("deleteMessages")
def delete_many(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    numbers = call.document("message_ids") or []
    if not 1 <= len(numbers) <= 100:
        raise bad("message identifiers are not specified or too many")
    for number in numbers:
        message = chat.messages.get(int(number))
        if message is not None and not message.is_deleted:
            _delete(desk, chat, message)
    return True


def _delete(desk: Desk, chat: Chat, message: Message) -> None:
    is_own = message.document["from"]["id"] == desk.bot.id
    me = desk.me(chat)
    may = is_own or chat.kind == "private" or (me.is_admin and "can_delete_messages" in me.rights)
    if not may:
        raise bad("message can't be deleted")
    if message.sent_at < desk.world.clock() - DELETABLE_S:
        raise bad("message can't be deleted for everyone")
    message.is_deleted = True
    desk.effect = message
    if message.id in chat.pinned:
        chat.pinned.remove(message.id)
    chat.note("delete", message, is_bot=True)


@method("pinChatMessage")
def pin(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    desk.require(chat, "can_pin_messages", "manage pinned messages in the chat")
    message = desk.message(call, chat, "message to pin not found")
    if message.id not in chat.pinned:
        chat.pinned.append(message.id)
    chat.note("note", message, is_bot=True, text=f"{desk.bot.user.first_name} pinned a message")
    return True


@method("unpinChatMessage")
def unpin(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    desk.require(chat, "can_pin_messages", "manage pinned messages in the chat")
    number = call.integer("message_id") or (chat.pinned[-1] if chat.pinned else 0)
    if number not in chat.pinned:
        raise bad("message to unpin not found")
    chat.pinned.remove(number)
    return True


@method("unpinAllChatMessages")
def unpin_all(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    desk.require(chat, "can_pin_messages", "manage pinned messages in the chat")
    chat.pinned.clear()
    return True


@method("answerCallbackQuery")
def answer_press(desk: Desk, call: Call) -> bool:
    press = desk.bot.presses.get(call.text("callback_query_id"))
    if press is None or press.is_expired:
        raise OLD_QUERY
    if press.at < desk.world.clock() - desk.rules.callback_lifetime_s:
        raise OLD_QUERY
    if len(call.text("text")) > MAX_TOAST:
        raise bad("MESSAGE_TOO_LONG")
    press.answers += 1
    if press.answer is None:
        _show_answer(press, call)
    elif desk.rules.second_answer == "refused":
        raise OLD_QUERY
    return True


def _show_answer(press: Press, call: Call) -> None:
    """Show the first answer; later ones change nothing."""
    press.answer = {"text": call.text("text"), "show_alert": call.flag("show_alert")}
    press.message.chat.note("toast", press.message, is_bot=True, text=call.text("text"))
