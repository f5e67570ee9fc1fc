"""A port in use is named, with its purpose and the way out, before anything starts."""

from __future__ import annotations

import dataclasses
import os
import socket

import pytest

from local.ports import COMPONENTS, Ports
from local.processes import LocalCloudError


def test_every_component_has_a_port_and_defaults_are_the_documented_ones() -> None:
    assert list(dataclasses.asdict(Ports())) == list(COMPONENTS)
    assert Ports() == Ports(blob=10000, queue=10001, table=10002, azureml=10010, functions=7071)
    assert len(set(dataclasses.astuple(Ports.free()))) == len(COMPONENTS)


def test_a_port_in_use_is_reported_with_its_purpose_its_owner_and_the_flag() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports = dataclasses.replace(Ports.free(), queue=port)

        with pytest.raises(LocalCloudError) as caught:
            ports.require_free(["blob", "queue"])

    message = str(caught.value)
    assert message.startswith(f"Port {port}, meant for Azurite's queues, is in use by ")
    assert f"process {os.getpid()}" in message
    assert f"make up UP='--queue-port {port + 100}'" in message
    assert len(message.splitlines()) == 2


def test_a_port_of_a_component_that_is_not_started_does_not_matter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dataclasses.replace(Ports.free(), functions=server.getsockname()[1]).require_free(["blob", "azureml"])
