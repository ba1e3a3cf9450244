"""The kinds that every cluster has: their shapes as data, their defaults and rules in `validation`."""
