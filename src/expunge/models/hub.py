"""Whether a model on the hub can be had: one short question instead of a minute of repeated attempts."""

from __future__ import annotations

from expunge.errors import InputError, first_line

TIMEOUT = 5.0  # seconds
USE_CACHE = "set HF_HUB_OFFLINE=1 to use what is cached, or name a local folder"


def only_cached(source: str) -> bool:
    """Whether the hub id `source` must be read from the cache, because the hub is not reached.

    Raises:
        InputError: the hub answers that there is no such model, or it is not reached and nothing is cached.
    """
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    cached = isinstance(try_to_load_from_cache(source, "config.json"), str)
    if constants.is_offline_mode():
        if not cached:
            raise InputError(
                source,
                "is no folder here and not in the cache of the hub, and HF_HUB_OFFLINE is set",
                "name a local folder, or unset HF_HUB_OFFLINE to download it",
            )
        return True
    try:
        HfApi().model_info(source, timeout=TIMEOUT)
    except GatedRepoError as error:
        raise InputError(source, "its owner has to grant access on the hub", "ask there, then log in") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            source, "is no folder here and no public model on the hub", "check the name; log in for a private one"
        ) from error
    except Exception as error:  # the errors of its HTTP library have no common ancestor
        if not cached:
            reason = f"is no folder here, and the hub was not reached ({first_line(error)})"
            raise InputError(source, reason, USE_CACHE) from error
        return True
    return False
