"""The messages of `pollux.v1`, made of the `.proto` files when the package is built.

The client takes and gives values of its own instead; these are for calls that it does not have.
"""
