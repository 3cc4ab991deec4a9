"""The tree of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from expunge.cli import (
    bench,
    certificate,
    desk,
    desk_account,
    desk_answer,
    desk_certificate,
    desk_demo,
    desk_plan,
    desk_request,
    desk_serve,
    desk_task,
    desk_webhook,
    key,
    log,
)
from expunge.cli.annotate import annotate
from expunge.cli.attack import reconstruct
from expunge.cli.audit import audit
from expunge.cli.certificate_disclose import disclose
from expunge.cli.certificate_export import export as export_certificate
from expunge.cli.certificate_export import sign_model, verify_model
from expunge.cli.certificate_letter import letter
from expunge.cli.certificate_receipt import bundle, receipt
from expunge.cli.concepts import build, levels
from expunge.cli.data import check, export
from expunge.cli.data_generate import generate
from expunge.cli.data_identifiers import identifiers
from expunge.cli.data_prepare import prepare
from expunge.cli.demo import demo
from expunge.cli.demo_llm import demo_llm
from expunge.cli.doctor import doctor
from expunge.cli.estimate import estimate
from expunge.cli.export import export as export_run
from expunge.cli.list_registry import listing
from expunge.cli.options import add
from expunge.cli.rehearse import rehearse
from expunge.cli.report import report
from expunge.cli.result import CommandResult
from expunge.cli.train import train
from expunge.cli.tune import tune
from expunge.cli.unlearn import unlearn
from expunge.cli.verify import verify

Command = Callable[..., CommandResult]
COMMANDS: dict[str, Command] = {
    "demo": demo,
    "demo-llm": demo_llm,
    "train": train,
    "estimate": estimate,
    "tune": tune,
    "rehearse": rehearse,
    "unlearn": unlearn,
    "audit": audit,
    "report": report,
    "verify": verify,
    "export": export_run,
    "list": listing,
    "worker": desk.worker,
    "doctor": doctor,
}
GROUPS: dict[str, tuple[str, dict[str, Command]]] = {  # name -> help, commands
    "attack": ("Run one attack of the audit by itself.", {"reconstruct": reconstruct}),
    "data": (
        "Generate, check, prepare and export records.",
        {"generate": generate, "check": check, "identifiers": identifiers, "prepare": prepare, "export": export},
    ),
    "concepts": (
        "Assign concepts and records to four levels.",
        {"build": build, "levels": levels, "annotate": annotate},
    ),
    "certificate": (
        "Certify an unlearned model, and verify certificates.",
        {
            "make": certificate.make,
            "sign": certificate.sign,
            "verify": certificate.verify,
            "show": certificate.show,
            "letter": letter,
            "receipt": receipt,
            "bundle": bundle,
            "export": export_certificate,
            "disclose": disclose,
            "sign-model": sign_model,
            "verify-model": verify_model,
        },
    ),
    "log": ("Keep evidence in a Merkle log.", {"append": log.append, "verify": log.verify, "head": log.head}),
    "key": ("Make and show signing keys.", {"make": key.make, "show": key.show}),
    "desk": (
        "Make an erasure desk, and look after its people and assets.",
        {
            "init": desk.init,
            "person": desk.person,
            "asset": desk.asset,
            "assets": desk.assets,
            "rotate-keys": desk.rotate,
            "verify-log": desk.verify_log,
            "serve": desk_serve.serve,
            "demo": desk_demo.demo,
            "account": desk_account.account,
            "token": desk_account.token,
            "tokens": desk_account.token_list,
            "webhook": desk_webhook.webhook,
            "webhooks": desk_webhook.webhook_list,
        },
    ),
    "request": (
        "Work on requests of people who want to be erased.",
        {
            "submit": desk_request.submit,
            "list": desk_request.inbox,
            "show": desk_request.show,
            "identify": desk_request.identify,
            "search": desk_request.search,
            "matches": desk_request.matches,
            "decide": desk_request.decide,
            "do": desk_request.do,
            "notice": desk_task.notice,
            "settle": desk_task.settle,
            "extend": desk_answer.extend,
            "letters": desk_answer.letters,
            "certificate": desk_certificate.certificate,
            "sign": desk_certificate.sign,
        },
    ),
    "plan": (
        "Look at plans of runs, and approve them.",
        {
            "list": desk_plan.listing,
            "show": desk_plan.show,
            "approve": desk_plan.approve,
            "reject": desk_plan.reject,
            "promote": desk_plan.promote,
            "retry": desk_plan.retry,
            "cancel": desk_plan.cancel,
        },
    ),
    "policy": (
        "Look at policies: laws with their dates.",
        {"list": desk.policies, "show": desk.policy, "dates": desk.dates},
    ),
    "bench": ("Compare methods in experiments.", {"list": bench.listing, "run": bench.run, "report": bench.report}),
}
app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})


def _version(wanted: bool) -> None:
    if wanted:
        from expunge import __version__

        typer.echo(f"expunge {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Make a language model forget a person, and show the evidence."""


for _name, _command in COMMANDS.items():
    add(app, _name, _command)
for _name, (_help, _commands) in GROUPS.items():
    _group = typer.Typer(help=_help)
    app.add_typer(_group, name=_name)
    for _sub_name, _command in _commands.items():
        add(_group, _sub_name, _command)
