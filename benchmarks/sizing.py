"""How many processes and hosts a crowd takes: `python -m benchmarks.sizing --clients 1000000`.

A model, and no measurement: every process is loaded to the same share of a core, and what was measured
for one is multiplied.  `MEASURED` has what was measured, with the benchmark that measures it.
"""

from __future__ import annotations

import math

import click
from msgspec import Struct

BITS = 8
GIGA = 1e9
LEAF_COPIES = 1
"""How often a leaf node gets each message from its hub, however many edges it serves."""


class Measured(Struct, frozen=True, kw_only=True):
    """What one process needs, on one of two virtual cores; see `docs/contributing/benchmarks.md`."""

    edge_us_per_message: float
    """CPU of an edge by message delivered, µs: `edges`, 1,000 events/s to 100 clients."""
    edge_us_per_event: float
    """CPU of an edge by message from the bus, µs: `edges`, one client at each of eight edges."""
    edge_us_per_handshake: float
    """CPU of an edge by new connection, µs: `edges`."""
    plant_us_per_handshake: float
    """CPU of the plant, which admits each new connection, µs: `edges`."""
    edge_base_mb: float
    """Resident memory of an edge without clients, MB: `edges`."""
    connection_kib: float
    """Resident memory of an edge by connection, KiB: `edges`."""
    plant_us_per_event: float
    """CPU that the bus adds in the plant by event, µs, however many edges there are: `edges`."""
    nats_us_per_event: float
    """CPU of `nats-server` by event, to take it, keep it for 30 s and send it to one edge, µs: `edges`."""
    nats_us_per_copy: float
    """CPU of `nats-server` by event and further edge, µs: `edges`."""
    message_bytes: float
    """A message to a client, mean over a mixed crowd: `crowd`."""
    bus_bytes: float
    """What a message has more on the bus: subject, batch, number."""


MEASURED = Measured(
    edge_us_per_message=3.7,
    edge_us_per_event=160.0,
    edge_us_per_handshake=165.0,
    plant_us_per_handshake=40.0,
    edge_base_mb=70.0,
    connection_kib=10.0,
    plant_us_per_event=115.0,
    nats_us_per_event=150.0,
    nats_us_per_copy=20.0,
    message_bytes=244.0,
    bus_bytes=100.0,
)


class Crowd(Struct, frozen=True, kw_only=True):
    """Who is to be served."""

    clients: int
    messages_per_s: float
    """Messages that a client receives each second."""
    events_per_s: float
    """Messages of all streams that anybody wants, each counted once."""
    load: float
    """Share of a core that a process may use on average: bursts need the rest."""
    cores: int
    """Cores of a host."""
    gigabit_per_s: float
    """Network of a host."""


class Size(Struct, frozen=True, kw_only=True):
    """What it takes."""

    edges: int
    clients_per_edge: int
    hosts: int
    host_limit: str
    """What determines the number of hosts."""
    memory_gb: float
    to_clients_gigabit_per_s: float
    plant_share: float
    """Share of a core that the bus takes in the plant."""
    bus_cores: float
    """Cores of nats-server, all servers together."""
    bus_direct_gigabit_per_s: float
    """From one central server to all edges."""
    bus_leaves_gigabit_per_s: float
    """From one central server to a leaf node on each host."""
    reconnect_s: float
    """Time in which all clients can connect again."""
    reconnect_limit: str
    """What determines that time."""


def size(crowd: Crowd, measured: Measured = MEASURED) -> Size:
    """Return what a crowd takes."""
    taking = crowd.events_per_s * measured.edge_us_per_event / 1e6
    if taking >= crowd.load:
        raise click.UsageError(
            f"--events {crowd.events_per_s:,.0f}: an edge that wants all of them has no time left for clients; "
            f"at most {crowd.load * 1e6 / measured.edge_us_per_event:,.0f} with --load {crowd.load:g}"
        )
    client_share = crowd.messages_per_s * measured.edge_us_per_message / 1e6
    edges = math.ceil(crowd.clients * client_share / (crowd.load - taking))
    edges = max(edges, 1)
    clients_per_edge = math.ceil(crowd.clients / edges)
    to_clients = crowd.clients * crowd.messages_per_s * measured.message_bytes * BITS / GIGA
    by_cores = math.ceil(edges / crowd.cores)
    by_network = math.ceil(to_clients / (crowd.gigabit_per_s * crowd.load))
    hosts = max(by_cores, by_network)
    copy = crowd.events_per_s * (measured.message_bytes + measured.bus_bytes) * BITS / GIGA
    by_edges_s = clients_per_edge * measured.edge_us_per_handshake / 1e6
    by_plant_s = crowd.clients * measured.plant_us_per_handshake / 1e6
    nats_us = measured.nats_us_per_event + (edges - 1) * measured.nats_us_per_copy
    edge_bytes = measured.edge_base_mb * 1e6 + clients_per_edge * measured.connection_kib * 1024
    return Size(
        edges=edges,
        clients_per_edge=clients_per_edge,
        hosts=hosts,
        host_limit="cores" if by_cores >= by_network else "network",
        memory_gb=edges * edge_bytes / GIGA,
        to_clients_gigabit_per_s=to_clients,
        plant_share=crowd.events_per_s * measured.plant_us_per_event / 1e6,
        bus_cores=crowd.events_per_s * nats_us / 1e6,
        bus_direct_gigabit_per_s=edges * copy,
        bus_leaves_gigabit_per_s=hosts * LEAF_COPIES * copy,
        reconnect_s=max(by_edges_s, by_plant_s) / crowd.load,
        reconnect_limit="edges" if by_edges_s >= by_plant_s else "plant, which admits each",
    )


def text(crowd: Crowd) -> str:
    """Return what a crowd takes, as lines for people."""
    found = size(crowd)
    rows = (
        ("edges", f"{found.edges:,}", f"{found.clients_per_edge:,} clients each"),
        ("hosts of edges", f"{found.hosts:,}", f"the {found.host_limit} decide"),
        ("memory of all edges", f"{found.memory_gb:,.1f} GB", ""),
        ("to clients", f"{found.to_clients_gigabit_per_s:,.1f} Gbit/s", ""),
        ("the bus in the plant", f"{found.plant_share:.2f} of a core", "with any number of edges"),
        ("nats-server", f"{found.bus_cores:,.1f} cores", "all servers together"),
        (
            "from one central server",
            f"{found.bus_direct_gigabit_per_s:,.2f} Gbit/s",
            "to every edge",
        ),
        (
            "the same with leaf nodes",
            f"{found.bus_leaves_gigabit_per_s:,.2f} Gbit/s",
            "to one on each host",
        ),
        (
            "all connect again within",
            f"{found.reconnect_s:,.0f} s",
            f"by the {found.reconnect_limit}",
        ),
    )
    return "\n".join(f"{name:<26}{value:>16}  {note}".rstrip() for name, value, note in rows)


@click.command()
@click.option("--clients", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option(
    "--messages",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Messages that a client receives each second.",
)
@click.option(
    "--events",
    type=click.FloatRange(min=0, min_open=True),
    default=2_000.0,
    show_default=True,
    help="Messages of all streams that anybody wants each second, each counted once.",
)
@click.option(
    "--load",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Share of a core that a process may use on average.",
)
@click.option("--cores", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--network",
    type=click.FloatRange(min=0, min_open=True),
    default=25.0,
    show_default=True,
    help="Network of a host, Gbit/s.",
)
def main(
    *, clients: int, messages: float, events: float, load: float, cores: int, network: float
) -> None:
    """Print what a crowd takes, by what was measured for one process."""
    crowd = Crowd(
        clients=clients,
        messages_per_s=messages,
        events_per_s=events,
        load=load,
        cores=cores,
        gigabit_per_s=network,
    )
    click.echo(text(crowd))


if __name__ == "__main__":
    main()
