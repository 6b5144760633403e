"""Measures: functions of arrays, and beside each the `evaluate` module that wraps it.

The functions are what the house calls; a module hands its data through Arrow, which takes milliseconds a call. Neither
needs the Hub.
"""
