"""The proof of life, with moments given; keepalive 30 s."""

from __future__ import annotations

from agent.echo import Echo

K = 30.0


def begun(at: float = 0.0) -> Echo:
    echo = Echo()
    echo.begin(at, K)
    return echo


def test_the_first_echo_goes_before_the_keepalive_is_over() -> None:
    """After 0.9 keepalives without proof, so that PINGREQ need not."""
    echo = begun()
    assert echo.due_at(0.0) == 27
    assert not echo.send(26.9)
    assert echo.send(27.0)
    assert echo.number == 1


def test_a_message_is_proof_enough() -> None:
    """With an ack every 20 s no echo is ever sent."""
    echo = begun()
    for now in range(20, 400, 20):
        assert not echo.send(float(now))
        echo.spoke(float(now))
        echo.proved(float(now))


def test_listening_alone_does_not_keep_a_session() -> None:
    """Messages keep coming and nothing of ours goes: the echo is due all the same, for the broker counts our silence."""
    echo = begun()
    echo.proved(20.0)
    assert echo.due_at(20.0) == 27
    assert echo.send(27.0)


def test_an_unanswered_echo_is_repeated_once_before_the_end() -> None:
    """Half a keepalive later; then the session is dead, two keepalives after the last proof."""
    echo = begun()
    assert echo.send(27.0)
    assert echo.due_at(27.0) == 42
    assert echo.send(42.0)
    assert not echo.send(56.9)
    assert not echo.is_dead(59.9)
    assert echo.is_dead(60.0)
    assert echo.due_at(42.0) == 57


def test_pingreq_is_asked_only_in_doubt() -> None:
    """Not with the first echo, but with its repetition; no more once it came back."""
    echo = begun()
    assert not echo.is_doubtful()
    echo.send(27.0)
    assert not echo.is_doubtful()
    echo.send(42.0)
    assert echo.is_doubtful()
    echo.returned(42.1)
    assert not echo.is_doubtful()


def test_other_bytes_do_not_keep_a_deaf_session_alive() -> None:
    """PUBACKs come, but nothing over our subscriptions: the loop is dead."""
    echo = begun()
    for now in range(60):
        echo.heard(float(now))
    assert echo.is_dead(60.0)


def test_a_returned_echo_proves_the_loop() -> None:
    """The state says so, and the next one is due 0.9 keepalives after it was sent."""
    echo = begun()
    echo.send(27.0)
    echo.returned(27.1)
    assert echo.state == "proven"
    assert echo.due_at(27.1) == 54


def deaf(echo: Echo, at: float, *, is_heard: bool) -> None:
    echo.begin(at, K)
    echo.send(at + 27)
    if is_heard:
        echo.heard(at + 28)
    assert echo.is_dead(at + 60)
    echo.died()


def test_three_deaf_sessions_on_a_broker_that_answers_give_echoes_up() -> None:
    """Never an echo since the start, but bytes after it was sent: an ACL, not a dead path."""
    echo = Echo()
    for number in range(3):
        assert echo.state == "unproven"
        deaf(echo, number * 100.0, is_heard=True)
    assert echo.state == "refused"
    echo.begin(300.0, K)
    assert not echo.send(327.0)


def test_dead_paths_never_give_echoes_up() -> None:
    """Where nothing was heard after the echo, it was the path."""
    echo = Echo()
    for number in range(5):
        deaf(echo, number * 100.0, is_heard=False)
    assert echo.state == "unproven"


def test_a_broker_that_once_returned_an_echo_is_held_to_it() -> None:
    """Proven once, a deaf session is a dead session for ever after."""
    echo = begun()
    echo.send(27.0)
    echo.returned(27.1)
    for number in range(1, 6):
        deaf(echo, number * 100.0, is_heard=True)
    assert echo.state == "proven"


def test_an_explicit_refusal_counts_for_its_session() -> None:
    """A refused subscription: any byte is proof, until the next session asks again."""
    echo = begun()
    echo.refuse()
    assert echo.state == "refused"
    echo.heard(50.0)
    assert not echo.is_dead(109.9)
    assert echo.is_dead(110.0)
    echo.begin(200.0, K)
    assert echo.state == "unproven"


def test_without_echoes_the_loop_turns_for_pingreq() -> None:
    """One wake-up when a keepalive of silence is over, then a few until the end; never one in the past."""
    echo = begun()
    echo.refuse()
    assert echo.due_at(0.0) == 30
    assert echo.due_at(30.0) == 33
    assert echo.due_at(59.0) == 60
