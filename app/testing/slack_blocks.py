"""What Slack says of Block Kit: the documented limits of blocks and elements, the texts in them, and what is clicked.

Follows https://docs.slack.dev/reference/block-kit/blocks and …/block-elements and …/composition-objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IN_A_MESSAGE, IN_A_VIEW = 50, 100  # blocks
#: Where each element may stand: https://docs.slack.dev/reference/block-kit/block-elements
_INPUTS = {
    "checkboxes", "channels_select", "conversations_select", "datepicker", "datetimepicker", "external_select",
    "multi_channels_select", "multi_conversations_select", "multi_external_select", "multi_static_select",
    "multi_users_select", "radio_buttons", "static_select", "timepicker", "users_select",
}  # fmt: skip
_TYPED = {"email_text_input", "file_input", "number_input", "plain_text_input", "rich_text_input", "url_text_input"}
_PRESSED = {"button", "overflow", "workflow_button"}
ELEMENTS = {
    "section": _INPUTS | _PRESSED | {"image"},
    "actions": _INPUTS | _PRESSED | {"rich_text_input"},
    "context": {"image", "plain_text", "mrkdwn"},
    "context_actions": {"feedback_buttons", "icon_button"},
    "input": _INPUTS | _TYPED,
}
MOST_ELEMENTS = {"actions": 25, "context": 10, "context_actions": 5}
_TEXTS = {"plain_text", "mrkdwn"}
#: The longest text of a block, by the field that holds it.
LONGEST = {
    ("section", "text"): 3000,
    ("header", "text"): 150,
    ("markdown", "text"): 12_000,
    ("input", "label"): 2000,
    ("input", "hint"): 2000,
    ("image", "title"): 2000,
    ("image", "alt_text"): 2000,
    ("image", "image_url"): 3000,
    ("video", "title"): 200,
    ("button", "text"): 75,
    ("button", "url"): 3000,
    ("button", "value"): 2000,
    ("icon_button", "value"): 2000,
    ("workflow_button", "text"): 75,
    ("plain_text_input", "placeholder"): 150,
    ("static_select", "placeholder"): 150,
    ("option", "text"): 75,
    ("option", "value"): 150,
    ("option", "description"): 75,
    ("feedback", "text"): 75,
    ("feedback", "value"): 2000,
}
NEEDED = {
    "section": (), "header": ("text",), "markdown": ("text",), "input": ("label", "element"), "divider": (),
    "image": ("alt_text",), "actions": ("elements",), "context": ("elements",), "context_actions": ("elements",),
    "rich_text": ("elements",), "video": ("title", "video_url", "thumbnail_url", "alt_text"),
    "file": ("external_id", "source"), "table": ("rows",), "call": ("call_id",), "plan": ("title",), "card": (),
    "task_card": ("task_id", "title"), "alert": ("text",), "carousel": ("elements",), "container": (),
}  # fmt: skip
MOST_OPTIONS = {"overflow": 5, "radio_buttons": 10, "checkboxes": 10}
#: Fields of blocks that nobody reads.
_UNREAD = {
    "type", "action_id", "block_id", "value", "style", "image_url", "private_metadata", "callback_id", "external_id",
    "user_id", "channel_id", "emoji", "verbatim", "icon",
}  # fmt: skip


def faults(blocks: object, most: int = IN_A_MESSAGE) -> list[str]:
    """Return what Slack would refuse in *blocks*, one line each, as its ``response_metadata.messages`` has it."""
    if not isinstance(blocks, list):
        return ["[ERROR] must be an array [json-pointer:/blocks]"]
    found = [f"[ERROR] no more than {most} items allowed [json-pointer:/blocks]"] if len(blocks) > most else []
    ids: set[str] = set()
    for n, block in enumerate(blocks):
        at = f"/blocks/{n}"
        if not isinstance(block, dict) or block.get("type") not in NEEDED:
            kind = block.get("type") if isinstance(block, dict) else block
            found.append(f"[ERROR] unsupported type: {kind} [json-pointer:{at}/type]")
            continue
        found += _faults_of_block(block, at)
        if (block_id := block.get("block_id")) is not None:
            if block_id in ids:
                found.append(f"[ERROR] block_id {block_id} already exists [json-pointer:{at}/block_id]")
            ids.add(str(block_id))
    return found


def _faults_of_block(block: dict[str, Any], at: str) -> Iterator[str]:
    kind = block["type"]
    for name in NEEDED[kind]:
        if block.get(name) in (None, "", []):
            yield f"[ERROR] missing required field: {name} [json-pointer:{at}]"
    if kind == "section" and not block.get("text") and not block.get("fields"):
        yield f"[ERROR] missing required field: text or fields [json-pointer:{at}]"
    if kind == "image" and not block.get("image_url") and not block.get("slack_file"):
        yield f"[ERROR] missing required field: image_url [json-pointer:{at}]"
    if not 0 < len(str(block.get("block_id", "x"))) <= 255:
        yield f"[ERROR] must be from 1 to 255 characters [json-pointer:{at}/block_id]"
    yield from _lengths(kind, block, at)
    fields = block.get("fields") or []
    if len(fields) > 10:
        yield f"[ERROR] no more than 10 items allowed [json-pointer:{at}/fields]"
    for n, each in enumerate(fields):
        yield from _text(each, 2000, f"{at}/fields/{n}")
    if kind in ELEMENTS:
        yield from _faults_of_elements(block, at)


def _faults_of_elements(block: dict[str, Any], at: str) -> Iterator[str]:
    kind = block["type"]
    elements = block.get("elements") or [each for each in (block.get("accessory"), block.get("element")) if each]
    if len(elements) > MOST_ELEMENTS.get(kind, 1):
        yield f"[ERROR] no more than {MOST_ELEMENTS[kind]} items allowed [json-pointer:{at}/elements]"
    actions: set[str] = set()
    for n, element in enumerate(elements):
        here = f"{at}/elements/{n}"
        if not isinstance(element, dict) or element.get("type") not in ELEMENTS[kind]:
            yield f"[ERROR] unsupported type of element in {kind} [json-pointer:{here}/type]"
            continue
        action_id = element.get("action_id")
        if action_id is not None and (not 0 < len(str(action_id)) <= 255 or action_id in actions):
            yield f"[ERROR] action_id must be unique here and 1 to 255 characters [json-pointer:{here}/action_id]"
        actions.add(str(action_id))
        yield from _faults_of_element(element, here)


def _faults_of_element(element: dict[str, Any], at: str) -> Iterator[str]:
    kind = element["type"]
    if kind in _TEXTS:  # in a context block
        yield from _text(element, 3000, at)
        return
    yield from _lengths(kind, element, at)
    for name in {"button": ("text",), "icon_button": ("icon", "text")}.get(kind, ()):
        if not element.get(name):
            yield f"[ERROR] missing required field: {name} [json-pointer:{at}]"
    if element.get("style") not in (None, "primary", "danger"):
        yield f"[ERROR] must be primary or danger [json-pointer:{at}/style]"
    if kind == "feedback_buttons":
        for name in ("positive_button", "negative_button"):
            if not isinstance(button := element.get(name), dict) or not button.get("text") or not button.get("value"):
                yield f"[ERROR] missing required field: {name} [json-pointer:{at}]"
            else:
                yield from _lengths("feedback", button, f"{at}/{name}")
    yield from _faults_of_options(element, at)


def _faults_of_options(element: dict[str, Any], at: str) -> Iterator[str]:
    kind = element["type"]
    most = MOST_OPTIONS.get(kind, 100)
    groups = element.get("option_groups") or ([element] if "options" in element else [])
    if not groups and (kind in MOST_OPTIONS or kind in {"static_select", "multi_static_select"}):
        yield f"[ERROR] missing required field: options [json-pointer:{at}]"
    for group in groups:
        options = group.get("options") or []
        if not 0 < len(options) <= most:
            yield f"[ERROR] must have from 1 to {most} options [json-pointer:{at}/options]"
        for n, option in enumerate(options):
            yield from _lengths("option", option, f"{at}/options/{n}")


def _lengths(kind: str, holder: dict[str, Any], at: str) -> Iterator[str]:
    for (of, name), longest in LONGEST.items():
        if of == kind and holder.get(name) is not None:
            yield from _text(holder[name], longest, f"{at}/{name}")


def _text(value: object, longest: int, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") not in _TEXTS:
            yield f"[ERROR] unsupported type: {value.get('type')} [json-pointer:{at}/type]"
        value = value.get("text", "")
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        yield f"[ERROR] must be from 1 to {longest} characters [json-pointer:{at}]"


def strings(blocks: object) -> list[str]:
    """Return every text in *blocks* that somebody can read, links and their addresses too."""
    if isinstance(blocks, str):
        return [blocks]
    if isinstance(blocks, dict):
        return [text for name, each in blocks.items() if name not in _UNREAD for text in strings(each)]
    if isinstance(blocks, list | tuple):
        return [text for each in blocks for text in strings(each)]
    return []


def elements(blocks: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each (block, element) of *blocks* that somebody can act on."""
    for block in blocks:
        inside = [block.get("accessory"), block.get("element"), *(block.get("elements") or ())]
        yield from ((block, each) for each in inside if isinstance(each, dict) and each.get("action_id"))


def acted(block: dict[str, Any], element: dict[str, Any], value: str | None) -> dict[str, Any] | None:
    """Return the ``actions`` entry that follows when *value* of *element* is chosen, None where it has no such value.

    None as *value* takes what there is first. Follows
    https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
    """
    action = {"action_id": element["action_id"], "block_id": block.get("block_id", ""), "type": element["type"]}
    chosen: dict[str, Any] | None = {"value": value}
    if element["type"] == "feedback_buttons":
        buttons = [element[name] for name in ("positive_button", "negative_button")]
        chosen = next(({"value": b["value"], "text": b["text"]} for b in buttons if value in (None, b["value"])), None)
    elif "options" in element or "option_groups" in element:
        many = element["type"].startswith("multi_") or element["type"] == "checkboxes"
        options = [each for group in element.get("option_groups") or [element] for each in group["options"]]
        option = next((each for each in options if value in (None, each["value"])), None)
        chosen = option and ({"selected_options": [option]} if many else {"selected_option": option})
    elif element["type"] in {"users_select", "channels_select", "conversations_select"}:
        chosen = {f"selected_{element['type'].removesuffix('s_select')}": value}
    elif element["type"] in {"button", "icon_button"}:
        said: dict[str, Any] = {name: element[name] for name in ("text", "value", "style", "icon") if name in element}
        chosen = said if value in (None, element.get("value")) else None
    return None if chosen is None else action | chosen
