"""Chats and their topics: who is there, what they are called, topics opened and closed."""

import json
from typing import Any

from tests.servers.telegram.calls import Call
from tests.servers.telegram.methods.desk import Desk, method
from tests.servers.telegram.methods.sending import new_topic
from tests.servers.telegram.refusals import NO_THREAD, bad
from tests.servers.telegram.world import Chat, Document, Member, Topic, User

MAX_TOPIC_NAME = 128
MEMBER_RIGHTS = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)
GROUP_RIGHTS = ("can_pin_messages", "can_manage_topics")
GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


def member_document(member: Member) -> Document:
    """The `ChatMember` of the Bot API."""
    made: Document = {"status": member.status, "user": member.user.document()}
    match member.status:
        case "creator":
            made["is_anonymous"] = False
        case "administrator":
            made |= {"can_be_edited": False, "is_anonymous": False}
            made |= {right: right in member.rights for right in MEMBER_RIGHTS}
            made |= {right: right in member.rights for right in GROUP_RIGHTS}
            made["can_manage_chat"] = True
        case "kicked":
            made["until_date"] = 0
        case _:
            pass
    return made


@method("getChat")
def get_chat(desk: Desk, call: Call) -> Document:
    chat = desk.known_chat(call)
    made = chat.document() | {"accent_color_id": 0, "max_reaction_count": 11}
    made["accepted_gift_types"] = dict.fromkeys(GIFTS, False)
    if chat.pinned:
        made["pinned_message"] = chat.messages[chat.pinned[-1]].shown()
    if chat.kind != "private":
        made["permissions"] = {"can_send_messages": True}
    return made


def _member(desk: Desk, chat: Chat, user_id: int) -> Member:
    if user_id in chat.members:
        return chat.members[user_id]
    if chat.kind == "private" and chat.user and user_id in (chat.user.id, desk.bot.id):
        return Member(chat.user if user_id == chat.user.id else desk.bot.user)
    known: dict[int, User] = desk.world.people
    if user_id in known and chat.kind != "private":
        return Member(known[user_id], "left")
    raise bad("invalid user_id specified" if user_id <= 0 else "user not found")


@method("getChatMember")
def get_member(desk: Desk, call: Call) -> Document:
    return member_document(_member(desk, desk.chat(call), call.integer("user_id")))


@method("getChatAdministrators")
def get_administrators(desk: Desk, call: Call) -> list[Document]:
    chat = desk.chat(call)
    if chat.kind == "private":
        raise bad("there are no administrators in the private chat")
    return [member_document(m) for m in chat.members.values() if m.is_admin]


@method("getChatMemberCount")
def count_members(desk: Desk, call: Call) -> int:
    chat = desk.chat(call)
    present = sum(member.is_present for member in chat.members.values())
    return 2 if chat.kind == "private" else present


@method("leaveChat")
def leave(desk: Desk, call: Call) -> bool:
    chat = desk.chat(call)
    if chat.kind == "private":
        raise bad("chat member status can't be changed in private chats")
    chat.members[desk.bot.id].status = "left"
    chat.note("note", None, is_bot=True, text=f"{desk.bot.user.first_name} left")
    return True


def _forum(desk: Desk, call: Call, what: str) -> Chat:
    chat = desk.chat(call)
    has_topics = desk.bot.has_topics if chat.kind == "private" else chat.is_forum
    if not has_topics:
        raise bad("the chat is not a forum")
    desk.require(chat, "can_manage_topics", what)
    return chat


def _topic(chat: Chat, call: Call) -> Topic:
    topic = chat.topics.get(call.integer("message_thread_id"))
    if topic is None:
        raise NO_THREAD
    return topic


def _topic_name(call: Call) -> str:
    name = call.text("name").strip()
    if not name:
        raise bad("TOPIC_TITLE_EMPTY")
    if len(name) > MAX_TOPIC_NAME:
        raise bad("TOPIC_TITLE_TOO_LONG")
    return name


@method("createForumTopic")
def create_topic(desk: Desk, call: Call) -> Document:
    chat = _forum(desk, call, "create a topic")
    name = _topic_name(call)
    topic = new_topic(chat, desk.bot.user, name, call.integer("icon_color", 7322096))
    return {"message_thread_id": topic.id, "name": topic.name, "icon_color": topic.icon_color}


@method("editForumTopic")
def edit_topic(desk: Desk, call: Call) -> bool:
    chat = _forum(desk, call, "edit the topic")
    topic = _topic(chat, call)
    if call.has("icon_custom_emoji_id"):
        return True
    name = _topic_name(call)
    if name == topic.name:
        raise bad("TOPIC_NOT_MODIFIED")
    topic.name = name
    return True


def _set_closed(desk: Desk, call: Call, is_closed: bool) -> bool:
    topic = _topic(_forum(desk, call, "close or reopen the topic"), call)
    if topic.is_closed == is_closed:
        raise bad("TOPIC_NOT_MODIFIED")
    topic.is_closed = is_closed
    return True


@method("closeForumTopic")
def close_topic(desk: Desk, call: Call) -> bool:
    return _set_closed(desk, call, True)


@method("reopenForumTopic")
def reopen_topic(desk: Desk, call: Call) -> bool:
    return _set_closed(desk, call, False)


@method("deleteForumTopic")
def delete_topic(desk: Desk, call: Call) -> bool:
    chat = _forum(desk, call, "delete the topic")
    topic = _topic(chat, call)
    del chat.topics[topic.id]
    for message in chat.messages.values():
        message.is_deleted = message.is_deleted or message.topic == topic.id
    return True


@method("setChatMenuButton")
def set_menu(desk: Desk, call: Call) -> bool:
    button = call.document("menu_button") or {"type": "default"}
    desk.bot.settings[f"menu {call.text('chat_id')}"] = button
    return True


@method("getChatMenuButton")
def get_menu(desk: Desk, call: Call) -> Any:
    own = desk.bot.settings.get(f"menu {call.text('chat_id')}")
    return json.loads(json.dumps(own or desk.bot.settings.get("menu ") or {"type": "commands"}))
