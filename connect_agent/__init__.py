"""The Connect agent, and the tunnel protocol that both of its ends speak. Nothing is imported here."""
