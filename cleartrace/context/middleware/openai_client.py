"""`with_context(client, provider)`: OpenAI's own client, with context in front of every conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from cleartrace.context.middleware.briefing import Briefing
from cleartrace.context.middleware.conversation import shape_of
from cleartrace.context.provider import ContextProvider

if TYPE_CHECKING:
    import openai

Client = TypeVar("Client", bound="openai.OpenAI | openai.AsyncOpenAI")


def with_context(client: Client, provider: ContextProvider | Briefing, *, environment: str = "chat") -> Client:
    """A client of the same class that adds a provider's context to /chat/completions and /responses.

    It shares the connections of `client`, which itself is left as it was. All ways of asking go through it: `create`,
    `parse`, `stream`, raw and streamed responses, `with_options`. `client.briefing.added` says what was added.

    Args:
        provider: or a `Briefing`, for its options.

    Raises: TypeError for another kind of client. A request raises what the provider raises.

    Example:
        >>> import openai
        >>> from cleartrace.context.providers import Static
        >>> client = with_context(openai.OpenAI(api_key="none"), Static("Check the date before you book."))
        >>> isinstance(client, openai.OpenAI), client.briefing.added
        (True, [])
    """
    import openai

    if not isinstance(client, (openai.OpenAI, openai.AsyncOpenAI)):
        raise TypeError(f"an OpenAI or AsyncOpenAI client is needed, not {type(client).__name__}")
    briefing = provider if isinstance(provider, Briefing) else Briefing(provider, environment=environment)
    wrapped: Any = client.copy()
    if not hasattr(wrapped, "briefing"):
        wrapped.__class__ = _with_hook(type(client), isinstance(client, openai.AsyncOpenAI))
    wrapped.briefing = briefing
    return wrapped


def _with_hook(base: Any, asynchronous: bool) -> type:
    """A subclass of `base` with context. A single base and no slots: an object may then become one of this class.

    `_prepare_options` is the SDK's hook for changing a request, whatever method made it.
    """

    def prepare(self: Any, options: Any) -> Any:
        options = base._prepare_options(self, options)
        if (shape := _shape(options)) is None:
            return options
        return _replaced(options, self.briefing.body_now(options.json_data, shape)[0])

    async def prepare_later(self: Any, options: Any) -> Any:
        options = await base._prepare_options(self, options)
        if (shape := _shape(options)) is None:
            return options
        return _replaced(options, (await self.briefing.body(options.json_data, shape))[0])

    def copy(self: Any, **changes: Any) -> Any:
        made = base.copy(self, **changes)
        made.briefing = self.briefing
        return made

    hook = prepare_later if asynchronous else prepare
    members = {"_prepare_options": hook, "copy": copy, "with_options": copy, "__slots__": ()}
    return type(f"{base.__name__}WithContext", (base,), members)


def _replaced(options: Any, body: dict[str, Any]) -> Any:
    return options.model_copy(update={"json_data": body})


def _shape(options: Any) -> Any:
    posted = options.method.lower() == "post" and isinstance(options.json_data, dict)
    return shape_of(str(options.url)) if posted else None
