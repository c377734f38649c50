"""WebShop (Yao et al. 2022, arXiv:2207.01206): find and buy a product in a shop of a million Amazon items.

The package on PyPI is an empty shell. The real one is a web application that the user runs beside us, on their data;
`serve.py` here starts it, `sample.py` draws the 40,000 items of the published subset.
"""

from cleartrace.environments.webshop.environment import WebShop

__all__ = ["WebShop"]
