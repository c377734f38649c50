"""Words of needles and of the filler grammar."""

ADJECTIVES = (
    "amber", "bitter", "brave", "bright", "calm", "careful", "cheerful", "clever", "cold", "curious", "distant",
    "eager", "early", "faint", "gentle", "golden", "heavy", "hidden", "honest", "humble", "icy", "lively", "lonely",
    "mellow", "misty", "modest", "narrow", "noble", "patient", "pale", "polite", "proud", "quiet", "rapid", "rusty",
    "silent", "simple", "steady", "sudden", "tender", "tidy", "velvet", "warm", "wild",
)  # fmt: skip
NOUNS = (
    "anchor", "badger", "basin", "beacon", "bridge", "cabin", "canal", "candle", "canyon", "castle", "cedar", "cliff",
    "comet", "compass", "coral", "desert", "falcon", "ferry", "forest", "garden", "glacier", "harbor", "heron",
    "island", "lantern", "lemon", "maple", "meadow", "mill", "orchard", "otter", "pebble", "pillar", "river", "saddle",
    "sparrow", "spruce", "temple", "thistle", "tunnel", "valley", "village", "walnut", "willow",
)  # fmt: skip
VERBS = (
    "admires", "borders", "carries", "crosses", "follows", "greets", "hides", "keeps", "meets", "mirrors", "passes",
    "protects", "reaches", "remembers", "supports", "surrounds", "visits", "watches",
)  # fmt: skip
PLACES = (
    "above", "across from", "after the rain near", "at dawn beside", "behind", "below", "beyond", "in the autumn by",
    "long after", "on market days near", "opposite", "under",
)  # fmt: skip
