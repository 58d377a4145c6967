"""Hosts that a program may reach as they are: who may, and the layers that pass bytes on."""
