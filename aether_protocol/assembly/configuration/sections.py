"""The sections of `aether.toml`: one struct each, one field a setting, with what documents it.

Law: this is the one table of settings. The checks, the variables, the JSON Schema, `aether config show` and the page of the
reference are made from it, so a setting that stands here exists everywhere. What a setting does is decided where it is used.
"""

# Without postponed annotations: to evaluate their texts again takes longer than all else that `aether ls` needs settings for.
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

_Count = Annotated[int, Meta(ge=1)]
_Port = Annotated[int, Meta(ge=0, le=65_535)]


def _says(text: str, variable: str, flag: str = "", *, form: str = "") -> Meta:
    """What documents a setting. `form`: `path` (or a list of them), `store` (a store's URL), `part` (the URL of an installed
    part, or a list of them), `place` (a folder, or such a URL), else as its type says."""
    extra: dict[str, Any] = {"variable": variable, "flag": flag, "form": form}
    return Meta(description=text, extra=extra)


class StoreSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where runs are kept, and how."""

    url: Annotated[
        str | None,
        _says(
            "The store: `sqlite:PATH`, or `memory` for none that lasts. Unless given, the nearest `.aether/aether.db` of the "
            "working directory and its parents up to the repository root; a new one is made in the working directory.",
            "AETHER_STORE", "--store", form="store",
        ),
    ] = None
    tier: Annotated[
        Literal["state-action-log", "snapshot"],
        _says(
            "How new runs are kept: every step before it has an effect, or the state now and then. `?tier=` in the URL wins.",
            "AETHER_STORE_TIER",
        ),
    ] = "state-action-log"
    durability: Annotated[
        Literal["full", "normal"],
        _says(
            "What a write survives: a loss of power, or the death of the process. `?durability=` in the URL wins.",
            "AETHER_STORE_DURABILITY", "--durability",
        ),
    ] = "full"


class BrokerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What carries attempts to where they are carried out."""

    url: Annotated[
        str | None,
        _says(
            "The broker: `local` (this process), or the URL of an installed one, `NAME:...`. Unless given, `local`.",
            "AETHER_BROKER", form="part",
        ),
    ] = None
    deaths: Annotated[
        _Count,
        _says(
            "How often in a row the process of one attempt may die at a worker: with the last of these deaths the task is an "
            "Error. The death of a worker, or of its machine, does not count.",
            "AETHER_BROKER_DEATHS",
        ),
    ] = 3


class VariablesSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where variables come from, beside those of the machine."""

    sources: Annotated[
        list[str],
        _says(
            "Installed sources of variables, `NAME` or `NAME:...`, each with a namespace of its own.",
            "AETHER_VARIABLES", form="part",
        ),
    ] = field(default_factory=list)


class LibrarySection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where templates are looked up."""

    paths: Annotated[
        list[str],
        _says(
            "Folders or files with WorkflowTemplates, looked up before the store.",
            "AETHER_LIBRARY", "--library", form="path",
        ),
    ] = field(default_factory=list)


class SecretsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where secrets are looked up. The environment (`AETHER_SECRET_*`) comes last, always."""

    files: Annotated[
        list[str],
        _says(
            "Files with secrets (dotenv, YAML, JSON), or folders with a file for each, asked in order.",
            "AETHER_SECRETS_FILES", "--secrets-file", form="path",
        ),
    ] = field(default_factory=list)
    providers: Annotated[
        list[str],
        _says(
            "Installed providers, `NAME` or `NAME:...`, asked in order after the files.",
            "AETHER_SECRETS_PROVIDERS", form="part",
        ),
    ] = field(default_factory=list)
    shared: Annotated[
        list[str],
        _says(
            "Names of secrets of the namespace `default` that runs of every namespace may use; `*` stands for all of them.",
            "AETHER_SECRETS_SHARED", form="part",
        ),
    ] = field(default_factory=list)


class ArtifactsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where artifacts are kept."""

    path: Annotated[
        str | None,
        _says(
            "The folder that keeps artifacts, or the URL of an installed repository, `NAME:...`. Unless given, beside the file "
            "of the store.",
            "AETHER_ARTIFACTS", form="place",
        ),
    ] = None


class WorkspacesSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where attempts work."""

    path: Annotated[
        str | None,
        _says(
            "The folder below which every attempt gets a workspace of its own. Unless given, `.aether/workspaces` beside the "
            "file of the store.",
            "AETHER_WORKSPACES", "--workspace", form="path",
        ),
    ] = None


class ConcurrencySection(Struct, frozen=True, forbid_unknown_fields=True):
    """How much runs at once."""

    attempts: Annotated[
        _Count | None,
        _says("At most so many attempts at once. Unless given, no limit.", "AETHER_CONCURRENCY", "--concurrency"),
    ] = None


class PassivationSection(Struct, frozen=True, forbid_unknown_fields=True):
    """When a run that only waits is dropped from memory (RT-124), in processes that host runs of others."""

    after: Annotated[
        Annotated[float, Meta(ge=0, le=1e9)],
        _says(
            "Seconds. A run that has only waited for so long, and will wait for longer than that, is dropped from memory and "
            "woken in time; a very large number keeps all runs there.",
            "AETHER_PASSIVATE_AFTER", "--passivate-after",
        ),
    ] = 60


class LimitsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What a document may have at most (DOC-6)."""

    bytes: Annotated[_Count, _says("Bytes of a file.", "AETHER_LIMITS_BYTES", "--limit bytes=N")] = 10 * 1024 * 1024
    nodes: Annotated[
        _Count, _says("Values in a document; an alias counts in full.", "AETHER_LIMITS_NODES", "--limit nodes=N")
    ] = 2_000_000
    nesting: Annotated[_Count, _says("Depth of nesting.", "AETHER_LIMITS_NESTING", "--limit nesting=N")] = 200


class ServerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where `aether serve` listens, and where it is reached."""

    url: Annotated[
        str | None, _says("The server that commands and workers talk to, `http://HOST:PORT` or `https://...`.", "AETHER_SERVER")
    ] = None
    host: Annotated[str, _says("The address on which the server listens.", "AETHER_SERVER_HOST", "--host")] = "127.0.0.1"
    http_port: Annotated[_Port, _says("Its port for HTTP; 0 is a free one.", "AETHER_HTTP_PORT", "--http-port")] = 7234
    grpc_port: Annotated[
        _Port | None,
        _says(
            "A port that speaks gRPC and HTTP, by custom 7233; gRPC needs the extra `[grpc]`. Without it there is none.",
            "AETHER_GRPC_PORT", "--grpc-port",
        ),
    ] = None
    tls_cert: Annotated[
        str | None,
        _says(
            "Its certificate, a PEM file; with it the server speaks TLS alone.", "AETHER_TLS_CERT", "--tls-cert", form="path"
        ),
    ] = None
    tls_key: Annotated[str | None, _says("The key of the certificate.", "AETHER_TLS_KEY", "--tls-key", form="path")] = None
    public_url: Annotated[
        str | None,
        _says("The address by which others reach it, where a proxy stands before it.", "AETHER_PUBLIC_URL", "--public-url"),
    ] = None
    advertise: Annotated[
        str | None,
        _says(
            "The address by which the other servers of its store, and their workers, reach it, `http://HOST:PORT`. Unless "
            "given, that at which it listens, with the name of the machine where that is every address.",
            "AETHER_ADVERTISE", "--advertise",
        ),
    ] = None
    cors: Annotated[
        list[str], _says("Origins whose web pages may use it.", "AETHER_CORS", "--cors", form="part")
    ] = field(default_factory=list)
    lease: Annotated[
        _Count,
        _says(
            "For how many seconds a worker keeps its tasks that gives no sign of life; it gives one ten times as often.",
            "AETHER_WORKER_LEASE", "--lease",
        ),
    ] = 30
    documents: Annotated[
        str | None,
        _says(
            "A folder (or checkout) whose documents the server applies, and follows what changes there.",
            "AETHER_DOCUMENTS", "--documents", form="path",
        ),
    ] = None


class OidcSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where people log in to the server: a provider of OpenID Connect (RT-143; the extra `[oidc]`)."""

    issuer: Annotated[
        str | None, _says("The provider, as it writes itself. Unless given, people log in with tokens.", "AETHER_OIDC_ISSUER")
    ] = None
    client_id: Annotated[str | None, _says("The name by which it knows this server.", "AETHER_OIDC_CLIENT_ID")] = None
    client_secret: Annotated[
        str | None,
        _says("The secret that goes with it; a public client has none. Shown as `***`.", "AETHER_OIDC_CLIENT_SECRET",
              form="secret"),
    ] = None
    scopes: Annotated[
        list[str], _says("What is asked for beside `openid`.", "AETHER_OIDC_SCOPES", form="part")
    ] = field(default_factory=lambda: ["profile", "email"])
    groups: Annotated[
        str, _says("The claim of the ID token that lists the groups of a person.", "AETHER_OIDC_GROUPS")
    ] = "groups"
    session: Annotated[
        Annotated[float, Meta(ge=60, le=31_536_000)],
        _says("How many seconds a login counts; roles are read anew at the next one.", "AETHER_OIDC_SESSION"),
    ] = 28_800


class AuthSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What people may do who log in at the provider of `[oidc]`."""

    roles: Annotated[
        dict[str, str | list[str]],
        _says(
            "The roles of groups: `GROUP = \"ROLE\"` in all namespaces, `\"ROLE@NAMESPACE\"` in one, or a list of these; "
            "`*` in place of a group stands for each person.",
            "",
        ),
    ] = field(default_factory=dict)


class MetricsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What the server says of itself to Prometheus."""

    enabled: Annotated[bool, _says("Whether `/metrics` is answered.", "AETHER_METRICS_ENABLED")] = True
    port: Annotated[
        _Port | None, _says("A port of its own for `/metrics`. Unless given, that of HTTP.", "AETHER_METRICS_PORT")
    ] = None


class TracingSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the spans of runs are sent (RT-137). The variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME`
    and the like) count where nothing is set here."""

    enabled: Annotated[
        bool | None,
        _says(
            "Whether runs are traced. Unless given, where an endpoint or a tracer is named, here or by "
            "OTEL_EXPORTER_OTLP_ENDPOINT.",
            "AETHER_TRACING",
        ),
    ] = None
    endpoint: Annotated[
        str | None,
        _says(
            "The backend, by OTLP over HTTP (the extra `[otel]`): `http://HOST:4318`. `/v1/traces` is added.",
            "AETHER_TRACING_ENDPOINT",
        ),
    ] = None
    headers: Annotated[
        list[str],
        _says("Headers for the backend, `NAME=TEXT` each. They are shown as `***`.", "AETHER_TRACING_HEADERS", form="pairs"),
    ] = field(default_factory=list)
    service: Annotated[
        str | None,
        _says("The name of the service. Unless given, `aether`, of a worker `aether-worker`.", "AETHER_TRACING_SERVICE"),
    ] = None
    sample: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        _says(
            "The share of traces that begin here to be recorded, from 0 to 1. A trace that began elsewhere is recorded as "
            "was decided there. Unless given, all.",
            "AETHER_TRACING_SAMPLE", form="share",
        ),
    ] = None
    tracer: Annotated[
        str | None,
        _says("An installed tracer in place of `otlp`, `NAME` or `NAME:...`.", "AETHER_TRACER", form="part"),
    ] = None


class LoggingSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged beside results and progress."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _says("The least severe messages of the engine that are shown.", "AETHER_LOGGING_LEVEL"),
    ] = "warning"
    debug: Annotated[
        bool, _says("Show where an unexpected error happened, and leave logging as Python has it.", "AETHER_DEBUG")
    ] = False


class ExecutorSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one type of executor, `[executors.TYPE]`."""

    enabled: Annotated[bool, _says("Whether tasks of this type are accepted and carried out.", "")] = True


class NotifierSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A notifier, `[notifiers.NAME]`, under the name by which executors ask for it (`default`: where they name none)."""

    url: Annotated[str | None, _says("The installed notifier, `NAME` or `NAME:...`.", "", form="part")] = None


SECTIONS: Final[dict[str, type[Struct]]] = {
    "store": StoreSection,
    "broker": BrokerSection,
    "variables": VariablesSection,
    "library": LibrarySection,
    "secrets": SecretsSection,
    "artifacts": ArtifactsSection,
    "workspaces": WorkspacesSection,
    "concurrency": ConcurrencySection,
    "passivation": PassivationSection,
    "limits": LimitsSection,
    "server": ServerSection,
    "oidc": OidcSection,
    "auth": AuthSection,
    "metrics": MetricsSection,
    "tracing": TracingSection,
    "logging": LoggingSection,
}
NAMED_SECTIONS: Final[dict[str, type[Struct]]] = {  # with a table for each name
    "executors": ExecutorSettings,
    "notifiers": NotifierSettings,
}
