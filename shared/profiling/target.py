"""Which endpoint is measured, and whether it may be: a load test takes from the traffic of whoever uses it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.errors import InvalidInputError
from shared.live import LiveModel
from shared.scoring.targets import Target


@dataclass(frozen=True)
class Asked:
    """What the command line said: an address, or none for the dataset's own endpoint; a deployment; and `--yes`."""

    url: str | None
    deployment: str | None
    yes: bool


def choose(asked: Asked, live: LiveModel | None, endpoint_url: str | None) -> Target:
    """The target of the load.

    Args:
        live: the dataset's model in service, if any.
        endpoint_url: the setting `AML_ENDPOINT_URL`.

    Raises:
        InvalidInputError: ``no_target``; or ``takes_traffic`` for one that takes, or may take, production traffic and
            was not confirmed. On loopback nothing is production, nor is a deployment of the live endpoint that is not
            the live one.
    """
    url = asked.url or endpoint_url or (live.scoring_uri if live else None)
    if not url:
        raise InvalidInputError(
            "no_target", "No model of the dataset is in service at an endpoint: name one with --url."
        )
    ours = live is not None and url == live.scoring_uri
    deployment = asked.deployment or (live.deployment if ours and live else None)
    idle = ours and live is not None and deployment != live.deployment
    if not (asked.yes or idle or _is_loopback(url)):
        raise InvalidInputError(
            "takes_traffic",
            f"{urlsplit(url).hostname}{f', deployment {deployment},' if deployment else ''} may take production "
            "traffic, which a load test slows down or has refused (429). Name the idle deployment of the live endpoint "
            "with --deployment, or confirm with --yes.",
        )
    return Target(url, deployment)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
