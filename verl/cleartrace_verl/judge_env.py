"""Names of the environment variables through which a rollout finds the judge."""

JUDGE_URL_VARIABLE = "CLEARTRACE_JUDGE_URL"
JUDGE_TOKEN_VARIABLE = "CODE_JUDGE_TOKEN"
