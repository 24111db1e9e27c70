"""Where is the configuration that ships with Drover?"""

from pathlib import Path

from rancher_ext.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_config_dir() -> Path:
    """In an installed wheel `rancher_ext/shipped_config`, in the source tree `config/`."""
    for candidate in (_PACKAGE / "shipped_config", _PACKAGE.parent / "config"):
        if (candidate / "signatures").is_dir():
            return candidate
    raise ConfigError(
        f"{_PACKAGE}: the shipped configuration is neither in shipped_config/ nor in ../config/",
        cure="Install Drover again; the package is not complete.",
    )
