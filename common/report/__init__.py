"""Pages that tell a run, or compare several: HTML files that need nothing beside themselves."""
