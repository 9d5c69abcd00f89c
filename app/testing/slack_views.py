"""Modals and home tabs: ``views.*``, and what Slack does with the answer to a submission.

Follows https://docs.slack.dev/surfaces/modals and https://docs.slack.dev/reference/views.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from app.testing.slack_api import Call, Method, Refused
from app.testing.slack_blocks import IN_A_VIEW, elements, faults
from app.testing.slack_shapes import view_json
from app.testing.slack_world import OpenView, new_id

if TYPE_CHECKING:
    from app.testing.slack_world import World

MOST_VIEWS = 3  # one above the other
_TITLES = {"title": 24, "submit": 24, "close": 24}


def checked_view(body: object, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Return the view. Raises Refused with what is wrong with it."""
    if not isinstance(body, dict) or body.get("type") not in kinds:
        raise Refused("invalid_arguments", response_metadata={"messages": ["[ERROR] view is not one"]})
    found = faults(body.get("blocks") or [], IN_A_VIEW)
    for name, longest in _TITLES.items():
        text = (body.get(name) or {}).get("text", "")
        if len(text) > longest or (name == "title" and body["type"] == "modal" and not text):
            found.append(f"[ERROR] must be from 1 to {longest} characters [json-pointer:/view/{name}]")
    for name, longest in {"private_metadata": 3000, "callback_id": 255, "external_id": 255}.items():
        if len(body.get(name) or "") > longest:
            found.append(f"[ERROR] must be at most {longest} characters [json-pointer:/view/{name}]")
    inputs = any(each.get("type") == "input" for each in body.get("blocks") or () if isinstance(each, dict))
    if body["type"] == "modal" and inputs and not body.get("submit"):
        found.append("[ERROR] missing required field: submit [json-pointer:/view]")
    if found:
        raise Refused("invalid_arguments", response_metadata={"messages": found})
    blocks = [{"block_id": secrets.token_urlsafe(4)} | block for block in body.get("blocks") or []]
    return body | {"blocks": blocks}


def _triggered(call: Call) -> str:
    """Return who a trigger id belongs to, once, as long as it lasts."""
    trigger = call.need("trigger_id", "view")
    with call.world.lock:
        if trigger not in call.world.triggers:
            raise Refused("invalid_trigger_id")
        user, until = call.world.triggers[trigger]
        if until < 0:
            raise Refused("exchanged_trigger_id")
        if time.time() > until:
            raise Refused("expired_trigger_id")
        call.world.triggers[trigger] = (user, -1.0)
        return user


def _show(world: World, user: str, body: dict[str, Any], below: OpenView | None = None) -> OpenView:
    view_id = new_id("V")
    view = OpenView(view_id, user, body, below.root if below else view_id, below.id if below else None)
    view.external_id, view.hash = body.get("external_id") or "", _new_hash()
    view.versions.append(body)
    world.views[view_id] = view
    return view


def _replace(view: OpenView, body: dict[str, Any]) -> None:
    view.body, view.hash = body, _new_hash()
    view.versions.append(body)


def _new_hash() -> str:
    return f"{int(time.time())}.{secrets.token_hex(4)}"


def stack_of(world: World, user: str) -> list[OpenView]:
    """Return the modals that *user* has open, the lowest first."""
    return [each for each in world.views.values() if each.user == user and not each.closed and _modal(each)]


def _modal(view: OpenView) -> bool:
    return bool(view.body["type"] == "modal")


def open_view(call: Call) -> dict[str, Any]:
    """views.open."""
    body = checked_view(call.args.get("view"), ("modal",))
    user = _triggered(call)
    for each in stack_of(call.world, user):
        each.closed = True
    return {"view": view_json(call.world, _show(call.world, user, body))}


def push_view(call: Call) -> dict[str, Any]:
    """views.push: three at most are one above the other."""
    body = checked_view(call.args.get("view"), ("modal",))
    user = _triggered(call)
    stack = stack_of(call.world, user)
    if not stack:
        raise Refused("not_found")
    if len(stack) >= MOST_VIEWS:
        raise Refused("push_limit_reached")
    return {"view": view_json(call.world, _show(call.world, user, body, stack[-1]))}


def update_view(call: Call) -> dict[str, Any]:
    """views.update, by id or by external id; a hash has to be the latest."""
    body = checked_view(call.args.get("view"), ("modal", "home"))
    wanted = {call.args.get("view_id"), call.args.get("external_id")} - {None, ""}
    for view in call.world.views.values():
        if {view.id, view.external_id} & wanted and not view.closed:
            if call.args.get("hash") not in (None, "", view.hash):
                raise Refused("hash_conflict")
            _replace(view, body)
            return {"view": view_json(call.world, view)}
    raise Refused("not_found")


def publish_view(call: Call) -> dict[str, Any]:
    """views.publish: a person's home tab."""
    user = call.need("user_id", "view")
    body = checked_view(call.args["view"], ("home",))
    if user not in call.world.users:
        raise Refused("user_not_found")
    if not call.manifest.has_home:
        raise Refused("not_enabled")
    for view in call.world.views.values():
        if view.user == user and not _modal(view):
            if call.args.get("hash") not in (None, "", view.hash):
                raise Refused("hash_conflict")
            _replace(view, body)
            return {"view": view_json(call.world, view)}
    return {"view": view_json(call.world, _show(call.world, user, body))}


def answered(world: World, view: OpenView, answer: dict[str, Any]) -> None:
    """Do with a submitted view what the app's answer says: nothing said closes it.

    Raises Refused where the view that it brings is not one. Follows https://docs.slack.dev/surfaces/modals#response_actions
    """
    action = answer.get("response_action")
    if action == "errors":
        return
    if action in {"update", "push"}:
        body = checked_view(answer.get("view"), ("modal",))
        if action == "update":
            _replace(view, body)
        elif len(stack_of(world, view.user)) < MOST_VIEWS:
            _show(world, view.user, body, view)
        return
    view.closed = True
    if action == "clear":
        for each in stack_of(world, view.user):
            each.closed = True


def state_of(view: OpenView, values: dict[str, Any]) -> dict[str, Any]:
    """Return ``view.state`` for *values*: block id or action id → what was typed or chosen, or the whole element state.

    A text is what was typed; for lists to choose from it is the value of the option. Raises LookupError for a field
    that the view does not have.
    """
    state: dict[str, dict[str, Any]] = {}
    known = set()
    for block, element in elements(view.body.get("blocks", [])):
        names = {str(block.get("block_id")), element["action_id"]}
        known |= names
        given = next((values[name] for name in names if name in values), None)
        if isinstance(given, dict) and element["action_id"] in given:
            given = given[element["action_id"]]
        state.setdefault(block["block_id"], {})[element["action_id"]] = _typed(element, given)
    if strangers := set(values) - known:
        raise LookupError(f"the view has no field {sorted(strangers)}; it has {sorted(known)}")
    return {"values": state}


def _typed(element: dict[str, Any], given: Any) -> dict[str, Any]:
    kind = element["type"]
    if isinstance(given, dict):
        return {"type": kind} | given
    groups = element.get("option_groups") or ([element] if "options" in element else [])
    if groups:
        chosen = given if isinstance(given, list | tuple) else [given]
        options = [each for group in groups for each in group["options"] if each["value"] in chosen]
        if given is not None and len(options) < len(chosen):
            raise LookupError(f"{element['action_id']} has no option {given!r}")
        if kind.startswith("multi_") or kind == "checkboxes":
            before = element.get("initial_options") or []
            return {"type": kind, "selected_options": options if given is not None else before}
        return {"type": kind, "selected_option": options[0] if options else element.get("initial_option")}
    if kind.endswith("_select"):
        name = ("selected_" + kind.removesuffix("_select").removeprefix("multi_")).rstrip("s")
        name = name + "s" if kind.startswith("multi_") else name
        initial = element.get(name.replace("selected_", "initial_"))
        return {"type": kind, name: given if given is not None else initial}
    if kind.endswith("input"):
        return {"type": kind, "value": given if given is not None else element.get("initial_value")}
    return {"type": kind}


VIEWING = {
    "views.open": Method(open_view),
    "views.publish": Method(publish_view),
    "views.push": Method(push_view),
    "views.update": Method(update_view),
}
