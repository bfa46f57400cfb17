"""What everything else stands on: files, tables, archives, checks, types. Nothing here knows of photos or captions."""
