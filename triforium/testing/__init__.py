"""Fakes and conformance suites for users and third parties."""
