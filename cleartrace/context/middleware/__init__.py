"""Context in front of any agent: a wrapper of OpenAI's clients, a plugin of Strands, a proxy for everything else.

All of them do the same. A conversation's task is the text of its first user message. It is given to a provider once.
The answer stands behind the system prompt, where agents of this project read it, in every request of that conversation.
Nothing that follows is touched.
"""

from cleartrace.context.middleware.briefing import Added, Briefing
from cleartrace.context.middleware.openai_client import with_context

__all__ = ["Added", "Briefing", "with_context"]
