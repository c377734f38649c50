"""How well an agent does with one context or another: completion, intervals, cost, paired comparisons."""
