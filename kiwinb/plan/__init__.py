"""Plan: a frozen description becomes an ordered sequence of steps with content keys."""
