"""Commands for those who watch: is the ledger well, and its figures for Prometheus."""

import sys
from collections.abc import Iterable

import click

from ledger_assets.commands.options import as_json, print_json, ready, say
from ledger_assets.settings import Settings


@click.command()
@as_json
def health(as_json: bool) -> None:
    """Whether a close could be started: server, schema, roles, disk; and the last close and the open batches.

    Looks and changes nothing: an embedded server that is down stays down. Exit code 0: well. 1: something is not.
    """
    from ledger_assets.health import health as look

    found = look(Settings.from_environment())
    if as_json:
        findings = [{"what": one.what, "ok": one.ok, "found": one.found} for one in found.findings]
        print_json({"well": found.well, "findings": findings})
    else:
        words = {True: "ok", False: "NOT OK", None: "-"}
        for one in found.findings:
            say(f"{one.what:<14}{words[one.ok]:<8}{one.found}")
    sys.exit(0 if found.well else 1)


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Serve them here, on this machine only, until Ctrl-C; 0 is any that is free.",
)
def metrics(port: int | None) -> None:
    """The figures of the close for Prometheus: printed once, or with a port served at /metrics."""
    import signal

    from prometheus_client import CollectorRegistry, generate_latest, start_http_server
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector

    from ledger_assets.storage.monitoring import metrics as figures

    url = ready(Settings.from_environment())

    class Figures(Collector):
        """Asks the database each time that somebody asks for the figures."""

        def collect(self) -> Iterable[GaugeMetricFamily]:
            for metric in figures(url):
                family = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
                for labels, value in metric.samples:
                    family.add_metric(labels, value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures())
    if port is None:
        click.echo(generate_latest(registry).decode(), nl=False)
        return
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be listened on: {error.strerror}. Fix: try another") from error
    say(f"http://127.0.0.1:{server.server_port}/metrics")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's word for Ctrl-C
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
        server.server_close()
