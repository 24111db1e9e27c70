"""How do we use Rancher's own Python client for what only Norman (`/v3`) has: actions, settings, token expiry?

The module `rancher` (rancher-client-python-3p 0.2.0) makes its own session without timeouts, retries writes on 409 and turns
foreign answers into AttributeErrors. Here it speaks through our transport, which has timeouts, never repeats a write that may
have happened, and raises errors with a cure before the client could stumble. Its objects drop keys that begin with `_`, so it
never writes whole objects.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import rancher
import requests

from rancher_ext.client.transport import Transport
from rancher_ext.errors import NotFound, NotRancher
from rancher_ext.fleet.parse import timestamp
from rancher_ext.fleet.versions import Version


class _TransportSession:
    """What the client expects of a `requests.Session`, carried out by our transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.verify = True

    def get(self, url: str, *, params: Mapping[str, Any] | None = None, **_: object) -> requests.Response:
        return self._checked(self._transport.request("GET", url, params=params))

    def post(
        self, url: str, *, data: str | None = None, params: Mapping[str, Any] | None = None, **_: object
    ) -> requests.Response:
        return self._send("POST", url, data, params)

    def put(self, url: str, *, data: str | None = None, **_: object) -> requests.Response:
        return self._send("PUT", url, data, None)

    def delete(self, url: str, **_: object) -> requests.Response:
        return self._send("DELETE", url, None, None)

    def _send(self, method: str, url: str, data: str | None, params: Mapping[str, Any] | None) -> requests.Response:
        body = json.loads(data) if data else None
        return self._checked(self._transport.request(method, url, params=params, body=body))

    def _checked(self, response: requests.Response) -> requests.Response:
        """The client parses what it gets without looking; an HTML page or half an answer is refused here."""
        if response.content:
            self._transport.json_of(response)
        return response


class _Client(rancher.Client):  # type: ignore[misc]
    """Rancher's client with our session, and without its own retries of writes."""

    def __init__(self, transport: Transport) -> None:
        self._hold = True
        super().__init__(url=f"{transport.url}/v3")
        self._session = _TransportSession(transport)
        self._hold = False
        try:
            self._load_schemas()
        except AttributeError as error:
            raise NotRancher(
                f"{transport.url}/v3 does not describe itself as Rancher's API does",
                cure="Check DROVER_RANCHER_URL: it must be Rancher's own address.",
            ) from error

    def _load_schemas(self, force: bool = False) -> None:
        # The parent's constructor loads schemas at once, through a session that has no time-out.
        if not self._hold:
            super()._load_schemas(force)

    def _post_and_retry(self, url: str, *args: Any, **kw: Any) -> Any:
        return self._post(url, data=self._to_dict(*args, **kw))

    def _put_and_retry(self, url: str, *args: Any, **kw: Any) -> Any:
        return self._put(url, data=self._to_dict(*args, **kw))


class Norman:
    """The few things that only Norman has. The schema is loaded at first use."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._loaded: _Client | None = None

    @property
    def _client(self) -> _Client:
        if self._loaded is None:
            self._loaded = _Client(self._transport)
        return self._loaded

    def server_version(self) -> Version | None:
        """Rancher's version; None for development builds that name none. Needs no login."""
        try:
            answer = self._transport.get_json("/rancherversion")
        except NotFound:
            return Version.parse(self.setting("server-version"))
        return Version.parse(str(answer.get("Version") or ""))

    def setting(self, name: str) -> str:
        """A setting's value, or its default, or nothing."""
        setting = self._by_id("setting", name)
        if setting is None:
            return ""
        return str(getattr(setting, "value", "") or getattr(setting, "default", "") or "")

    def token_expires(self, token_name: str) -> datetime | None:
        """When the API key expires, or None when it never does or may not be read."""
        token = self._by_id("token", token_name)
        expires = timestamp(getattr(token, "expiresAt", "")) if token is not None else None
        return expires.astimezone(UTC) if expires else None

    def cluster_state(self, cluster: str) -> tuple[str, str]:
        """Norman's computed `state` and `transitioningMessage`: what a person sees in Rancher's list."""
        found = self._by_id("cluster", cluster)
        if found is None:
            raise NotFound(
                f"Rancher knows no cluster {cluster}", cure="Look the id up in Rancher's cluster list.", status=404
            )
        return str(getattr(found, "state", "")), str(getattr(found, "transitioningMessage", "") or "")

    def action(self, kind: str, identifier: str, action: str, body: Mapping[str, Any] | None = None) -> Any:
        """Run an action of one object (`backupEtcd`, …). NotFound when the object does not offer it now."""
        found = self._by_id(kind, identifier)
        offered = getattr(found, "actions", None) if found is not None else None
        if offered is None or action not in offered:
            raise NotFound(
                f"{kind} {identifier} does not offer the action {action!r} now",
                cure="Rancher offers an action only in states where it makes sense, and only to users who may run it.",
                status=404,
            )
        return self._client.action(found, action, **(body or {}))

    def offers(self, kind: str, identifier: str, action: str) -> bool:
        """May this action of the object be run now? Reads only."""
        found = self._by_id(kind, identifier)
        return found is not None and action in (getattr(found, "actions", None) or {})

    def collection_action(self, kind: str, action: str, body: Mapping[str, Any] | None = None) -> Any:
        """Run an action of a whole kind (`refresh` of `kontainerDriver`). NotFound when this token is not offered it."""
        listed = self._listed(kind)
        if not self.offers_for_all(kind, action, listed=listed):
            raise NotFound(
                f"{kind} does not offer the action {action!r} to this token",
                cure="Rancher offers it to users who may change objects of this kind.",
                status=404,
            )
        return self._client.action(listed, action, **(body or {}))

    def offers_for_all(self, kind: str, action: str, *, listed: Any | None = None) -> bool:
        """Is the action of the whole kind offered to this token? Reads only."""
        listed = self._listed(kind) if listed is None else listed
        return action in (getattr(listed, "actions", None) or {})

    def _listed(self, kind: str) -> Any:
        if kind not in self._client.schema.types:
            raise NotFound(
                f"Rancher's API offers no type {kind!r} to this token",
                cure="Give the token's user the right to read it, or use a token of another user.",
                status=404,
            )
        return self._client.list(kind)

    def _by_id(self, kind: str, identifier: str) -> Any | None:
        """The object, or None. The client's own handling of 404 never sees one: our transport raises first."""
        try:
            return self._client.by_id(kind, identifier)
        except NotFound:
            return None
        except KeyError:
            raise NotFound(
                f"Rancher's API offers no type {kind!r} to this token",
                cure="Give the token's user the right to read it, or use a token of another user.",
                status=404,
            ) from None
