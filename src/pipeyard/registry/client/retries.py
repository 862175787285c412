"""Trying again: when it may help, how long to wait before, and the transport that does it."""

from collections.abc import Callable

from msgspec import Struct

from pipeyard.registry.client.messages import ConnectionFailed, Request, Response, Transport
from pipeyard.threads import Stop

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Backoff(Struct, frozen=True):
    """Exponential with full jitter. A registry that asks for more patience than `longest_asked_s` has refused."""

    attempts: int = 6  # altogether
    refused_attempts: int = 4  # of these where nobody listens: a restart takes a second, a wrong port for ever
    first_s: float = 0.25
    longest_s: float = 15.0
    longest_asked_s: float = 120.0

    def delay_s(self, attempt: int, asked_s: float | None, chance: float) -> float | None:
        """How long to wait after attempt number `attempt` (from 1) failed; None: give up. `chance` is in [0, 1)."""
        if attempt >= self.attempts:
            return None
        if asked_s is not None:
            # Never earlier than asked; the jitter keeps those who were told the same from coming back together.
            return asked_s + chance * self.first_s if asked_s <= self.longest_asked_s else None
        return min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)) * (0.5 + chance / 2)


def wait_until(stop: Stop, seconds: float) -> None:
    """Sleeps, but ends at a stop by raising Stopped."""
    stop.wait(seconds)
    stop.check()


def chance() -> float:
    """In [0, 1)."""
    import random  # 1 ms, once something has failed

    return random.random()  # noqa: S311 - it spreads load and keeps no secret


Sleep = Callable[[Stop, float], None]


def asked_delay_s(response: Response, now_s: Callable[[], float]) -> float | None:
    """What Retry-After asks for, as seconds or as a date. Source: RFC 9110, 10.2.3."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s())
    except ValueError:
        return None


def retrying(
    send: Transport,
    policy: Backoff,
    *,
    now_s: Callable[[], float],
    sleep: Sleep = wait_until,
    chance: Callable[[], float] = chance,
) -> Transport:
    """Repeats repeatable requests that met a busy, failing or unreachable server; gives the last answer."""

    def send_patiently(request: Request) -> Response:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = send(request)
            except ConnectionFailed as failure:
                delay = policy.delay_s(attempt, None, chance())
                hopeless = failure.kind == "refused" and attempt >= policy.refused_attempts
                if not failure.transient or not request.repeatable or delay is None or hopeless:
                    raise
            else:
                if response.status not in TRANSIENT or not request.repeatable:
                    return response
                delay = policy.delay_s(attempt, asked_delay_s(response, now_s), chance())
                if delay is None:
                    return response
                response.close()
            sleep(request.stop, delay)

    return send_patiently
