"""The Client: registrations, a store and sessions wired together.  The only wiring."""

from __future__ import annotations

import asyncio
import logging
import secrets
import warnings
from typing import TYPE_CHECKING, NoReturn, Self

from everbearer._clock import SystemClock
from everbearer.authorization import Authorization
from everbearer.errors import ConfigurationError, EverbearerError
from everbearer.events import Hooks
from everbearer.providers import by_name, named
from everbearer.refresh import Refresher, Timing, age_of, learn, revoking
from everbearer.stores import NewGrant, hold, let_go, open_store, spills_of
from everbearer.token_endpoint import TokenEndpoint, check_adoptable
from everbearer.tokens import AccountKey, account_key, status_of
from everbearer.transport import (
    AccountSession,
    ApiBase,
    Connections,
    Home,
    is_accepted,
    read_facts,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType

    import aiohttp

    from everbearer._clock import Clock
    from everbearer.events import Hook
    from everbearer.providers import Registration
    from everbearer.stores import Keyring, Place, TokenStore
    from everbearer.tokens import AccountStatus, Token, TokenRecord

__all__ = ["Client"]

_log = logging.getLogger("everbearer.client")


class Client:
    """Everything that one program needs to call APIs for many accounts.

    Use it as an async context manager, or call `open` and `aclose`.  It opens itself
    at first use; closing waits for refreshes in flight, so that no rotation is lost.
    Closing twice is fine, and it can be opened again.

    Args:
        registrations: One for each client id; names must differ.

        store: Where tokens live: ``sqlite:///relative.db``,
            ``sqlite:////absolute.db``, ``memory://`` (for trying things out), or a
            `everbearer.stores.TokenStore`, which Clients may share: the last one
            that closes closes it.  There is no default: tokens that are forgotten at
            exit cost users their connection.

        session: An `aiohttp.ClientSession` to send through.  It stays yours to close;
            its proxy and TLS settings serve token calls too, on connections apart.

        keyring: Keys that seal the store; by default ``EVERBEARER_KEYS``, or for
            SQLite a key file beside the database.

        hooks: Called with each event.

        timing: Deadlines of a refresh.

        spill: A folder for rotated tokens that the store does not take, sealed; by
            default beside a SQLite database, else in folders of this user.  False for
            none: then such a token ends with its process.

    Raises:
        ConfigurationError: Two registrations have one name, or the store URL is wrong.
    """

    def __init__(
        self,
        *registrations: Registration,
        store: str | TokenStore,
        session: aiohttp.ClientSession | None = None,
        keyring: Keyring | None = None,
        hooks: Iterable[Hook] = (),
        timing: Timing | None = None,
        spill: Place = None,
        _clock: Clock | None = None,
    ) -> None:
        self._home = Home()
        self._registrations = by_name(registrations)
        self._bases = {
            name: ApiBase(registration.provider.base.api)
            for name, registration in self._registrations.items()
        }
        self._spill: Place = spill
        self._keyring = keyring
        clock = _clock or SystemClock()
        self._store = open_store(store, keyring=keyring, clock=clock)
        self._http = Connections(self._ensure_open, session)
        self._hooks = Hooks(hooks)
        self._clock = clock
        self._timing = timing or Timing()
        self._endpoint = TokenEndpoint(self._http.open_for_tokens, clock)
        self._refresher = Refresher(
            self._registrations,
            self._open_store,
            self._endpoint,
            clock,
            self._hooks,
            self._timing,
            self._endpoint.skews,
            probe=self._is_accepted,
        )
        self._closed = False
        self.authorization = Authorization(
            self._registrations,
            self._open_store,
            self._endpoint,
            self._save,
            total=self._timing.deadline,
            connect=self._timing.connect,
        )

    # ---- opening and closing

    async def open(self) -> Self:
        """Open the store and the connection pools.  Twice is fine.

        Raises:
            ConfigurationError: The Client is open in another event loop or process,
                or the store's keys or version are not this one's.

            StoreError: The store cannot be opened.
        """
        self._closed = False
        await self._ensure_open()
        return self

    async def _ensure_open(self) -> None:
        """Open it, unless somebody has closed it on purpose."""
        if self._home.opened:
            self._home.check()
            return
        self._check_not_closed()
        async with self._home.entering():
            if not self._home.opened:
                await self._start()

    async def _start(self) -> None:
        hold(self._store)
        try:
            await self._store.open()
            self._check_not_closed()  # Somebody may have, while the store opened.
            self._http.start()
            self._refresher.begin()
            spills = spills_of(self._store, self._spill, self._keyring)
            self._refresher.hear(self._store)
            self._refresher.recover(self._store, spills)
        except BaseException:  # Whatever it is: nothing is left open.
            self._refresher.stop()
            await self._http.aclose()
            if let_go(self._store):
                await self._store.aclose()
            raise
        self._home.opened = True

    def _check_not_closed(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the Client is closed; enter it again with `async with client:`"
            )

    async def _open_store(self) -> TokenStore:
        await self._ensure_open()
        return self._store

    async def aclose(self, within: float | None = None) -> None:
        """Wait for refreshes in flight, then close everything.  Twice is fine.

        Args:
            within: Seconds to wait, by default the token deadline and 5 s.  Past that
                a ResourceWarning and an event tell what was left; its intent stays in
                the store, where the next process finds it.

        Raises:
            ConfigurationError: The Client is open in another event loop.
        """
        self._closed = True
        if not self._home.opened:
            return
        if self._home.forked:
            # The connections are the parent's: closing them here would end its calls.
            self._home.opened = False
            self._refresher.abandon()
            self.authorization.abandon()
            return
        self._home.check_closing()
        self._refresher.stop()
        started = self._clock.elapsed()
        try:
            await self.authorization.aclose(within)
            spent = self._clock.elapsed() - started
            await self._refresher.aclose(None if within is None else within - spent)
        finally:
            self._home.opened = False
            await self._http.aclose()
            if let_go(self._store):
                await self._store.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        home = getattr(self, "_home", None)
        if home is not None and home.opened and not home.forked:
            warnings.warn(
                "Client was not closed: use `async with Client(...)` or "
                "`await client.aclose()`, or refreshes in flight are lost",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    def __repr__(self) -> str:
        return f"<Client: {', '.join(self._registrations)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client is not pickled, it holds secrets and connections")

    # ---- accounts

    def session(self, provider: str, account: str) -> AccountSession:
        """The session of one account: cheap, shareable, usable before it connects.

        Raises:
            ConfigurationError: No such registration, or not an account id.
        """
        key = self._key(provider, account)
        return AccountSession(
            self._refresher.account(key),
            key,
            self._registrations[provider].provider,
            self._http,
            self._hooks,
            base=self._bases[provider],
        )

    async def accounts(
        self, provider: str | None = None
    ) -> AsyncIterator[AccountStatus]:
        """The status of every stored account, of one *provider* or of all.

        Raises:
            ConfigurationError: No such registration.

            StoreError: The store cannot be read.
        """
        if provider is not None:
            named(self._registrations, provider)
        store = await self._open_store()
        async for record in store.list(provider):
            yield status_of(record.key, record)

    async def adopt(
        self,
        provider: str,
        account: str,
        token: Token,
        *,
        if_absent: bool = False,
    ) -> AccountStatus:
        """Take over a token that was obtained elsewhere.

        From now on nobody else may refresh it: a refresh token that is spent in two
        places is lost.

        Args:
            provider: Name of the registration that it was granted to.

            account: The account id.

            token: With a refresh token, or it ends with its access token.

            if_absent: A stored grant wins, so that every worker may call this at
                start; unless that grant needs authorization and the offered refresh
                token was never stored for the account.

        Raises:
            ConfigurationError: No such registration, not an account id, or no token.

            StoreError: It cannot be stored.
        """
        key = self._key(provider, account)
        check_adoptable(token)
        record = await self._put(key, token, if_absent=if_absent)
        return status_of(key, record)

    async def disconnect(self, provider: str, account: str) -> None:
        """Forget the account, and revoke its grant where the provider can.

        It wins over a refresh in flight, whose token is revoked too.  An account that
        is not stored is fine.  Revoking is best effort (RFC 7009 section 2.2).

        Raises:
            ConfigurationError: No such registration, or not an account id.

            StoreError: It cannot be deleted; nothing was revoked.
        """
        key = self._key(provider, account)
        store = await self._open_store()
        record = await store.delete(key)
        await self._refresher.forget(key, store)
        account_tokens = self._refresher.account(key)
        revoke = revoking(account_tokens, record.token, whole=True) if record else None
        if revoke is None:
            return
        extra = {"provider": provider, "account": account}
        try:
            outcome = await asyncio.shield(revoke)
        except EverbearerError as error:
            # RFC 7009 section 2.2: what is forgotten here stays forgotten.
            _log.warning("%s/%s: not revoked: %s", *key, error, extra=extra)
            return
        _log.debug("revoked: %s", outcome.kind, extra=extra)

    async def keep(self, *, concurrency: int = 16) -> None:
        """Refresh what would end by being left alone, until the Client is closed.

        That is the accounts of providers with a `refresh_idle_lifetime`, when two
        thirds of it have passed since their last refresh.  Give it a task of its own:
        it returns when the Client closes, and may be cancelled at any time; refreshes
        under way go on, and `aclose` waits for them.  Any number of keepers may run, in
        any process: each refresh still happens once.  Where the store fails, it goes
        on when the store answers again.

        Args:
            concurrency: How many accounts of a registration are refreshed at once.

        Raises:
            ConfigurationError: The Client is closed, or *concurrency* is below 1.

            StoreError: The store cannot be opened.
        """
        await self._refresher.keep(concurrency)

    # ---- within

    def _key(self, provider: str, account: str) -> AccountKey:
        named(self._registrations, provider)
        return account_key(provider, account)

    async def _save(self, key: AccountKey, token: Token) -> AccountStatus:
        """Store what an authorization brought, then what the API tells of it."""
        record = await self._put(key, token, if_absent=False)
        base, account = self._bases[key.provider], self._refresher.account(key)
        provider = account.registration.provider
        asking = read_facts(record, provider, base, self._http, self._hooks)
        return status_of(key, await learn(account, record, asking))

    async def _is_accepted(self, key: AccountKey, access_token: str) -> bool | None:
        """Whether the API takes it, where a harmless call can tell (rule 14)."""
        base, provider = self._bases[key.provider], self._registrations[key.provider]
        return await is_accepted(
            access_token, key, provider.provider, base, self._http, self._hooks
        )

    async def _put(
        self, key: AccountKey, token: Token, *, if_absent: bool
    ) -> TokenRecord:
        registration = self._registrations[key.provider]
        incarnation = secrets.token_hex(16)
        now = self._endpoint.skews.now(key.provider)
        store = await self._open_store()
        record = await store.put(
            key,
            NewGrant(
                incarnation,
                token,
                registration.client_id,
                registration.token_origin,
                if_absent=if_absent,
                age=age_of(registration.provider, token, now),
            ),
        )
        account = self._refresher.account(key)
        if record.incarnation == incarnation:
            # Where a stored grant won, what is held of it may be newer: not saved yet.
            account.forget()
        account.adopt(record)
        return record
