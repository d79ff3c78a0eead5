"""The providers that come with the package keep the SecretProvider contract (DATA-12)."""

from __future__ import annotations

import json
from pathlib import Path

from aether_protocol.adapters.secrets.document import open_secrets_file
from aether_protocol.adapters.secrets.dotenv import DotenvSecrets
from aether_protocol.adapters.secrets.environment import EnvironmentSecrets
from aether_protocol.adapters.secrets.files import FileSecrets
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.testing.contracts.secrets import NamespacedSecrets, SecretProviderContract, Secrets


def nested(secrets: Secrets) -> dict[str, dict[str, str]]:
    """{name: {key: text}}."""
    result: dict[str, dict[str, str]] = {}
    for (name, key), text in secrets.items():
        result.setdefault(name, {})[key] = text
    return result


def in_namespaces(secrets: NamespacedSecrets) -> dict[str, dict[str, str]]:
    """{name: {key: text}}, of other namespaces than `default` {namespace/name: ...}."""
    named = {(name if space == "default" else f"{space}/{name}", key): text for (space, name, key), text in secrets.items()}
    return nested(named)


class TestEnvironment(SecretProviderContract):
    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        flat = {f"{name}_{key}".replace("-", "_").replace(".", "_").upper(): text for (name, key), text in secrets.items()}
        return EnvironmentSecrets({f"AETHER_SECRET_{name}": text for name, text in flat.items()} | {"OTHER": "x"})

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        return EnvironmentSecrets({f"AETHER_SECRET_{name}": text for name, text in variables(secrets).items()})


def variables(secrets: NamespacedSecrets) -> dict[str, str]:
    """The variables, without the prefix, as docs/reference/secrets.md spells them."""
    spaces = {"default": "", "team": "_TEAM__", "team-a": "_TEAM_A__", "a": "_A__"}
    return {f"{spaces[space]}{name}_{key}".replace("-", "_").upper(): text for (space, name, key), text in secrets.items()}


class TestDotenv(SecretProviderContract):
    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        quoted = {f"{name}.{key}": text.replace("\\", "\\\\").replace('"', '\\"') for (name, key), text in secrets.items()}
        (folder / ".env").write_text("".join(f'{name}="{text}"\n' for name, text in quoted.items()), "utf-8")
        return DotenvSecrets(folder / ".env")

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        lines = [f"{name}.{key}={text}\n" for name, keys in in_namespaces(secrets).items() for key, text in keys.items()]
        (folder / ".env").write_text("".join(lines), "utf-8")
        return DotenvSecrets(folder / ".env")


class TestDotenvVariables(SecretProviderContract):
    """The spelling that a dotenv file shares with the environment."""

    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        return TestDotenv().make(secrets, folder)

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        lines = [f"AETHER_SECRET_{name}={text}\n" for name, text in variables(secrets).items()]
        (folder / ".env").write_text("".join(lines), "utf-8")
        return DotenvSecrets(folder / ".env")


class TestFiles(SecretProviderContract):
    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        for (name, key), text in secrets.items():
            (folder / name).mkdir(exist_ok=True)
            (folder / name / key).write_text(text + "\n", "utf-8")
        return FileSecrets(folder)

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        for (space, name, key), text in secrets.items():
            at = folder / name if space == "default" else folder / space / name
            at.mkdir(exist_ok=True, parents=True)
            (at / key).write_text(text, "utf-8")
        return FileSecrets(folder)


class TestMountedFiles(TestFiles):
    """Each name is a mount of Kubernetes: its keys are links through `..data` to the folder of the last change."""

    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        for (name, key), text in secrets.items():
            mount(folder / name, key, text)
        return FileSecrets(folder)

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        for (space, name, key), text in secrets.items():
            mount(folder / name if space == "default" else folder / space / name, key, text)
        return FileSecrets(folder)


class TestProjectedFiles(TestFiles):
    """The whole folder is one mount, with a path for each secret."""

    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        for (name, key), text in secrets.items():
            mount(folder, f"{name}/{key}", text)
        return FileSecrets(folder)

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        for (space, name, key), text in secrets.items():
            mount(folder, f"{name}/{key}" if space == "default" else f"{space}/{name}/{key}", text)
        return FileSecrets(folder)


def mount(folder: Path, path: str, text: str) -> None:
    """Lay out one path of a volume as the kubelet does."""
    kept = folder / "..2026_11_30" / path
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text, "utf-8")
    first = path.split("/")[0]
    for link, target in (("..data", "..2026_11_30"), (first, f"..data/{first}")):
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(target)


class TestMapping(SecretProviderContract):
    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        return MappingSecrets(nested(secrets))

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        return MappingSecrets(in_namespaces(secrets))


class TestJsonFile(SecretProviderContract):
    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        (folder / "s.json").write_text(json.dumps(nested(secrets)), "utf-8")
        return open_secrets_file(folder / "s.json")

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        (folder / "s.json").write_text(json.dumps(in_namespaces(secrets)), "utf-8")
        return open_secrets_file(folder / "s.json")


class TestYamlFile(SecretProviderContract):
    def make(self, secrets: Secrets, folder: Path) -> SecretProvider:
        (folder / "s.yaml").write_text(json.dumps(nested(secrets)), "utf-8")
        return open_secrets_file(folder / "s.yaml")

    def make_by_namespace(self, secrets: NamespacedSecrets, folder: Path) -> SecretProvider:
        (folder / "s.yaml").write_text(json.dumps(in_namespaces(secrets)), "utf-8")
        return open_secrets_file(folder / "s.yaml")
