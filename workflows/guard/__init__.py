"""Benchmarks of the guard: attacks on a memory, with the guard, without it, and with others.

`triforium bench guard --suite NAME`; what a suite gives back stands in `suites`.
"""
