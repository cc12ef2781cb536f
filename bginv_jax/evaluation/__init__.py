"""From trained workdirs to records, and from records to tables and figures."""
