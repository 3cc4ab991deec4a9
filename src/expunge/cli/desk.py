"""`expunge desk`, `policy`, `log` and `worker`: the desk itself, its people and assets, its rules, its work."""

from __future__ import annotations

import shlex
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.desk_options import DeskFolder, Person, acting, check_installed, open_desk, read_mapping
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.desk.desk import DeskSession

PolicyArgument = Annotated[str, typer.Argument(help="Name, or name@version.")]
DeskIfAny = Annotated[Path | None, typer.Option("--desk", envvar="EXPUNGE_DESK", help="Desk whose own policies count.")]


def init(
    desk: DeskFolder,
    admin: Annotated[str, typer.Option(help="Name of the first person, who adds the others.")],
    settings: Annotated[Path | None, typer.Option(help="YAML file of settings, see the operator's guide.")] = None,
) -> CommandResult:
    """Make a desk: its folder, database and key file."""
    check_installed()
    from expunge._validation import validate
    from expunge.desk.desk import Desk
    from expunge.desk.people import set_person
    from expunge.desk.roles import SYSTEM
    from expunge.desk.settings import DeskSettings

    wanted = validate(DeskSettings, read_mapping(settings, "--settings") if settings else {}, str(settings or "desk"))
    made = Desk.create(desk, wanted)
    with made.session(SYSTEM) as s:
        set_person(s, admin, ["admin"])
    keys = desk / wanted.keys
    return CommandResult(
        {"desk": desk, "keys": keys, "admin": admin},
        (f"desk in {desk}", f"keep a copy of {keys} elsewhere: without it no identifier can be read"),
    )


def person(
    name: Annotated[str, typer.Argument(help="Short name of a person, without blanks.")],
    desk: DeskFolder,
    acts: Person,
    role: Annotated[list[str] | None, typer.Option(help="clerk, reviewer, operator, approver, auditor …")] = None,
    leaves: Annotated[bool, typer.Option("--leaves", help="The person leaves.")] = False,
) -> CommandResult:
    """Add a person, change their roles, or let them leave."""
    opened = open_desk(desk)
    from expunge.desk import service

    if leaves == bool(role):
        raise InputError("--role", "and --leaves exclude each other, and one is needed", "give one of them")
    with opened.session(acting(opened, acts, ["admin"])) as s:
        if leaves:
            service.remove_person(s, name)
        else:
            service.set_person(s, name, role or ())
        everybody = service.people(s)
    table = ResultTable(("person", "roles"), [(who, ", ".join(roles)) for who, roles in everybody.items()])
    return CommandResult({"people": everybody}, (table,))


def asset(
    name: Annotated[str, typer.Argument(help="Short name of the place, without personal data.")],
    desk: DeskFolder,
    acts: Person,
    kind: Annotated[str | None, typer.Option(help="corpus, weights, table, backup …")] = None,
    connector: Annotated[str | None, typer.Option(help="corpus, model_folder, sql_table, backup …")] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML file with the settings of the connector.")] = None,
    lineage: Annotated[str | None, typer.Option(help="Name of the model that it belongs to.")] = None,
    retire: Annotated[bool, typer.Option("--retire", help="Take it off the map.")] = False,
) -> CommandResult:
    """Put a place on the asset map, or take it off."""
    opened = open_desk(desk)
    from expunge.desk import service

    actor = acting(opened, acts, ["operator", "admin"])
    with opened.session(actor) as s:
        if retire:
            service.retire_asset(s, service.asset_row(s, name)["id"])
        else:
            if kind is None or connector is None:
                raise InputError("--kind", "and --connector are needed", "see docs/guides/operate-desk.md")
            values = read_mapping(settings, "--settings") if settings else {}
            service.add_asset(s, name, kind, connector, values, lineage=lineage)
        return _assets(s)


def rotate(desk: DeskFolder, acts: Person) -> CommandResult:
    """Make a new key, and write every encrypted value anew under it. Stop the workers first."""
    opened = open_desk(desk)
    from expunge.desk import service

    count = service.rotate_keys(opened, acting(opened, acts, ["admin"]))
    return CommandResult(
        {"values": count, "key": opened.keys.current}, (f"{count:,} values under key {opened.keys.current}",)
    )


def assets(desk: DeskFolder, acts: Person) -> CommandResult:
    """List the asset map."""
    opened = open_desk(desk)
    from expunge.desk import service

    with opened.reading(acting(opened, acts, service.PEOPLE)) as s:
        return _assets(s)


def _assets(s: DeskSession) -> CommandResult:
    from expunge.desk import service

    rows = [
        {key: row[key] for key in ("id", "name", "kind", "connector", "lineage", "owner")}
        for row in service.open_assets(s)
    ]
    columns = ("name", "kind", "connector", "lineage", "owner")
    table = ResultTable(columns, [[row[key] for key in columns] for row in rows])
    return CommandResult({"assets": rows}, (table if rows else "no assets",))


def policies(desk: DeskIfAny = None) -> CommandResult:
    """List policies: laws with their dates, by version."""
    check_installed()
    from expunge.desk.regime import load_regime, regime_names

    folder = desk and desk / "policies"
    rows = [load_regime(name, folder) for name in regime_names(folder)]
    table = ResultTable(
        ("policy", "law", "right to erasure", "reviewed"), [(r.key, r.title, r.erasure_right, r.reviewed) for r in rows]
    )
    return CommandResult({"policies": [r.model_dump(mode="json") for r in rows]}, (table,))


def policy(name: PolicyArgument, desk: DeskIfAny = None) -> CommandResult:
    """Show a policy, as it would be written into a file."""
    check_installed()
    import yaml

    from expunge.desk.regime import load_regime

    regime = load_regime(name, desk and desk / "policies")
    data = regime.model_dump(mode="json", exclude_defaults=True)
    return CommandResult(
        {**regime.model_dump(mode="json"), "digest": regime.digest}, (yaml.safe_dump(data, sort_keys=False).rstrip(),)
    )


def dates(
    name: PolicyArgument,
    received: Annotated[str, typer.Argument(help="Day of receipt, YYYY-MM-DD.")],
    desk: DeskIfAny = None,
) -> CommandResult:
    """Show the dates of a request that was received on a day."""
    check_installed()
    from dataclasses import asdict
    from datetime import date

    from expunge.desk.deadlines import deadlines
    from expunge.desk.regime import load_regime

    try:
        day = date.fromisoformat(received)
    except ValueError as error:
        raise InputError("received", f'"{received}" is no day', "write YYYY-MM-DD") from error
    heads = {
        key: value and value.isoformat()
        for key, value in asdict(deadlines(load_regime(name, desk and desk / "policies"), day)).items()
    }
    return CommandResult(heads, tuple(f"{key}: {value or 'none'}" for key, value in heads.items()))


def verify_log(
    desk: DeskFolder,
    acts: Person,
    head: Annotated[list[str] | None, typer.Option(help="SEQ:HASH that was kept elsewhere; repeatable.")] = None,
) -> CommandResult:
    """Check that the audit log, the Merkle log, rows and encrypted values are whole; exit code 3 unless they are."""
    opened = open_desk(desk)
    from expunge.desk import service
    from expunge.desk.evidence_log import anchor_problems
    from expunge.desk.regime_texts import rule_problems
    from expunge.desk.replay_check import replay_problems
    from expunge.desk.sealed_values import value_problems

    with opened.reading(acting(opened, acts, service.PEOPLE)) as s:
        problems = service.log_problems(s.conn, [_head(text) for text in head or ()])
        problems += anchor_problems(opened, s.conn)
        problems += replay_problems(s.conn)
        problems += rule_problems(s.conn, opened.policies)
        with Progress().bar("encrypted values") as tick:
            problems += value_problems(opened.keys, s.conn, lambda done, total: tick(done / total, f"{done:,}"))
        last = service.read_head(s.conn)
    lines = [f"does not fit: {problem}" for problem in problems] or ["the log is whole"]
    data = {"head": {"seq": last.seq, "hash": last.hash}, "problems": problems}
    return CommandResult(data, (*lines, f"head: {last.seq}:{last.hash}"), 3 if problems else 0)


def _head(text: str) -> Any:
    from expunge.desk.event_log import EventHead

    seq, _, digest = text.partition(":")
    if not seq.isdigit() or len(digest) != 64:
        raise InputError("--head", "must be SEQ:HASH", "copy it from desk verify-log, a letter or a certificate")
    return EventHead(int(seq), digest)


def worker(
    desk: DeskFolder,
    name: Annotated[str, typer.Option(help="Name of this worker, its own and the same at every start.")],
    ability: Annotated[list[str] | None, typer.Option(help="light, unlearn, audit; all if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    launcher: Annotated[
        str, typer.Option(help='Words that start runs and audits elsewhere, such as "srun --gres=gpu:1".')
    ] = "",
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End once nothing is due or under way.")] = False,
    clock_is_right: Annotated[
        bool, typer.Option("--clock-is-right", help="Confirm the clock of this machine after a long silence.")
    ] = False,
) -> CommandResult:
    """Carry out the durable work of a desk until it is stopped; several may run at once."""
    opened = open_desk(desk)
    check_installed("dbos")
    from expunge.desk.child import run_child
    from expunge.desk.clock_watch import ClockWatch
    from expunge.desk.leases import ABILITIES
    from expunge.desk.letter_sending import sender_of
    from expunge.desk.worker import DeskWorker, leave
    from expunge.desk.workshop import Workshop

    run = partial(run_child, launcher=_launcher(launcher))
    shop = Workshop(opened, name, sender=sender_of(opened), device=device, run=run)
    clock = ClockWatch(clock_is_right)
    works = DeskWorker(shop, ability or ABILITIES, clock=clock)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: works.stop())
    works.start()
    typer.echo(f"worker {name} works; Ctrl-C stops it", err=True)
    works.run(until_idle=until_idle)
    works.sign_off()
    if works.stopped:
        leave()  # steps that are under way go on elsewhere
    works.close()
    return CommandResult({"worker": name, "idle": True}, ("nothing is due",))


def _launcher(text: str) -> list[str]:
    """The words of a launcher; `InputError` for one that cannot be read, or a program that is not installed."""
    where, hint = "--launcher", 'name a program and its options, such as "srun --gres=gpu:1"'
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(where, "has a quotation mark without its pair", hint) from error
    if not text:
        return []
    if not words:
        raise InputError(where, "names no program", hint)
    program = shutil.which(words[0])
    if program is None:
        raise InputError(where, f"no program {words[0]!r} is installed here", hint)
    return [str(Path(program).absolute()), *words[1:]]  # children start in folders of their own
