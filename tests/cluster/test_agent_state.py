"""The agent's states: every request is answered in the end, and nothing is sent in a state that forbids it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycrond.cluster import agent_state
from pycrond.cluster.agent_state import (
    NEXT,
    ORDER,
    Agent,
    Connect,
    Disconnect,
    Greet,
    Retire,
    Send,
    State,
    Work,
)
from pycrond.cluster.output_copy import Copy
from pycrond.cluster.protocol import (
    Abandoned,
    Answer,
    Ask,
    Beat,
    Bury,
    Close,
    Confirm,
    LastFires,
    LastSuccess,
    Open,
    TakeOver,
    Tell,
)


def ready(now: float = 0.0) -> Agent:
    """Return an agent that has its name."""
    agent = Agent(lambda: 0.5, now)
    assert agent.next_action(now) == Connect()
    agent.connected(now)
    assert agent.next_action(now) == Greet()
    agent.registered(now, is_over=True)
    return agent


def sent(agent: Agent, now: float) -> Work | None:
    match agent.next_action(now):
        case Send(request=request):
            return request
    return None


def test_the_order_of_requests() -> None:
    agent = Agent(lambda: 0.5, 0.0)
    requests: list[Work] = [
        Copy((), Answer(0, ())),
        LastSuccess(12, ()),
        LastFires(1, (), 0.0, 0.0),
        Open(2),
        Tell(3, ()),
        Close(4, ()),
        Bury(5, "", ""),
        Abandoned(6, "", False),
        Beat(7, ""),
        TakeOver(8, "", "", ()),
        Confirm(9, ()),
        Ask(10, 0.0, ()),
    ]
    assert {type(request) for request in requests} == set(ORDER)
    for request in (*requests, Ask(11, 0.0, ())):
        agent.receive(request)
    agent.next_action(0.0)
    agent.connected(0.0)
    agent.next_action(0.0)
    agent.registered(0.0, is_over=True)
    carried_out: list[Work | None] = []
    while following := sent(agent, 1.0):
        carried_out.append(following)
        assert agent.next_action(1.0) is None, "one at a time"
        agent.answered(1.0)
    assert carried_out == [requests[-1], Ask(11, 0.0, ()), *reversed(requests[:-1])]


def test_a_lost_connection_repeats_its_request() -> None:
    agent = ready()
    agent.receive(Open(1))
    assert agent.next_action(0.0) == Send(Open(1), is_repeated=False)
    agent.lost(0.0, "gone")
    assert agent.status() == ("down", "gone")
    assert agent.next_action(0.1) is None
    deadline = agent.deadline()
    assert deadline == pytest.approx(0.15)
    assert agent.next_action(0.16) == Connect()
    agent.connected(0.16)
    assert agent.next_action(0.16) == Greet()
    agent.registered(0.16, is_over=True)
    assert agent.next_action(0.16) == Send(Open(1), is_repeated=True)


def test_delays_grow_up_to_a_limit_until_a_connection_succeeds() -> None:
    agent = Agent(lambda: 1.0, 0.0)
    now, delays = 0.0, []
    for _ in range(8):
        assert agent.next_action(now) == Connect()
        agent.lost(now, "refused", has_other_host=True)
        assert agent.next_action(now) == Connect()
        agent.lost(now, "refused")
        deadline = agent.deadline()
        assert deadline is not None
        delays.append(round(deadline - now, 3))
        now = deadline
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert agent.next_action(now) == Connect()
    agent.connected(now)
    agent.next_action(now)
    agent.registered(now, is_over=True)
    agent.lost(now, "gone")
    assert agent.deadline() == pytest.approx(now + 0.2)


def test_a_connection_that_is_not_complete_is_given_up() -> None:
    agent = Agent(lambda: 0.5, 0.0)
    agent.next_action(0.0)
    assert [agent.deadline(), agent.next_action(4.9), agent.next_action(5.0)] == [5.0, None, Disconnect()]


def test_a_silent_server_is_sent_nothing() -> None:
    agent = ready()
    agent.receive(Open(1))
    agent.next_action(0.0)
    agent.receive(Ask(2, 0.0, ()))
    assert [agent.next_action(9.9), agent.deadline(), agent.next_action(10.0)] == [None, 10.0, None]
    assert agent.status() == ("stalled", "no reply for 10 s")
    assert [agent.next_action(1000.0), agent.deadline()] == [None, None]
    agent.answered(1000.0)
    assert agent.next_action(1000.0) == Send(Ask(2, 0.0, ()), is_repeated=False)


def test_a_request_that_fails_lets_others_pass() -> None:
    agent = ready()
    agent.receive(Ask(1, 0.0, ()))
    agent.receive(Open(2))
    assert sent(agent, 0.0) == Ask(1, 0.0, ())
    agent.unanswered(0.0, "deadlock")
    assert agent.status() == ("idle", "deadlock")
    assert sent(agent, 0.0) == Open(2)
    agent.answered(0.0)
    assert [sent(agent, 0.1), agent.deadline()] == [None, pytest.approx(0.15)]
    assert agent.next_action(0.16) == Send(Ask(1, 0.0, ()), is_repeated=True)
    agent.unanswered(0.16, "", at_once=True)
    assert sent(agent, 0.16) == Ask(1, 0.0, ())


def test_one_heartbeat_answers_all() -> None:
    agent = ready()
    for number in (1, 2, 3):
        agent.receive(Beat(number, ""))
    assert sent(agent, 0.0) == Beat(1, "")
    agent.answered(0.0)
    assert agent.answered_beats() == [2, 3]
    assert sent(agent, 0.0) is None


def test_a_fenced_agent_only_looks_at_its_name() -> None:
    agent = ready()
    agent.receive(Beat(1, ""))
    agent.receive(Ask(2, 0.0, ()))
    sent(agent, 0.0)
    agent.answered(0.0)
    sent(agent, 0.0)
    agent.unnamed(0.0)
    assert agent.next_action(0.0) == Greet()
    agent.registered(0.0, is_over=False)
    assert agent.next_action(0.0) == Greet()
    agent.fenced(0.0, "two has it")
    assert agent.status() == ("fenced", "two has it")
    assert [agent.next_action(4.9), agent.deadline(), agent.next_action(5.0)] == [None, 5.0, Greet()]
    agent.registered(5.0, is_over=True)
    assert sent(agent, 5.0) == Beat(1, "")


def test_old_rows_are_deleted_when_there_is_nothing_else() -> None:
    agent = ready()
    assert agent.deadline() == 300.0
    agent.receive(Open(1))
    assert sent(agent, 300.0) == Open(1)
    agent.answered(300.0)
    assert agent.next_action(300.0) == Retire()
    agent.retired(300.0, 20, is_over=False)
    assert agent.deadline() == 305.0
    assert agent.next_action(305.0) == Retire()
    agent.retired(305.0, 20, is_over=True)
    assert agent.deadline() == 305.0 + 4 * 300.0
    assert agent.next_action(2000.0) == Retire()
    agent.unanswered(2000.0, "error")
    assert agent.deadline() == 2300.0


def test_a_step_that_no_state_allows_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="down does not lead to registering"):
        Agent(lambda: 0.5, 0.0).connected(0.0)
    assert set(NEXT) == set(State)


KINDS: list[Any] = [
    lambda number: Ask(number, 0.0, ()),
    lambda number: Beat(number, ""),
    lambda number: Tell(number, ()),
]


class Play:
    """An agent, and a database whose failures the test decides."""

    def __init__(self) -> None:
        self.agent = Agent(lambda: 0.5, 0.0)
        self.now = 0.0
        self.is_sent = False
        self.in_flight: Work | None = None
        self.answered: list[int] = []

    def act(self) -> None:
        """Carry out the agent's actions."""
        action = self.agent.next_action(self.now)
        if isinstance(action, Greet | Send | Retire):
            assert not self.is_sent, "one transaction at a time"
            self.is_sent = True
            self.in_flight = action.request if isinstance(action, Send) else None
        assert not (self.is_sent and self.agent.state in {State.FENCED, State.IDLE, State.DOWN})
        if isinstance(action, Disconnect):
            self.happen("lost")

    def outcomes(self) -> list[str]:
        """Return the possible events; the first one lets the agent continue."""
        if self.agent.state in {State.REGISTERING, State.ASKING} and not self.is_sent:
            return ["nothing"]
        return {
            State.CONNECTING: ["connected", "lost", "nothing"],
            State.REGISTERING: ["registered", "more", "fenced", "lost", "nothing"],
            State.ASKING: ["answered", "failed", "lost", "unnamed", "nothing"],
            State.STALLED: ["lost", "nothing"],
        }.get(self.agent.state, ["nothing"])

    def happen(self, outcome: str) -> None:
        if outcome == "nothing":
            return
        self.is_sent = False
        steps: dict[str, Any] = {
            "connected": self.agent.connected,
            "registered": lambda now: self.agent.registered(now, is_over=True),
            "more": lambda now: self.agent.registered(now, is_over=False),
            "fenced": lambda now: self.agent.fenced(now, "another"),
            "answered": self.answer,
            "failed": lambda now: self.agent.unanswered(now, "deadlock"),
            "lost": lambda now: self.agent.lost(now, "gone"),
            "unnamed": self.agent.unnamed,
        }
        steps[outcome](self.now)

    def answer(self, now: float) -> None:
        if self.in_flight is None:
            self.agent.retired(now, 1, is_over=True)
            return
        assert not isinstance(self.in_flight, Copy)
        self.agent.answered(now)
        beats = self.agent.answered_beats() if isinstance(self.in_flight, Beat) else []
        self.answered += [self.in_flight.number, *beats]


@settings(max_examples=40)
@given(st.data())
def test_every_request_is_answered_once_over_any_failures(data: st.DataObject) -> None:
    play = Play()
    numbers = range(data.draw(st.integers(1, 40)))
    for number in numbers:
        play.agent.receive(data.draw(st.sampled_from(KINDS))(number))
        play.now += data.draw(st.sampled_from([0.0, 0.1, 1.0, 11.0]))
        play.act()
        play.happen(data.draw(st.sampled_from(play.outcomes())))
    for _ in range(200):  # from here on nothing fails
        play.now += 0.5
        play.act()
        play.happen(play.outcomes()[0])
    assert sorted(play.answered) == [*numbers]


def test_the_times_of_the_design() -> None:
    assert agent_state.REPLY_TIMEOUT == 10.0
    assert (agent_state.SHORTEST_DELAY, agent_state.LONGEST_DELAY) == (0.2, 5.0)
