"""The inspector: see in a browser what a team remembers, and why.

`triforium inspect` serves a page and a JSON API on this machine; `schema` has every answer of
the API, `routes` lists its paths.
"""
