"""The functions of the desk for pages, commands and other programs: each takes a session, or the desk and an actor.

They raise `InputError` for wrong input, `Refusal` (with a kind: role, state, guard, conflict, missing) for what the
desk does not do, and `RunFailed` where the database does not answer.
"""

from __future__ import annotations

from expunge.desk.assets import add_asset, asset_row, connector_of, retire_asset
from expunge.desk.certificates import certificate_file, certificate_row, certificate_view, sign_certificate, take_signed
from expunge.desk.decisions import decide, decide_asset, decisions
from expunge.desk.desk import Desk, DeskSession
from expunge.desk.event_log import EventHead, log_problems, read_head
from expunge.desk.facts import open_assets
from expunge.desk.identity import record_identity
from expunge.desk.letter_text import read_letter
from expunge.desk.letters import accept_letter, pending_letters
from expunge.desk.matching import add_match, matches, reveal, search, settle
from expunge.desk.people import actor_of, people, remove_person, set_person
from expunge.desk.plan_wish import PlanWish
from expunge.desk.plans import approve_plan, approve_promotion, plan_again, plan_row, reject_plan
from expunge.desk.purging import confirm_task, purge_request, tasks
from expunge.desk.reasons import read_reasons
from expunge.desk.receipts import receipts
from expunge.desk.recipients import note_notice, tasks_for_people
from expunge.desk.record_period import purge_records
from expunge.desk.regime import load_regime, regime_names
from expunge.desk.rehearsal_text import rehearsal_lines
from expunge.desk.requests import acknowledge, act, add_identifiers, extend, requests_like, submit
from expunge.desk.roles import MAY, PEOPLE, ROLES, SYSTEM, Actor, Refusal
from expunge.desk.rotation import rotate_keys
from expunge.desk.runs import cancel_run
from expunge.desk.settings import DeskSettings
from expunge.desk.views import find_request, inbox, plan_views, possible, progress, request_view, timeline

__all__ = [
    "MAY",
    "PEOPLE",
    "ROLES",
    "SYSTEM",
    "Actor",
    "Desk",
    "DeskSession",
    "DeskSettings",
    "EventHead",
    "PlanWish",
    "Refusal",
    "accept_letter",
    "acknowledge",
    "act",
    "actor_of",
    "add_asset",
    "add_identifiers",
    "add_match",
    "approve_plan",
    "approve_promotion",
    "asset_row",
    "cancel_run",
    "certificate_file",
    "certificate_row",
    "certificate_view",
    "confirm_task",
    "connector_of",
    "decide",
    "decide_asset",
    "decisions",
    "extend",
    "find_request",
    "inbox",
    "load_regime",
    "log_problems",
    "matches",
    "note_notice",
    "open_assets",
    "pending_letters",
    "people",
    "plan_again",
    "plan_row",
    "plan_views",
    "possible",
    "progress",
    "purge_records",
    "purge_request",
    "read_head",
    "read_letter",
    "read_reasons",
    "receipts",
    "record_identity",
    "regime_names",
    "rehearsal_lines",
    "reject_plan",
    "remove_person",
    "request_view",
    "requests_like",
    "retire_asset",
    "reveal",
    "rotate_keys",
    "search",
    "set_person",
    "settle",
    "sign_certificate",
    "submit",
    "take_signed",
    "tasks",
    "tasks_for_people",
    "timeline",
]
