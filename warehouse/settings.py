"""Where the checkout is and which database it uses; read once, from the environment."""

import os
from dataclasses import dataclass
from pathlib import Path

STATE_FOLDER = ".warehouse"


def checkout_root() -> Path:
    """Return the folder that holds dbt_project.yml: the checkout, or the working directory.

    An installed package (a container image) has no checkout around it; there the project's
    files lie in the working directory.
    """
    beside_the_package = Path(__file__).resolve().parent.parent
    if (beside_the_package / "dbt_project.yml").is_file():
        return beside_the_package
    return Path.cwd()


@dataclass(frozen=True)
class Settings:
    """The warehouse's settings; `database_url` is None when the local server is to be used."""

    root: Path
    database_url: str | None

    @property
    def state(self) -> Path:
        """The folder of everything local: the server's data, its socket, its log."""
        return self.root / STATE_FOLDER


def read_settings() -> Settings:
    """Read the settings from the environment; an empty DATABASE_URL counts as unset."""
    return Settings(
        root=checkout_root(),
        database_url=os.environ.get("DATABASE_URL", "").strip() or None,
    )
