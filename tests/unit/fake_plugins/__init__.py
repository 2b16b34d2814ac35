"""Plug-ins as others write them: each is one module that registers itself.

Nothing else in kiwinb or in the tests knows what they do; ``test_fake_plugins.py`` imports them.
"""
