"""Providers of letters against a real server: who gets a letter, what is repeated, and what is said of a failure."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("rfc8785")
pytest.importorskip("holidays")
pytest.importorskip("cryptography")

from sqlalchemy import RowMapping, select

from expunge.desk import tables as t
from expunge.desk.condition import desk_condition
from expunge.desk.dispatch import notify_accepted
from expunge.desk.identity import record_identity
from expunge.desk.letter_providers.base import LetterProvider, OutgoingLetter
from expunge.desk.letter_sending import CLAIM_SECONDS, ProviderSender, provider_of, sender_of
from expunge.desk.letters import PAUSE_SECONDS, accept_letter, notify_ended, queue_letter, send_waiting
from expunge.desk.reasons import read_reasons
from expunge.desk.roles import SYSTEM
from expunge.desk.settings import DeskSettings
from expunge.desk.workflows import VERSION
from expunge.errors import InputError
from helpers.desk import CLERK, REVIEWER, DeskCase, make_desk, new_request
from helpers.mail_server import MailBox, certificate, mail_server

EMAIL = "zyxwena@mail.example"
CONTACT = {"contact": "privacy@hospital.example", "authority": "DPC"}
PERSON = {"name": "Zyxwena Quorbelius", "email": EMAIL, "address": "7 Quorbel Lane\nTown"}


def desk_with(folder: Path, provider: str, **settings: Any) -> DeskCase:
    letters = {**CONTACT, "provider": provider, "provider_settings": settings}
    return make_desk(folder / "desk", controller="St. Mary", letters=letters)


def desk_on(folder: Path, box: MailBox, **more: Any) -> DeskCase:
    mail = {"host": "127.0.0.1", "port": box.port, "security": "none", "sender": "desk@hospital.example"}
    return desk_with(folder, "smtp", **{"timeout_seconds": 5, **mail, **more})


def cancelled(case: DeskCase, *kinds: str) -> str:
    """A request that ended, and whose identifiers of some kinds are verified."""
    request_id = new_request(case, PERSON)
    with case.desk.session(CLERK) as s:
        rows = s.conn.execute(select(t.identifier).where(t.identifier.c.request_id == request_id)).mappings()
        if shown := [row["id"] for row in rows if row["kind"] in kinds]:
            record_identity(s, request_id, success=True, method="in person", identifiers=shown)
    case.event(REVIEWER, request_id, "cancel", reason="A mistake of ours.")
    return request_id


def row_of(case: DeskCase, request_id: str) -> RowMapping:
    with case.desk.reading(SYSTEM) as s:
        return s.conn.execute(select(t.outbox).where(t.outbox.c.request_id == request_id)).mappings().one()


def problems(case: DeskCase) -> list[str]:
    return [line for line in desk_condition(case.desk, VERSION)["problems"] if line.startswith("letters:")]


def test_a_letter_goes_to_the_verified_address(tmp_path: Path) -> None:
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, "name", "email")
        assert notify_ended(case.desk, sender_of(case.desk)) == [request_id]
        assert notify_ended(case.desk, sender_of(case.desk)) == []
        assert send_waiting(case.desk, sender_of(case.desk)) == []
    row, (mail,) = row_of(case, request_id), box.mails
    assert [recipient for recipient, _ in box.taken] == [EMAIL]
    assert mail["Message-ID"] == f"<{row['id']}@hospital.example>"
    assert mail["Subject"].startswith("Reference number: E-")
    plain, page = mail.get_payload()
    assert "A mistake of ours." in plain.get_payload(decode=True).decode()
    assert "<h2>Our answer</h2>" in page.get_payload(decode=True).decode()
    assert (row["channel"], row["problem"]) == ("provider", None)
    assert case.state(request_id) == "notified"


@pytest.mark.parametrize("kinds", [(), ("name",)])
def test_no_other_address_gets_a_letter(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, *kinds)
        for _ in range(3):
            assert notify_ended(case.desk, sender_of(case.desk)) == []
            case.clock.move(hours=30)
    row = row_of(case, request_id)
    assert box.taken == []
    assert (row["tries"], row["next_try_at"]) == (1, None)
    assert "no verified identifier of the kind email" in row["problem"]
    assert problems(case) == []
    with case.desk.session(CLERK) as s:
        assert accept_letter(s, row["id"])
        assert notify_accepted(s) == [] or case.state(request_id) == "notified"


def test_a_purged_identifier_is_no_address(tmp_path: Path) -> None:
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, "email")
        with case.desk.session(SYSTEM) as s:
            here = t.identifier.c.request_id == request_id
            s.conn.execute(t.identifier.update().where(here).values(ciphertext=None, key_id=None, blind_index=None))
        assert notify_ended(case.desk, sender_of(case.desk)) == []
    assert box.taken == []


def test_a_server_that_is_down_is_asked_again_later(tmp_path: Path) -> None:
    with mail_server(MailBox()) as box:
        pass
    case = desk_on(tmp_path, box)
    first, second = cancelled(case, "email"), cancelled(case, "email")
    sender = sender_of(case.desk)
    pauses = []
    for _ in range(3):
        assert notify_ended(case.desk, sender) == []
        assert notify_ended(case.desk, sender) == []  # nothing is due now
        rows = [row_of(case, each) for each in (first, second)]
        wait = PAUSE_SECONDS * 2 ** len(pauses)
        pauses.append([row["tries"] for row in rows])
        case.clock.move(seconds=wait)
    assert pauses == [[1, 1], [2, 2], [3, 3]]
    (line,) = problems(case)
    assert "2 not taken by the provider: the server is not reached; tried 3 time(s)" in line
    with mail_server(box):
        assert sorted(notify_ended(case.desk, sender)) == sorted([first, second])
    assert len(box.taken) == 2
    assert problems(case) == []


class OneLetterFails(LetterProvider):
    """Fails at one letter, as a plug-in does that cannot write its text."""

    address_kind: ClassVar[str] = "email"
    key: str

    def send(self, root: Path, letter: OutgoingLetter) -> str:
        if letter.key == self.key:
            raise ValueError(letter.address)
        return letter.key


def doctor(case: DeskCase, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    from expunge.cli import main

    code = main(["doctor", "--desk", str(case.folder)])
    told = capsys.readouterr()
    return code, (told.out + told.err).splitlines()


def test_doctor_greets_the_server_and_sends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "password").write_text("open sesame\n", "utf-8")
    (tmp_path / "password").chmod(0o600)
    sign_in = {"user": "desk", "password_file": str(tmp_path / "password")}
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box, **sign_in)
        code, lines = doctor(case, capsys)
        (line,) = [line for line in lines if "server of mail" in line]
        assert line == f"the server of mail 127.0.0.1:{box.port} answers (no TLS, signed in); no mail was sent"
    assert code == 0
    assert len(box.sign_ins) == 1
    assert box.taken == []
    code, lines = doctor(case, capsys)
    assert [line for line in lines if "letters:" in line] == [
        "letters: the server is not reached; mend that, or post them by hand"
    ]
    assert code == 1
    assert "open sesame" not in str(lines)


def test_doctor_names_a_server_without_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mail_server(MailBox()) as box:
        code, lines = doctor(desk_on(tmp_path, box, security="starttls"), capsys)
    assert (code, box.sign_ins) == (1, [])
    assert any("offers no TLS" in line for line in lines)


def test_doctor_connects_to_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = doctor(desk_with(tmp_path, "hand"), capsys)
    assert code == 0
    assert not any("letters" in line or "mail" in line for line in lines)


@pytest.mark.parametrize("hand_over", [notify_ended, send_waiting])
def test_a_letter_at_which_a_provider_fails_holds_no_other_up(tmp_path: Path, hand_over: Any) -> None:
    case = desk_with(tmp_path, "hand")
    requests = [cancelled(case, "email") for _ in range(3)]
    notify_ended(case.desk, None)
    first = row_of(case, requests[0])["id"]
    sender = ProviderSender(case.desk, OneLetterFails(key=first))
    for _ in range(3):
        hand_over(case.desk, sender)
        case.clock.move(seconds=PAUSE_SECONDS)
    assert [row_of(case, each)["accepted_at"] is not None for each in requests] == [False, True, True]
    assert row_of(case, requests[0])["tries"] == 2


def test_a_refusal_says_nothing_of_the_address(tmp_path: Path) -> None:
    with mail_server(MailBox(refused={EMAIL})) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, "email")
        assert notify_ended(case.desk, sender_of(case.desk)) == []
        assert row_of(case, request_id)["problem"] == "the server refuses the recipient (550)"
        (line,) = problems(case)
        assert EMAIL not in line
        texts = [each["text"] for each in read_reasons(case.desk, CLERK, request_id)]
        assert not [text for text in texts if "zyxwena" in text]
        files = [file for file in case.folder.rglob("*") if file.is_file()]
        assert [str(file) for file in files if b"zyxwena@" in file.read_bytes()] == []
        box.refused.clear()
        case.clock.move(seconds=PAUSE_SECONDS)
        assert notify_ended(case.desk, sender_of(case.desk)) == [request_id]


def test_a_repeat_after_a_lost_answer_is_the_same_mail(tmp_path: Path) -> None:
    with mail_server(MailBox(dies=1)) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, "email")
        assert notify_ended(case.desk, sender_of(case.desk)) == []
        assert "ends the connection" in row_of(case, request_id)["problem"]
        case.clock.move(seconds=PAUSE_SECONDS)
        assert notify_ended(case.desk, sender_of(case.desk)) == [request_id]
    first, second = box.taken
    assert first == second


def test_a_worker_that_dies_while_it_sends_leaves_the_same_letter(tmp_path: Path) -> None:
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, "email")
        sender = sender_of(case.desk)
        assert isinstance(sender, ProviderSender)

        def dies(key: str, path: str) -> str:
            sender(key, path)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            notify_ended(case.desk, dies)
        assert send_waiting(case.desk, sender) == []  # another worker leaves it alone for a while
        case.clock.move(seconds=CLAIM_SECONDS)
        assert notify_ended(case.desk, sender) == [request_id]
    assert [mail["Message-ID"] for mail in box.mails] == [f"<{row_of(case, request_id)['id']}@hospital.example>"] * 2


def test_two_workers_send_one_letter(tmp_path: Path) -> None:
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box)
        request_id = cancelled(case, "email")
        sender = sender_of(case.desk)
        assert isinstance(sender, ProviderSender)

        def slow(key: str, path: str) -> str:
            receipt = sender(key, path)
            assert notify_ended(case.desk, sender) == []
            return receipt

        assert notify_ended(case.desk, slow) == [request_id]
    assert len(box.taken) == 1


def test_a_server_without_tls_gets_nothing(tmp_path: Path) -> None:
    with mail_server(MailBox()) as box:
        case = desk_on(tmp_path, box, security="starttls")
        request_id = cancelled(case, "email")
        assert notify_ended(case.desk, sender_of(case.desk)) == []
    assert row_of(case, request_id)["problem"] == "the server offers no TLS or no sign-in"
    assert box.taken == []


def test_tls_and_sign_in(tmp_path: Path) -> None:
    pem, context = certificate(tmp_path)
    secret = tmp_path / "mail.pass"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    signs_in = {"user": "desk", "password_file": str(secret), "security": "starttls"}
    with mail_server(MailBox(context=context)) as box:
        case = desk_on(tmp_path, box, **signs_in, ca_file=str(pem))
        request_id = cancelled(case, "email")
        assert notify_ended(case.desk, sender_of(case.desk)) == [request_id]
        assert len(box.taken) == len(box.sign_ins) == 1
        strange = desk_on(tmp_path / "other", box, **signs_in)  # the system does not know its certificate
        second = cancelled(strange, "email")
        assert notify_ended(strange.desk, sender_of(strange.desk)) == []
    assert "certificate of the server is not accepted" in row_of(strange, second)["problem"]
    assert len(box.taken) == len(box.sign_ins) == 1


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"host": "mail.example", "security": "none"}, "is for a server on this machine"),
        ({"sender": "nobody"}, "no address of mail"),
        ({"user": "desk"}, "belong together"),
        ({"server": "x"}, "server"),
    ],
)
def test_wrong_settings_of_a_mail_server(settings: dict[str, Any], what: str) -> None:
    given = {"host": "127.0.0.1", "security": "none", "sender": "a@b.example", **settings}
    letters = {**CONTACT, "provider": "smtp", "provider_settings": given}
    with pytest.raises(InputError, match=what):
        provider_of(DeskSettings.model_validate({"controller": "X", "letters": letters}))


def test_the_password_lies_elsewhere_and_is_private(tmp_path: Path) -> None:
    case = desk_on(tmp_path, MailBox(port=1), user="desk", password_file=str(tmp_path / "mail.pass"))
    (tmp_path / "mail.pass").write_text("x\n")
    (tmp_path / "mail.pass").chmod(0o644)
    with pytest.raises(InputError, match="can be read by others"):
        sender_of(case.desk)
    inside = desk_on(tmp_path / "second", MailBox(port=1), user="desk", password_file="mail.pass")
    with pytest.raises(InputError, match="lies in the desk's folder"):
        sender_of(inside.desk)
    assert any("mail.pass" in line for line in desk_condition(case.desk, VERSION)["problems"])


def test_a_hot_folder_gets_the_letter_and_the_address(tmp_path: Path) -> None:
    hot = tmp_path / "hot"
    hot.mkdir()
    case = desk_with(tmp_path, "folder", path=str(hot))
    request_id, other = cancelled(case, "address"), cancelled(case, "email")
    assert notify_ended(case.desk, sender_of(case.desk)) == [request_id]
    row = row_of(case, request_id)
    assert sorted(file.name for file in hot.iterdir()) == [f"{row['id']}.html", f"{row['id']}.json"]
    about = json.loads((hot / f"{row['id']}.json").read_text("utf-8"))
    assert (about["address_kind"], about["address"]) == ("address", PERSON["address"])
    assert set(about) == {"letter", "reference", "language", "address_kind", "address"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in hot.iterdir()} == {0o600}
    assert "no verified identifier of the kind address" in row_of(case, other)["problem"]


def test_a_hot_folder_that_is_gone_is_tried_again(tmp_path: Path) -> None:
    hot = tmp_path / "hot"
    hot.mkdir()
    case = desk_with(tmp_path, "folder", path=str(hot), group_can_read=True)
    request_id, sender = cancelled(case, "address"), sender_of(case.desk)
    hot.rmdir()
    assert notify_ended(case.desk, sender) == []
    assert not hot.exists()
    hot.mkdir()
    case.clock.move(seconds=PAUSE_SECONDS)
    assert notify_ended(case.desk, sender) == [request_id]
    assert {stat.S_IMODE(file.stat().st_mode) for file in hot.iterdir()} == {0o640}


def test_hand_sends_nothing(tmp_path: Path) -> None:
    case = make_desk(tmp_path / "desk", controller="St. Mary", letters=CONTACT)
    assert sender_of(case.desk) is None
    request_id = cancelled(case, "email")
    with case.desk.session(SYSTEM) as s:
        queue_letter(s, request_id)
    assert send_waiting(case.desk, None) == []
    with pytest.raises(InputError, match="provider of letters"):
        provider_of(DeskSettings.model_validate({"controller": "X", "letters": {**CONTACT, "provider": "pigeon"}}))
