"""The worker: the only part of mig_kit that runs in the project's own interpreter.

It is loaded there from its files under the name ``_mig_kit_worker``, so nothing is installed in the project's
environment. It imports the standard library and Django, nothing else, and is written for Python 3.8 and
Django 3.2 and later. It answers in plain data: strings, numbers, booleans, None, lists, tuples and dicts.
"""
