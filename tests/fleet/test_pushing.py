"""A push is recorded, numbered, signed, kept and published, and whatever dies in between, the next one goes on from there."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from agent.wire import claims, jws
from fleet import audit, changes, pushing, selector, sign, store
from fleet.delivery import Options
from fleet.draft import Draft, Wish
from fleet.errors import BadInput, Refused
from fleet.pushing import Act
from fleet.secrets import Secrets
from fleet.selector import Node
from tests.fleet.pushed_city import BOTH, KANTOR, KEY, PUBLIC, WIFI_KEY, Town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_a_push_is_signed_for_each_and_retained(town: Town) -> None:
    assert town.push(BOTH, act=Act(pushing.PUSH, "siti", confirm_within_s=120)) == 0
    for ap in town.air.ids:
        read = jws.parse(town.air.retained[f"wifi/v1/malang/{ap}/config/desired"])
        assert KEY.sign(read.signing_input) == read.signature
        said = claims.parse(read.payload, "malang", ap)
        assert (said.revision, said.author, said.confirm_within_s, said.config) == (1, "siti", 120, BOTH)
    assert all(told["retain"] for _, told in town.air.published)


def test_revisions_go_on_from_the_highest_of_the_store_and_what_the_access_point_says(town: Town) -> None:
    """What the broker has retained, what serve heard, what the store knows; a rejected one that no signature vouched for does not count."""
    town.air.reports("rw-0001", revision=41, current=40)
    town.air.reports("rw-0002", revision=99, state="rejected", verified=False, current=7)
    live = store.open_live(town.city, is_writer=True)
    live.execute("INSERT INTO state (ap, reported) VALUES (6, ?)", (json.dumps({"v": 1, "state": "confirmed", "revision": 5}),))
    live.close()
    town.push(PUBLIC)
    assert town.air.told() == {"rw-0001": 42, "rw-0002": 8, "rw-0006": 6, "rw-0010": 1}
    town.push(KANTOR)
    assert town.air.told() == {"rw-0001": 43, "rw-0002": 9, "rw-0006": 7, "rw-0010": 2}


def test_a_revision_that_it_cannot_have_been_told_does_not_count(town: Town) -> None:
    """One access point's lie must not make its next push one that it refuses as a jump, or no number at all."""
    assert pushing.next_revision(7, 2**53 - 1) == 8
    assert pushing.next_revision(7, 7 + pushing.MOST_JUMP) == 8
    assert pushing.next_revision(7, 7 + pushing.MOST_JUMP - 1) == 7 + pushing.MOST_JUMP
    assert pushing.next_revision(0, 3) == 4


def test_what_is_the_same_is_not_told_again(town: Town) -> None:
    town.push(PUBLIC)
    before = len(town.air.published)
    assert town.push(PUBLIC) == 0
    assert len(town.air.published) == before
    assert "nothing is new: same 4" in town.out.getvalue()
    with town.store() as connection:
        assert len(changes.changes(connection)) == 1


def test_the_same_key_again_is_the_same(town: Town) -> None:
    town.push(KANTOR)
    assert town.push(KANTOR) == 0
    assert set(town.air.told().values()) == {1}


def test_all_signs_anew(town: Town) -> None:
    town.push(PUBLIC)
    town.push(PUBLIC, is_all=True)
    assert set(town.air.told().values()) == {2}


def test_only_those_whose_document_differs_are_told(town: Town) -> None:
    town.push(PUBLIC)
    town.push({"ssids": {"public": {"hidden": True}}}, "tag=market")
    assert town.air.told() == {"rw-0001": 1, "rw-0002": 1, "rw-0006": 1, "rw-0010": 2}
    town.push({"ssids": {"public": PUBLIC["ssids"]["public"] | {"hidden": True}}})
    assert town.air.told() == {"rw-0001": 2, "rw-0002": 2, "rw-0006": 2, "rw-0010": 2}


def test_a_layer_that_inner_ones_hide_is_recorded_and_needs_no_broker(town: Town) -> None:
    """The inner level says the same already."""
    town.push({"agent": {"report_interval_s": 60}}, "rw-0001")
    before = town.air.connections
    assert town.push({"agent": {"report_interval_s": 30}}, f"rw={_rw(town)}") == 0
    assert town.air.connections == before
    assert "change 2 is recorded, and no access point's document is another one for it" in town.out.getvalue()


def _rw(town: Town) -> str:
    with town.store() as connection:
        (name,) = (f"{point.kelurahan}/{point.rw}" for point in selector.points(connection) if point.id == "rw-0001")
    return name


def test_the_store_has_no_key_and_the_jws_alone_carries_it(town: Town) -> None:
    town.push(KANTOR)
    with town.store() as connection:
        rows = [row for table in ("changes", "revisions") for row in connection.execute(f"SELECT * FROM {table}")]
    told = str([tuple(value for value in row if not isinstance(value, bytes)) for row in rows]) + town.city.audit.read_text() + town.out.getvalue()
    assert WIFI_KEY not in told
    assert json.loads(next(iter(row for row in rows))[6]) == {"ssids": {"kantor": KANTOR["ssids"]["kantor"] | {"key": _reference(town)}}}
    assert jws.parse(town.air.retained["wifi/v1/malang/rw-0001/config/desired"]).payload["config"] == KANTOR


def _reference(town: Town) -> str:
    (name,) = (path.name for path in town.city.secrets.iterdir() if path.name != "salt")
    return f"secret:{name}"


@pytest.mark.parametrize("after", [0, 1, 3])
def test_killed_while_publishing_the_next_push_goes_on(town: Town, after: int) -> None:
    """Those that were sent and not noted are sent again, as the same bytes; no revision is given twice."""
    town.killed_while(PUBLIC, after)
    first = {ap: payload for ap, payload in town.air.retained.items() if ap.endswith("desired")}
    assert len(first) == after
    assert town.push(KANTOR, "rw-0001") == 0
    assert town.air.told() == {"rw-0001": 2, "rw-0002": 1, "rw-0006": 1, "rw-0010": 1}
    assert all(town.air.retained[topic] == payload for topic, payload in first.items() if "rw-0001" not in topic)
    assert "3 of an earlier push that was cut short" in town.out.getvalue()


def test_killed_before_signing_the_next_push_signs(town: Town) -> None:
    """Numbered and not signed: signed by the next push with the content and the claims of then."""
    with town.store() as connection:
        with pushing.alone(town.city):
            found = _drafted(town, connection, PUBLIC)
            pushing.commit(town.city, connection, found, Act(pushing.PUSH, "budi", confirm_within_s=99), None, _secrets(town), {})
        assert {revision.jws for revision in changes.waiting(connection).values()} == {None}
    assert pushing.republish(town.city, town.air).taken == {}
    town.push({"agent": {"report_interval_s": 60}}, "rw-0001")
    said = {told["ap"]: (told["revision"], told["author"], told["confirm_within_s"], told["config"]) for _, told in town.air.published}
    assert said["rw-0002"] == (1, "budi", 99, PUBLIC)
    assert said["rw-0001"][:2] == (2, "siti")


def test_signing_again_gives_the_same_bytes(town: Town) -> None:
    """Nothing is signed twice with one revision and two contents."""
    with town.store() as connection, pushing.alone(town.city):
        found = _drafted(town, connection, BOTH)
        secrets = _secrets(town)
        secrets.taken_out(KANTOR)
        pushing.commit(town.city, connection, found, Act(pushing.PUSH, "budi"), None, secrets, {})
        connection.execute("UPDATE revisions SET at = 1790000000")  # another moment than this
        pushing.sign_waiting(town.city, connection, KEY, secrets)
        once = {ap: revision.jws for ap, revision in changes.waiting(connection).items()}
        connection.execute("UPDATE revisions SET jws = NULL")
        pushing.sign_waiting(town.city, connection, KEY, _secrets(town))
        assert {ap: revision.jws for ap, revision in changes.waiting(connection).items()} == once
    assert {jws.parse(signed or b"").payload["issued_at"] for signed in once.values()} == {1790000000}


def _secrets(town: Town) -> Secrets:
    return Secrets(town.city)


def _drafted(town: Town, connection: Any, layer: dict[str, Any]) -> Draft:
    secrets = _secrets(town)
    taken = secrets.taken_out(layer)
    secrets.keep(taken)
    node, below = selector.resolve("city", selector.points(connection))
    return pushing.prepare(connection, Wish(node, taken), below, secrets)


def test_serve_sends_what_a_killed_push_left(town: Town) -> None:
    town.killed_while(PUBLIC, 1)
    published = pushing.republish(town.city, town.air)
    assert (set(published.taken), published.missing) == (set(town.air.ids), {})
    assert pushing.republish(town.city, town.air).taken == {}


def test_serve_keeps_out_of_a_push_under_way(town: Town) -> None:
    town.killed_while(PUBLIC, 0)
    with pushing.alone(town.city):
        assert pushing.republish(town.city, town.air) == pushing.Published({}, {})
    assert not town.air.published


def test_only_one_push_at_a_time(town: Town) -> None:
    """Otherwise the older could be retained last."""
    with pushing.alone(town.city), pytest.raises(Refused, match="another push is under way"), pushing.alone(town.city, 0.1):
        pass


def test_of_two_revisions_only_the_last_is_ever_published(town: Town) -> None:
    town.killed_while(PUBLIC, 0)
    town.killed_while(KANTOR, 0)
    pushing.republish(town.city, town.air)
    assert {told["revision"] for _, told in town.air.published} == {2}


def test_what_the_broker_did_not_take_waits_for_the_next_push(town: Town) -> None:
    town.air.lost = {"rw-0002"}
    assert town.push(PUBLIC) == 1
    assert "not sent" in town.out.getvalue()
    with town.store() as connection:
        assert set(changes.waiting(connection)) == {"rw-0002"}
    town.air.lost = set()
    assert set(pushing.republish(town.city, town.air).taken) == {"rw-0002"}


def test_a_revoked_access_point_is_sent_nothing_more(town: Town) -> None:
    town.killed_while(PUBLIC, 0)
    with town.store() as connection:
        connection.execute("UPDATE inventory SET revoked_at = 1 WHERE id = 'rw-0002'")
    assert "rw-0002" not in pushing.republish(town.city, town.air).taken


def test_signatures_that_are_not_the_last_are_forgotten(town: Town) -> None:
    town.push(PUBLIC)
    town.push(KANTOR)
    assert [revision.jws is None for revision in town.revisions("rw-0001")] == [True, False]


def test_each_act_and_each_use_of_the_key_is_in_the_audit_log(town: Town) -> None:
    town.push(PUBLIC, act=Act(pushing.PUSH, "siti", "a new name"))
    (push, pushed), (used, signed) = town.audit()
    assert (push, pushed["change"], pushed["to"], pushed["author"], pushed["note"], pushed["told"]) == ("push", 1, "city", "siti", "a new name", 4)
    assert (used, signed["kid"], signed["kind"], signed["revisions"]) == ("sign", KEY.kid, "config", dict.fromkeys(town.air.ids, 1))
    assert audit.verify(town.city).fault is None


def test_what_cannot_be_written_down_is_not_done(town: Town) -> None:
    town.city.audit.symlink_to("/dev/full")
    with pytest.raises(Refused):
        town.push(PUBLIC)
    assert not town.air.published
    with town.store() as connection:
        assert changes.changes(connection) == []


def test_nothing_is_recorded_while_the_broker_is_away(town: Town) -> None:
    def away() -> Any:
        raise Refused("127.0.0.1:8884: refused")

    town.air.connect = away  # type: ignore[method-assign]  # the wire's fake
    with pytest.raises(Refused, match="8884"):
        town.push(PUBLIC)
    assert town.audit() == []


def test_a_locked_key_needs_its_passphrase_before_anything_is_recorded(town: Town, tmp_path: Path) -> None:
    town.city.signing_key.write_bytes(sign.secret_file(KEY, b"open sesame", "locked", rounds=2))
    with pytest.raises(Refused, match="passphrase"):
        town.push(PUBLIC)
    assert town.audit() == []
    phrase = tmp_path / "phrase"
    phrase.write_text("open sesame\n")
    phrase.chmod(0o600)
    assert town.push(PUBLIC, options=Options(str(phrase), 0.1)) == 0


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (Act(pushing.PUSH, ""), "--author is ''"),
        (Act(pushing.PUSH, "x" * 65), "expected 1 to 64 printable"),
        (Act(pushing.PUSH, "siti\n"), "--author"),
        (Act(pushing.PUSH, "siti", "a\nb"), "--note"),
        (Act(pushing.PUSH, "siti", "x" * 401), "--note has 401 characters"),
    ],
)
def test_an_author_or_a_note_that_nobody_takes_is_bad_input(act: Act, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        pushing.check_act(act)


def test_a_change_has_its_node_and_its_document(town: Town) -> None:
    town.push(PUBLIC, "tag=market", act=Act(pushing.PUSH, "siti", "why"))
    with contextlib.closing(store.open_city(town.city)) as connection:
        (change,) = changes.changes(connection)
    assert (change.number, change.author, change.kind, change.node, change.document, change.note) == (1, "siti", "push", Node("tag", "market"), PUBLIC, "why")
