"""Finds recipes/ and model_cards/ from a checkout, an editable install and a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def recipe_path(*parts: str) -> Path:
    """Path of a recipe's file or folder.

    Args:
        parts: Names below recipes/, such as `"masked_lm", "tiny.yaml"`; none at all gives recipes/ itself.

    Returns:
        An absolute path that exists.

    Raises:
        ValueError: If there is no such file; the message names those that exist.

    Example:
        >>> recipe_path("masked_lm", "tiny.yaml").name
        'tiny.yaml'
    """
    return _resource_path("recipes", parts)


def model_card_path(*parts: str) -> Path:
    """Path of a model card's template.

    Args:
        parts: Names below model_cards/; none at all gives model_cards/ itself.

    Returns:
        An absolute path that exists.

    Raises:
        ValueError: If there is no such file; the message names those that exist.

    Example:
        >>> model_card_path().name
        'model_cards'
    """
    return _resource_path("model_cards", parts)


def _resource_path(folder: str, parts: tuple[str, ...]) -> Path:
    path = _root(folder)
    for part in parts:
        if not (path / part).exists():
            entries = path.iterdir() if path.is_dir() else ()
            existing = sorted(entry.name for entry in entries if not entry.name.startswith(("_", ".")))
            asked = "/".join((folder, *parts))
            raise ValueError(f"There is no {asked}; {path} holds {', '.join(existing) or 'nothing'}")
        path = path / part
    return path


def _root(folder: str) -> Path:
    # The folder beside pyproject.toml comes first: it is what a developer edits, and a copy inside the package, left
    # by some earlier build, would hide the edits.
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / folder).is_dir():
        return checkout / folder
    shipped = _PACKAGE / "_shipped" / folder
    if shipped.is_dir():
        return shipped
    raise ValueError(
        f"{folder}/ stands neither beside {checkout / 'pyproject.toml'} nor in {shipped}: the installation is "
        "incomplete. Mend it with: pip install --force-reinstall hf-unlab"
    )
