"""The methods that post: ``chat.*``, reactions and what an assistant shows; and what is posted to a ``response_url``.

Follows https://docs.slack.dev/reference/methods, the page of each method.
"""

from __future__ import annotations

import html
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from app.testing.slack_api import Call, Method, Refused, truth
from app.testing.slack_blocks import faults, strings
from app.testing.slack_shapes import message_json
from app.testing.slack_world import RESPONSE_USES, Post, Prompts, Status

if TYPE_CHECKING:
    from app.testing.slack_manifest import Manifest
    from app.testing.slack_world import Channel, World

LONGEST_TEXT, LONGEST_UPDATE, LONGEST_MARKDOWN = 40_000, 4000, 12_000  # that of an update in bytes, once escaped
LONGEST_BLOCKS = 13_200  # of a message with Markdown blocks: not documented, but measured (bolt-js#2509)
_AS_IT_IS = re.compile(r"<[^<>\n]+>|&(?:amp|lt|gt);")
CHUNKS = {"markdown_text", "task_update", "plan_update", "blocks"}


def checked_blocks(args: dict[str, Any], name: str = "blocks") -> list[dict[str, Any]]:
    """Return the blocks in *args*, each with a block id. Raises Refused ``invalid_blocks``, and says why."""
    blocks = args.get(name) or []
    if found := faults(blocks):
        raise Refused("invalid_blocks", errors=found, response_metadata={"messages": found})
    marked = [block["text"] for block in blocks if block["type"] == "markdown"]
    if sum(map(len, marked)) > LONGEST_MARKDOWN or (marked and sum(map(len, strings(blocks))) > LONGEST_BLOCKS):
        raise Refused("msg_blocks_too_long")
    return [{"block_id": secrets.token_urlsafe(4)} | block for block in blocks]


def checked_text(args: dict[str, Any]) -> str:
    """Return the text of a message. Raises Refused for none and for too much."""
    text, markdown = args.get("text") or "", args.get("markdown_text")
    if markdown is not None:
        if text or args.get("blocks"):
            raise Refused("markdown_text_conflict")
        if len(markdown) > LONGEST_MARKDOWN:
            raise Refused("msg_too_long")
        text = markdown
    if len(text) > LONGEST_TEXT:
        raise Refused("msg_too_long")
    if not text and not args.get("blocks") and not args.get("attachments"):
        raise Refused("no_text")
    return str(text)


def _metadata(args: dict[str, Any]) -> dict[str, Any] | None:
    metadata = args.get("metadata")
    if metadata is not None and not {"event_type", "event_payload"} <= set(metadata):
        raise Refused("invalid_metadata_format")
    return metadata


def announce(world: World, post: Post, **more: Any) -> None:
    """Send the event of a new message: apps get those of their own messages as well."""
    channel = world.channels[post.channel]
    event = message_json(world, post) | {"channel": post.channel, "event_ts": post.ts, "channel_type": channel.kind}
    world.announce(event | more, channel)


def announce_change(world: World, post: Post, before: dict[str, Any], subtype: str = "message_changed") -> None:
    """Send the event of a changed or deleted message: https://docs.slack.dev/reference/events/message/message_changed."""
    channel, ts = world.channels[post.channel], world.new_ts()
    event = {
        "type": "message", "subtype": subtype, "previous_message": before, "channel": post.channel, "hidden": True,
        "ts": ts, "event_ts": ts, "channel_type": channel.kind,
    }  # fmt: skip
    changed = {"deleted_ts": post.ts} if subtype == "message_deleted" else {"message": message_json(world, post)}
    world.announce(event | changed, channel)


def where_it_posts(call: Call) -> Channel:
    """Return the conversation to post in; a user's id is their direct conversation."""
    name = call.need("channel")
    if name in call.world.users and name != call.world.bot.id:
        return call.world.direct(name)
    channel = call.channel()
    if channel.kind == "im" and call.world.users[channel.user].deleted:
        raise Refused("is_archived")
    if call.world.bot.id not in channel.members:
        public = channel.kind == "channel" and "chat:write.public" in (call.manifest.scopes or ())
        if not public:
            raise Refused("not_in_channel")
    return channel


def root_of(world: World, channel: Channel, thread_ts: str | None) -> str | None:
    """Return the thread to reply in. Raises Refused when there is no such message."""
    if not thread_ts:
        return None
    if (channel.id, thread_ts) not in world.by_ts:
        raise Refused("thread_not_found")
    return thread_ts


def by_app(call: Call, channel: Channel, text: str, blocks: list[dict[str, Any]]) -> Post:
    """Return a message of the app, not yet kept."""
    args, world = call.args, call.world
    thread_ts = root_of(world, channel, args.get("thread_ts"))
    post = Post(channel.id, world.new_ts(), world.bot.id, text, blocks, thread_ts, world.bot_id)
    post.unfurl_links, post.unfurl_media = _flag(args, "unfurl_links"), _flag(args, "unfurl_media")
    post.metadata = _metadata(args)
    return post


def _flag(args: dict[str, Any], name: str) -> bool | None:
    return truth(args[name]) if name in args else None


def post_message(call: Call) -> dict[str, Any]:
    """chat.postMessage."""
    channel = where_it_posts(call)
    text, blocks = checked_text(call.args), checked_blocks(call.args)
    post = by_app(call, channel, text, blocks)
    if post.thread_ts and truth(call.args.get("reply_broadcast")):
        post.subtype = "thread_broadcast"
    announce(call.world, call.world.add(post))
    return {"channel": channel.id, "ts": post.ts, "message": message_json(call.world, post)}


def post_ephemeral(call: Call) -> dict[str, Any]:
    """chat.postEphemeral: seen by one person, who must be in the conversation, and kept nowhere."""
    channel, user = where_it_posts(call), call.need("user")
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    post = by_app(call, channel, checked_text(call.args), checked_blocks(call.args))
    post.only_for = user
    call.world.add(post)
    return {"message_ts": post.ts}


def _own(call: Call, error: str) -> Post:
    post = call.world.find(call.channel().id, call.need("ts"))
    if post is None:
        raise Refused("message_not_found")
    if post.user != call.world.bot.id:
        raise Refused(error)
    return post


def update(call: Call) -> dict[str, Any]:
    """chat.update. Where the call has no blocks the message keeps those that it has; an empty list takes them away."""
    post = _own(call, "cant_update_message")
    if post.state == "streaming":
        raise Refused("streaming_state_conflict")
    text, blocks = checked_text(call.args), post.blocks
    if "markdown_text" not in call.args and _escaped_bytes(text) > LONGEST_UPDATE:
        raise Refused("msg_too_long")
    if "blocks" in call.args:
        blocks = checked_blocks(call.args)
    before = message_json(call.world, post)
    if "metadata" in call.args:
        post.metadata = _metadata(call.args)
    call.world.change(post, text, blocks)
    post.edited = {"user": call.world.bot.id, "ts": call.world.new_ts()}
    announce_change(call.world, post, before)
    return {"channel": post.channel, "ts": post.ts, "text": text, "message": message_json(call.world, post)}


def _escaped_bytes(text: str) -> int:
    """Return the bytes of *text* with what is not escaped yet escaped, outside links and mentions."""
    plain = "".join(html.escape(part, quote=False) for part in _AS_IT_IS.split(text))
    return len(plain.encode()) + sum(len(part.encode()) for part in _AS_IT_IS.findall(text))


def delete(call: Call) -> dict[str, Any]:
    """chat.delete."""
    post = _own(call, "cant_delete_message")
    if post.state == "streaming":
        raise Refused("cant_delete_message")
    before = message_json(call.world, post)
    call.world.remove(post)
    announce_change(call.world, post, before, "message_deleted")
    return {"channel": post.channel, "ts": post.ts}


def permalink(call: Call) -> dict[str, Any]:
    """chat.getPermalink."""
    channel, ts = call.channel(), call.need("message_ts")
    post = call.world.find(channel.id, ts)
    if post is None:
        raise Refused("message_not_found")
    link = f"https://{call.world.domain}.slack.com/archives/{channel.id}/p{ts.replace('.', '')}"
    if post.thread_ts:
        link += f"?thread_ts={post.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def _streamed(call: Call) -> tuple[str, list[dict[str, Any]]]:
    """Return the text and the blocks that a call adds to a stream."""
    text, blocks = str(call.args.get("markdown_text") or ""), []
    if len(text) > LONGEST_MARKDOWN:
        raise Refused("msg_too_long")
    for chunk in call.args.get("chunks") or ():
        if not isinstance(chunk, dict) or chunk.get("type") not in CHUNKS:
            raise Refused("invalid_chunks")
        if chunk["type"] == "markdown_text":
            if len(chunk.get("text") or "") > LONGEST_MARKDOWN:
                raise Refused("msg_too_long")
            text += chunk.get("text") or ""
        elif chunk["type"] == "blocks":
            blocks += checked_blocks(chunk)
        else:
            blocks.append({"type": "task_card", "block_id": secrets.token_urlsafe(4)} | _card(chunk))
    return text, blocks


def _card(chunk: dict[str, Any]) -> dict[str, Any]:
    if chunk["type"] == "plan_update":
        return {"type": "plan", "title": chunk.get("title", "")}
    return {"task_id": chunk.get("id", ""), **{k: v for k, v in chunk.items() if k not in {"type", "id"}}}


def start_stream(call: Call) -> dict[str, Any]:
    """chat.startStream: in a channel it has to say for whom."""
    channel = where_it_posts(call)
    if channel.kind != "im":
        for name in ("recipient_user_id", "recipient_team_id"):
            if not call.args.get(name):
                raise Refused(f"missing_{name}")
        if call.args["recipient_user_id"] not in call.world.users:
            raise Refused("user_not_found")
    elif not call.args.get("thread_ts"):
        raise Refused("invalid_thread_ts")
    text, blocks = _streamed(call)
    post = by_app(call, channel, text, blocks)
    post.state, post.streamed = "streaming", text
    announce(call.world, call.world.add(post))
    return {"channel": channel.id, "ts": post.ts}


def _streaming(call: Call) -> Post:
    post = _own(call, "message_not_owned_by_app")
    if post.state != "streaming":
        raise Refused("message_not_in_streaming_state")
    return post


def append_stream(call: Call) -> dict[str, Any]:
    """chat.appendStream."""
    post = _streaming(call)
    text, blocks = _streamed(call)
    if not text and not blocks:
        raise Refused("no_text")
    post.streamed += text
    call.world.change(post, post.text + text, post.blocks + blocks)
    return {"channel": post.channel, "ts": post.ts}


def stop_stream(call: Call) -> dict[str, Any]:
    """chat.stopStream: what it brings comes at the end of what was streamed."""
    post = _streaming(call)
    text, blocks = _streamed(call)
    last = checked_blocks(call.args)
    metadata = _metadata(call.args)
    before = message_json(call.world, post)
    post.state = "streamed"
    post.streamed += text
    post.metadata = metadata or post.metadata
    call.world.change(post, post.text + text, post.blocks + blocks + last)
    announce_change(call.world, post, before)
    return {"channel": post.channel, "ts": post.ts, "message": message_json(call.world, post)}


def set_status(call: Call) -> dict[str, Any]:
    """assistant.threads.setStatus: an empty one takes it away, and so does the next message of the app there."""
    channel, thread_ts = call.channel("channel_id"), call.need("thread_ts")
    status = str(call.args.get("status") or "")
    world = call.world
    loading = tuple(str(each) for each in call.args.get("loading_messages") or ())
    if len(loading) > 10:
        raise Refused("invalid_arguments")
    world.statuses.append(Status(channel.id, thread_ts, status, loading, time.time()))
    if status:
        world.shown_status[channel.id, thread_ts] = status
    else:
        world.shown_status.pop((channel.id, thread_ts), None)
    return {}


def set_title(call: Call) -> dict[str, Any]:
    """assistant.threads.setTitle."""
    channel = call.channel("channel_id")
    call.world.titles[channel.id, call.need("thread_ts")] = call.need("title")
    return {}


def set_prompts(call: Call) -> dict[str, Any]:
    """assistant.threads.setSuggestedPrompts: four at most; without a thread for agents only."""
    channel, prompts = call.channel("channel_id"), call.args.get("prompts")
    if not isinstance(prompts, list) or not 0 < len(prompts) <= 4:
        raise Refused("invalid_arguments")
    if not all(isinstance(each, dict) and each.get("title") and each.get("message") for each in prompts):
        raise Refused("invalid_arguments")
    if not call.args.get("thread_ts") and not call.manifest.agent:
        call.need("thread_ts")
    call.world.prompts.append(Prompts(channel.id, call.args.get("thread_ts"), call.args.get("title"), tuple(prompts)))
    return {}


def _reacted(call: Call) -> tuple[Post, tuple[str, str]]:
    post = call.world.find(call.channel().id, call.need("timestamp"))
    if post is None:
        raise Refused("message_not_found")
    return post, (call.need("name").strip(":"), call.world.bot.id)


def add_reaction(call: Call) -> dict[str, Any]:
    """reactions.add."""
    post, mine = _reacted(call)
    if mine in post.reactions:
        raise Refused("already_reacted")
    post.reactions.append(mine)
    return {}


def remove_reaction(call: Call) -> dict[str, Any]:
    """reactions.remove."""
    post, mine = _reacted(call)
    if mine not in post.reactions:
        raise Refused("no_reaction")
    post.reactions.remove(mine)
    return {}


def respond(world: World, manifest: Manifest, token: str, args: dict[str, Any]) -> None:
    """Carry out what was sent to a ``response_url``. Raises Refused for one that is used up, or too late.

    Follows https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
    """
    reply = world.replies.get(token)
    if reply is None:
        raise Refused("invalid_url")
    if time.time() > reply.expires:
        raise Refused("expired_url")
    if reply.uses >= RESPONSE_USES:
        raise Refused("used_url")
    reply.uses += 1
    source = world.by_ts.get((reply.channel, reply.message_ts or ""))
    if truth(args.get("delete_original")) and source:
        before = message_json(world, source)
        world.remove(source)
        _tell(world, source, before, "message_deleted")
        return
    text, blocks = checked_text(args), checked_blocks(args)
    if truth(args.get("replace_original")) and source:
        before = message_json(world, source)
        world.change(source, text, blocks)
        _tell(world, source, before, "message_changed")
        return
    channel = world.channels[reply.channel]
    call = Call(world, manifest, args | {"thread_ts": args.get("thread_ts")}, 0, "")
    post = by_app(call, channel, text, blocks)
    if args.get("response_type") != "in_channel":
        post.only_for = reply.user
    world.add(post)
    reply.message_ts = reply.message_ts or post.ts
    if post.only_for is None:
        announce(world, post)


def _tell(world: World, post: Post, before: dict[str, Any], subtype: str) -> None:
    if post.only_for is None:
        announce_change(world, post, before, subtype)


POSTING = {
    "assistant.threads.setStatus": Method(set_status, ("assistant:write", "chat:write")),
    "assistant.threads.setSuggestedPrompts": Method(set_prompts, ("assistant:write",)),
    "assistant.threads.setTitle": Method(set_title, ("assistant:write",)),
    "chat.appendStream": Method(append_stream, ("chat:write",)),
    "chat.delete": Method(delete, ("chat:write",)),
    "chat.getPermalink": Method(permalink),
    "chat.postEphemeral": Method(post_ephemeral, ("chat:write",)),
    "chat.postMessage": Method(post_message, ("chat:write",)),
    "chat.startStream": Method(start_stream, ("chat:write",)),
    "chat.stopStream": Method(stop_stream, ("chat:write",)),
    "chat.update": Method(update, ("chat:write",)),
    "reactions.add": Method(add_reaction, ("reactions:write",)),
    "reactions.remove": Method(remove_reaction, ("reactions:write",)),
}
